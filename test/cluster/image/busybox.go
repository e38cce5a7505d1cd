package image

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/onejob-dev/onejob/test/repo"
)

// BusyboxName is the name of the image that Busybox builds.
const BusyboxName = "localhost/onejob-busybox:dev"

// busyboxID is the version of its layer.
const busyboxID = "busybox-1"

// Busybox builds an image that knows nothing of onejob, and returns its path: Debian's
// static busybox with its commands, no other shell, no user (so it is root by default),
// and an entrypoint that does nothing but fail.
func Busybox(ctx context.Context) (string, error) {
	cache, err := repo.Cache("image")
	if err != nil {
		return "", err
	}
	unlock, err := repo.Lock(filepath.Join(cache, "busybox.lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	l := layer{path: filepath.Join(cache, busyboxID+".layer"), id: busyboxID}
	if _, err := os.Stat(l.path); err != nil {
		if l, err = busyboxLayer(ctx, cache, busyboxID); err != nil {
			return "", fmt.Errorf("making an image of busybox: %w", err)
		}
	}
	path := filepath.Join(cache, "busybox.tar")
	return path, writeLayout(path, BusyboxName, runtime.GOARCH, Config{Entrypoint: []string{"/bin/false"}, Env: []string{"PATH=/bin", "OF_THE_IMAGE=yes"}}, []layer{l})
}

func busyboxLayer(ctx context.Context, cache, id string) (layer, error) {
	scratch, err := os.MkdirTemp(cache, "layers-")
	if err != nil {
		return layer{}, err
	}
	defer os.RemoveAll(scratch)
	// As the user that apt downloads as may not write there.
	if err := os.Chmod(scratch, 0o777); err != nil { //nolint:gosec // it goes at once
		return layer{}, err
	}
	script := `apt-get download -q busybox-static && dpkg-deb -x busybox-static_*.deb deb && mkdir -p tree/bin tree/tmp tree/etc &&
		cp deb/bin/busybox tree/bin/busybox && for c in $(tree/bin/busybox --list); do test $c = busybox || ln -s busybox tree/bin/$c; done && chmod 1777 tree/tmp`
	cmd := exec.CommandContext(ctx, "/bin/sh", "-ec", script)
	cmd.Dir = scratch
	if out, err := cmd.CombinedOutput(); err != nil {
		return layer{}, fmt.Errorf("%w: %s", err, out)
	}
	return keepLayer(cache, filepath.Join(scratch, "tree"), id)
}
