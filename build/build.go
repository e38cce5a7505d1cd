// Package build says which onejob this is.
package build

import "runtime/debug"

// Version is set by the linker: -X github.com/onejob-dev/onejob/build.Version=….
var Version string

// String returns the version, or, in a program that wasn't stamped, what the Go
// tool recorded of it.
func String() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "devel"
}
