// Command cmd builds what a release publishes: make images, make release-dry-run.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/onejob-dev/onejob/test/release"
)

func main() {
	version := flag.String("version", "dev", "of the release")
	platforms := flag.String("platforms", "amd64,arm64", "architectures")
	out := flag.String("out", "bin/release", "folder")
	dry := flag.Bool("dry-run", false, "build the chart and the notes, too, and push to a registry of its own")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *version, *platforms, *out, *dry)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, version, platforms, out string, dry bool) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	o := release.Options{Version: version, Platforms: strings.Split(platforms, ","), Out: out}
	if dry {
		return release.DryRun(ctx, o, os.Stdout)
	}
	images, err := release.Images(ctx, o)
	if err != nil {
		return err
	}
	release.Tell(os.Stdout, images)
	fmt.Printf("OCI image layouts: %s\n", filepath.Join(out, "images"))
	return nil
}
