package cgroup

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A container's mounts, as containerd makes them: three of two volumes on the disk, one in
// memory, one of a Secret.
const mounts = `1 0 0:3 / / ro,relatime - overlay overlay rw
2 1 8:1 /var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/builds /builds rw,relatime - ext4 /dev/sda1 rw
3 1 8:1 /var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/tmp /tmp rw,relatime - ext4 /dev/sda1 rw
4 1 8:1 /var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/tmp /var/tmp rw,relatime - ext4 /dev/sda1 rw
5 1 8:1 /var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/builds/a\040b /home/my\040home rw,relatime - ext4 /dev/sda1 rw
6 1 0:9 / /run/onejob-secrets rw,relatime - tmpfs tmpfs rw,size=16384k
7 1 0:9 / /etc/keys ro,relatime - tmpfs tmpfs rw
8 1 8:1 /var/lib/kubelet/pods/u/etc-hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw
nonsense
`

func TestVolumes(t *testing.T) {
	if got, want := volumes(mounts), []string{"/builds", "/tmp"}; !slices.Equal(got, want) && !slices.Equal(got, []string{"/builds", "/var/tmp"}) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := unescaped(`/my\040home\134`); got != `/my home\` {
		t.Errorf("got %q", got)
	}
}

func TestOnDisk(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	if got := onDisk([]string{dir, filepath.Join(dir, "none")}, time.Now().Add(time.Minute)); got < 1<<20 || got > 1<<20+64<<10 {
		t.Errorf("%d bytes, want those of one file and its folder", got)
	}
	if got := onDisk([]string{dir}, time.Now().Add(-time.Second)); got != 0 {
		t.Errorf("%d bytes, want none of a walk that took too long", got)
	}
	if got := onDisk(nil, time.Now()); got != 0 {
		t.Errorf("%d bytes of nothing", got)
	}
}
