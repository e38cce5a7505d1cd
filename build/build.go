// Package build says which onejob this is.
package build

import (
	"regexp"
	"runtime/debug"
)

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

// ImageTag is the tag of the images that belong to this program: a release's is its
// version. A build between releases, as git describe names it, has no images of its
// own, and takes the latest release's.
func ImageTag() string { return imageTag(Version) }

// The programs of a pod start in milliseconds, and need no regular expressions for it.
func imageTag(version string) string {
	validTag := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	between := regexp.MustCompile(`^devel$|^[0-9a-f]{7,40}$|-g[0-9a-f]{7,40}$|-dirty$`)
	if len(version) > 128 || !validTag.MatchString(version) || between.MatchString(version) {
		return "latest"
	}
	return version
}
