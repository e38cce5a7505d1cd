package image

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/onejob-dev/onejob/test/repo"
)

// program is what a "go build" of a build stage makes.
type program struct {
	pkg   string
	flags []string
	env   []string
}

// goStage is one whose "go build" lines are carried out on this machine, when
// and if another stage copies what they make.
func (b *builder) goStage(s stage) (*result, error) {
	r := &result{programs: map[string]program{}}
	given := map[string]string{"VERSION": b.options.Version}
	values := variables{}
	var env []string
	for _, i := range s.instructions {
		switch i.name {
		case "WORKDIR", "COPY":
			// The sources are here already.
		case "ARG", "ENV":
			pairs, err := assignments(i, values)
			if err != nil {
				return nil, err
			}
			for _, pair := range pairs {
				value, ok := given[pair[0]]
				if !ok || i.name == "ENV" {
					value = pair[1]
				}
				values[pair[0]] = value
				if i.name == "ENV" {
					env = append(env, pair[0]+"="+value)
				}
			}
		case "RUN":
			if i.args == "go mod download" {
				continue
			}
			out, p, err := goBuild(i, values)
			if err != nil {
				return nil, err
			}
			p.env = slices.Clone(env)
			r.programs[out] = p
		default:
			return nil, i.errorf("%w", errNotUnderstood)
		}
	}
	return r, nil
}

// goBuild reads "go build FLAGS -o OUT PACKAGE".
func goBuild(i instruction, values variables) (string, program, error) {
	command, err := values.expand(i.args)
	if err != nil {
		return "", program{}, i.errorf("%w", err)
	}
	all, err := words(command)
	if err != nil {
		return "", program{}, i.errorf("%w", err)
	}
	at := slices.Index(all, "-o")
	if len(all) < 5 || all[0] != "go" || all[1] != "build" || at != len(all)-3 {
		return "", program{}, i.errorf("%q isn't go build FLAGS -o OUT PACKAGE: %w", i.args, errNotUnderstood)
	}
	return all[at+1], program{pkg: all[at+2], flags: all[2:at]}, nil
}

// program builds p to out. A copy stays in the cache, by which the go command
// sees that there is nothing to do: linking them all takes longer than the rest
// of an image.
func (b *builder) program(ctx context.Context, p program, out string) error {
	pkg := p.pkg
	if standIn, ok := b.options.StandIns[pkg]; ok {
		pkg = standIn
	}
	env := p.env
	if b.options.Arch != runtime.GOARCH { // else the same build as everybody's
		env = append(slices.Clone(env), "GOOS=linux", "GOARCH="+b.options.Arch)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", pkg, p.flags, env))
	kept := filepath.Join(b.cache, fmt.Sprintf("program-%x", sum[:6]))
	if err := repo.Build(ctx, repo.Program{Package: pkg, Out: kept, Flags: p.flags, Env: env}); err != nil {
		return err
	}
	return os.Link(kept, out)
}
