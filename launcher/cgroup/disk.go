package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// diskWithin bounds the walk through the volumes: a pod isn't kept for a number.
const diskWithin = 250 * time.Millisecond

// UseOfPod is Use, with what the pod's volumes have on the node's disk.
func UseOfPod() *contract.Use {
	u := Use()
	disk := onDisk(volumes(text(os.DirFS("/"), "proc/self/mountinfo")), time.Now().Add(diskWithin))
	if disk > 0 && u == nil {
		u = &contract.Use{}
	}
	if u != nil {
		u.Disk = disk
	}
	return u
}

// emptyDir is in the path that the kubelet gives such a volume on the node. A volume in
// memory isn't told apart from other tmpfs, and counts as memory.
const emptyDir = "/kubernetes.io~empty-dir/"

// volumes are the folders of a pod's emptyDirs on the disk, by /proc/self/mountinfo (proc(5)):
// the fourth field is the path in the file system, the fifth where it is mounted. One that
// is mounted in several places, or in parts, counts once.
func volumes(mountinfo string) (folders []string) {
	at := map[string]string{}
	for line := range strings.Lines(mountinfo) {
		if f := strings.Fields(line); len(f) > 5 && strings.Contains(f[3], emptyDir) {
			at[f[3]] = unescaped(f[4])
		}
	}
	for of, folder := range at {
		within := false
		for other := range at {
			within = within || strings.HasPrefix(of, other+"/")
		}
		if !within {
			folders = append(folders, folder)
		}
	}
	slices.Sort(folders)
	return folders
}

// unescaped: the kernel writes white space and backslashes as three octal digits.
func unescaped(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}

var errLate = errors.New("the walk takes too long")

// onDisk is how much folders have on the disk, in bytes; 0 if that takes longer than until a
// moment, or a part can't be read. A file with several names counts once.
func onDisk(folders []string, by time.Time) (bytes int64) {
	type file struct{ dev, inode uint64 }
	seen := map[file]bool{}
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
			if time.Now().After(by) {
				return errLate
			}
			var info fs.FileInfo
			if err == nil {
				info, err = d.Info()
			}
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it has gone meanwhile
			}
			if err != nil {
				return err // a part can't be looked into, so the sum isn't known
			}
			stat, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return nil
			}
			if stat.Nlink > 1 && !d.IsDir() {
				one := file{stat.Dev, stat.Ino}
				if seen[one] {
					return nil
				}
				seen[one] = true
			}
			bytes += stat.Blocks * 512
			return nil
		})
		if err != nil {
			return 0
		}
	}
	return bytes
}
