package image

import (
	"context"
	"fmt"
	"path/filepath"
)

// Examples builds what the pipelines of examples/ name as images, and returns their
// paths. They know nothing of onejob, and but for the static one they are root's.
func Examples(ctx context.Context) ([]string, error) {
	if _, err := Busybox(ctx); err != nil {
		return nil, err
	}
	if _, err := Stub(ctx); err != nil {
		return nil, err
	}
	b, done, err := begin(Options{})
	if err != nil {
		return nil, err
	}
	defer done()
	debian, err := b.stage(ctx, "base")
	if err != nil {
		return nil, fmt.Errorf("Dockerfile.agent: %w", err)
	}
	busybox := []layer{{path: filepath.Join(b.cache, busyboxID+".layer"), id: busyboxID}}
	var paths []string
	for _, i := range []struct {
		file, name string
		config     Config
		layers     []layer
	}{
		{"debian", "docker.io/library/debian:12-slim", Config{Cmd: []string{"bash"}}, debian.layers},
		{"entrypoint", "docker.io/alpine/git:2.49.1", Config{Entrypoint: []string{"git"}, WorkingDir: "/git"}, debian.layers},
		{"busybox", "docker.io/library/busybox:1.36", Config{Cmd: []string{"sh"}}, busybox},
	} {
		path := filepath.Join(b.cache, "example-"+i.file+".tar")
		if err := writeLayout(path, i.name, b.options.Arch, i.config, i.layers); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}
