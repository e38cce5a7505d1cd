package launcher

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// completeFolders sees to it that plugins and sockets have a folder, where nobody
// named one. Stock agents have the first in their package's configuration file,
// and a pod has no such file. What is named is left as it is: plugins may lie
// ready in a folder that nobody can write.
func (o *Options) completeFolders() {
	for _, folder := range []struct {
		path *string
		name string
	}{{&o.PluginsPath, "plugins"}, {&o.SocketsPath, "sockets"}} {
		home := expandPath(filepath.Join("$HOME/.buildkite-agent", folder.name))
		if *folder.path != "" && *folder.path != home {
			continue
		}
		*folder.path = home
		if os.Getenv("HOME") == "" || !writable(home) {
			// Any user can write there, or no job could run.
			*folder.path = filepath.Join(o.BuildPath, ".buildkite-agent", folder.name)
		}
	}
}

// writable reports whether the folder is there, or could be made, and files can
// be made in it.
func writable(dir string) bool {
	return os.MkdirAll(dir, 0o777) == nil && unix.Access(dir, unix.W_OK|unix.X_OK) == nil //nolint:gosec // the umask narrows it, as in the agent
}
