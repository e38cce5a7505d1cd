package image

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/test/repo"
)

// Names that pods give to the images built here, with imagePullPolicy Never.
const (
	AgentName     = "localhost/onejob-agent:dev"
	SchedulerName = "localhost/onejob:dev"
)

// Options say how a build differs from a plain docker build.
type Options struct {
	// Version is the build argument VERSION; default "dev".
	Version string
	// StandIns gives the package to build in the place of another.
	StandIns map[string]string
	// Arch is the architecture that the image is for, amd64 or arm64; default this
	// machine's.
	Arch string
}

// suffix keeps apart the files of builds that differ: another process may be
// importing one.
func (o Options) suffix() string {
	if o.Version == "dev" && len(o.StandIns) == 0 && o.Arch == runtime.GOARCH {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", o)) // maps are printed sorted
	return fmt.Sprintf("-%x", sum[:4])
}

// prune removes files that no build has used for so long: each is up to a quarter
// of a gigabyte, and with versions in their names they would pile up.
func prune(pattern string, unused time.Duration) {
	paths, _ := filepath.Glob(pattern)
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > unused {
			_ = os.Remove(path)
		}
	}
}

// Agent builds the target agent of Dockerfile.agent and returns the image's
// path. The first time takes a minute; then only the programs are looked at.
func Agent(ctx context.Context, options Options) (string, error) {
	return build(ctx, "agent", AgentName, options)
}

// Scheduler builds the target scheduler of Dockerfile.agent and returns the
// image's path.
func Scheduler(ctx context.Context, options Options) (string, error) {
	return build(ctx, "scheduler", SchedulerName, options)
}

func build(ctx context.Context, target, name string, options Options) (string, error) {
	b, done, err := begin(options)
	if err != nil {
		return "", err
	}
	defer done()
	result, err := b.target(ctx, target)
	if err != nil {
		return "", err
	}
	out := filepath.Join(b.cache, target+b.options.suffix()+".tar")
	return out, writeLayout(out, name, b.options.Arch, result.config, result.layers)
}

// Image is a target of Dockerfile.agent as it was built, for whoever packs it for
// others than a cluster of the tests.
type Image struct {
	Arch   string
	Config Config
	Layers []string // plain tar files, in order; the cache's
}

// Layers builds a target of Dockerfile.agent.
func Layers(ctx context.Context, target string, options Options) (Image, error) {
	b, done, err := begin(options)
	if err != nil {
		return Image{}, err
	}
	defer done()
	result, err := b.target(ctx, target)
	if err != nil {
		return Image{}, err
	}
	image := Image{Arch: b.options.Arch, Config: result.config}
	for _, l := range result.layers {
		image.Layers = append(image.Layers, l.path)
	}
	return image, nil
}

// target is stage for one that an image is made of.
func (b *builder) target(ctx context.Context, name string) (*result, error) {
	result, err := b.stage(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("Dockerfile.agent: %w", err)
	}
	for _, pattern := range []string{name + "-*.tar", "program-*", "copy-*.layer"} {
		prune(filepath.Join(b.cache, pattern), time.Hour)
	}
	return result, nil
}

// begin returns a builder that has the cache to itself until done.
func begin(options Options) (b *builder, done func(), err error) {
	if b, err = newBuilder(options); err != nil {
		return nil, nil, err
	}
	unlock, err := repo.Lock(filepath.Join(b.cache, "build.lock"))
	if err != nil {
		return nil, nil, err
	}
	if b.scratch, err = os.MkdirTemp(b.cache, "layers-"); err != nil {
		unlock()
		return nil, nil, err
	}
	return b, func() { _ = os.RemoveAll(b.scratch); unlock() }, nil
}

// builder carries out a Dockerfile.
type builder struct {
	options Options
	stages  []stage
	cache   string // of this repository, for images
	scratch string // for the layers of this build
	built   map[string]*result
}

// result of a stage.
type result struct {
	config   Config
	layers   []layer
	programs map[string]program // of a build stage, by the path in its root
}

func newBuilder(options Options) (*builder, error) {
	root, err := repo.Root()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile.agent"))
	if err != nil {
		return nil, err
	}
	stages, err := parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("Dockerfile.agent: %w", err)
	}
	cache, err := repo.Cache("image")
	if err != nil {
		return nil, err
	}
	if options.Version == "" {
		options.Version = "dev"
	}
	if options.Arch == "" {
		options.Arch = runtime.GOARCH
	}
	return &builder{options: options, stages: stages, cache: cache, built: map[string]*result{}}, nil
}

func (b *builder) stage(ctx context.Context, name string) (*result, error) {
	if done := b.built[name]; done != nil {
		return done, nil
	}
	index := slices.IndexFunc(b.stages, func(s stage) bool { return s.name == name })
	if index < 0 {
		return nil, fmt.Errorf("no stage %q", name)
	}
	s := b.stages[index]
	var r *result
	var err error
	repository, tag, _ := strings.Cut(s.from, ":")
	switch {
	case s.from == "scratch":
		r, err = b.finish(ctx, s, &result{})
	case repository == "golang":
		r, err = b.goStage(s)
	case repository == "debian":
		r, err = b.debianStage(ctx, s, tag)
	default:
		// A stage sees those before it only, so this ends.
		if !slices.ContainsFunc(b.stages[:index], func(s stage) bool { return s.name == b.stages[index].from }) {
			return nil, fmt.Errorf("FROM %s: %w", s.from, errNotUnderstood)
		}
		var base *result
		if base, err = b.stage(ctx, s.from); err == nil {
			r, err = b.finish(ctx, s, &result{config: base.config, layers: slices.Clone(base.layers)})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", name, err)
	}
	b.built[name] = r
	return r, nil
}

// finish carries out the instructions of a stage that is, or is based on, a
// root file system.
func (b *builder) finish(ctx context.Context, s stage, r *result) (*result, error) {
	values := variables{}
	for _, i := range s.instructions {
		var err error
		switch i.name {
		case "COPY":
			var l layer
			if l, err = b.copy(ctx, i); err == nil {
				r.layers = append(r.layers, l)
			}
		case "ENV":
			var pairs [][2]string
			if pairs, err = assignments(i, values); err == nil {
				r.config.Env = setEnv(r.config.Env, pairs)
			}
		case "WORKDIR":
			r.config.WorkingDir = i.args
		case "USER":
			r.config.User = i.args
		case "ENTRYPOINT":
			r.config.Entrypoint, err = execForm(i)
		case "CMD":
			r.config.Cmd, err = execForm(i)
		default:
			err = i.errorf("%w", errNotUnderstood)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

func setEnv(env []string, pairs [][2]string) []string {
	env = slices.Clone(env)
	for _, pair := range pairs {
		env = slices.DeleteFunc(env, func(s string) bool { return strings.HasPrefix(s, pair[0]+"=") })
		env = append(env, pair[0]+"="+pair[1])
	}
	return env
}

// copy carries out "COPY --from=STAGE SOURCE… DESTINATION" and returns the
// layer.
func (b *builder) copy(ctx context.Context, i instruction) (layer, error) {
	fields := strings.Fields(i.args)
	if len(fields) < 3 || !strings.HasPrefix(fields[0], "--from=") || strings.HasPrefix(fields[1], "--") {
		return layer{}, i.errorf("%q isn't --from=STAGE SOURCE DESTINATION: %w", i.args, errNotUnderstood)
	}
	name, sources, destination := strings.TrimPrefix(fields[0], "--from="), fields[1:len(fields)-1], fields[len(fields)-1]
	if !strings.HasSuffix(destination, "/") || !path.IsAbs(destination) {
		return layer{}, i.errorf("destination %s isn't an absolute directory, with / at its end: %w", destination, errNotUnderstood)
	}
	from, err := b.stage(ctx, name)
	if err != nil {
		return layer{}, err
	}
	tree, err := os.MkdirTemp(b.scratch, "copy-")
	if err != nil {
		return layer{}, err
	}
	directory := filepath.Join(tree, destination)
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return layer{}, err
	}
	hash := sha256.New()
	for _, source := range sources {
		out := filepath.Join(directory, path.Base(source))
		if p, ok := from.programs[source]; ok {
			err = b.program(ctx, p, out)
		} else {
			err = extract(from.layers, source, out)
		}
		if err == nil {
			fmt.Fprintf(hash, "%s%s\n", destination, path.Base(source))
			err = hashFile(hash, out)
		}
		if err != nil {
			return layer{}, i.errorf("%w", err)
		}
	}
	return keepLayer(b.cache, tree, fmt.Sprintf("copy-%x", hash.Sum(nil)[:16]))
}

// keepLayer packs tree, unless the cache has the layer.
func keepLayer(cache, tree, id string) (layer, error) {
	l := layer{path: filepath.Join(cache, id+".layer"), id: id}
	if _, err := os.Stat(l.path); err == nil {
		now := time.Now()
		return l, os.Chtimes(l.path, now, now) // for prune
	}
	packed := tree + ".layer"
	if err := packTree(packed, tree); err != nil {
		return layer{}, err
	}
	return l, os.Rename(packed, l.path)
}

func hashFile(hash io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(hash, file)
	return err
}
