package launcher

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// completeFolders gives plugins and sockets a folder if none was named. Stock agents
// have the plugins' folder in their package's configuration file, and a pod has no such
// file. A named folder is left as it is: it may hold prepared plugins and be read-only.
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
