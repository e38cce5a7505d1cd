package release

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/onejob-dev/onejob/test/helmbin"
	"github.com/onejob-dev/onejob/test/repo"
)

// DryRun builds all that a release publishes, pushes the images and the chart to a
// registry of its own, and says to w what they are. Nothing is signed.
func DryRun(ctx context.Context, o Options, w io.Writer) error {
	images, err := Images(ctx, o)
	if err != nil {
		return err
	}
	helm, err := helmbin.Build(ctx)
	if err != nil {
		return err
	}
	chart, err := packageChart(ctx, helm, o)
	if err != nil {
		return err
	}
	err = oci(ctx, "push", "--dry-run", "--from", filepath.Join(o.Out, "images"), "--", helm, "push", chart, "oci://{}/charts", "--plain-http")
	if err != nil {
		return err
	}
	notes, since, err := Notes(ctx, o.Version)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.Out, "notes.md"), []byte(notes), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(w, "A release of %s would publish this. All of it was pushed to a registry on this machine, and found there again. Nothing is signed.\n\n", o.Version)
	Tell(w, images)
	info, err := os.Stat(chart)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "charts/onejob:%s\n  chart          %s, %s\n\nnotes            %s, %s\n\n%s", ChartVersion(o.Version), chart, size(info.Size()), filepath.Join(o.Out, "notes.md"), since, notes)
	return nil
}

// Tell says what images are.
func Tell(w io.Writer, images []Image) {
	for _, i := range images {
		fmt.Fprintf(w, "%s:%s\n  index          %s\n", i.Name, strings.Join(i.Tags, ", :"), i.Digest)
		for _, p := range i.Platforms {
			fmt.Fprintf(w, "  %-14s %s  %s to pull, %s unpacked\n  SBOM           %s  %d packages\n", p.Platform, p.Digest, size(p.Pull), size(p.Unpacked), p.SBOM, p.Packages)
		}
		fmt.Fprintln(w)
	}
}

func size(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }

func packageChart(ctx context.Context, helm string, o Options) (string, error) {
	root, err := repo.Root()
	if err != nil {
		return "", err
	}
	version := ChartVersion(o.Version)
	_, err = output(ctx, helm, "package", filepath.Join(root, "deploy", "chart"), "--version", version, "--app-version", o.Version, "--destination", o.Out)
	return filepath.Join(o.Out, "onejob-"+version+".tgz"), err
}

// ChartVersion is a version as Helm takes it: semantic, without a v. What git describe
// says between releases, or where there is no tag, becomes a version before 0.0.0.
func ChartVersion(version string) string {
	if semver.IsValid(version) && strings.Count(semver.Canonical(version), ".") >= 2 {
		return strings.TrimPrefix(version, "v")
	}
	return "0.0.0-g" + version
}

// output runs a program in the repository and returns what it printed.
func output(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var err error
	if cmd.Dir, err = repo.Root(); err != nil {
		return "", err
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), args[0], err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
