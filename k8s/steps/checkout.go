package steps

import (
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// EnvMirrors is the agent's variable for the folder of git mirrors.
const EnvMirrors = "BUILDKITE_GIT_MIRRORS_PATH"

// DefaultMirrors is where a volume of git mirrors is mounted.
const DefaultMirrors = "/buildkite/git-mirrors"

// Env are the settings as the agent's environment variables.
func (c *Checkout) Env() []corev1.EnvVar {
	var env []corev1.EnvVar
	text := func(name string, v *string) {
		if v != nil {
			env = append(env, corev1.EnvVar{Name: name, Value: *v})
		}
	}
	flag := func(name string, v *bool) {
		if v != nil {
			env = append(env, corev1.EnvVar{Name: name, Value: strconv.FormatBool(*v)})
		}
	}
	flag("BUILDKITE_SKIP_CHECKOUT", c.Skip)
	text("BUILDKITE_GIT_CHECKOUT_FLAGS", c.CheckoutFlags)
	text("BUILDKITE_GIT_CLEAN_FLAGS", c.CleanFlags)
	text("BUILDKITE_GIT_CLONE_FLAGS", c.CloneFlags)
	text("BUILDKITE_GIT_FETCH_FLAGS", c.FetchFlags)
	flag("BUILDKITE_NO_GIT_SUBMODULES", c.NoSubmodules)
	if len(c.SubmoduleCloneConfig) > 0 {
		config := strings.Join(c.SubmoduleCloneConfig, ",")
		text("BUILDKITE_GIT_SUBMODULE_CLONE_CONFIG", &config)
	}
	if m := c.GitMirrors; m != nil {
		text(EnvMirrors, m.At())
		text("BUILDKITE_GIT_CLONE_MIRROR_FLAGS", m.CloneFlags)
		if m.LockTimeout > 0 {
			seconds := strconv.Itoa(m.LockTimeout)
			text("BUILDKITE_GIT_MIRRORS_LOCK_TIMEOUT", &seconds)
		}
		flag("BUILDKITE_GIT_MIRRORS_SKIP_UPDATE", m.SkipUpdate)
	}
	return env
}

// At is the mirrors' folder, nil if neither a path nor a volume is given.
func (m *GitMirrors) At() *string {
	if m.Path == nil && m.Volume != nil {
		byDefault := DefaultMirrors
		return &byDefault
	}
	return m.Path
}

// free are the folders of the runner's container in which a pipeline may mount volumes: none
// of them has a program of the runner's, or its settings.
var free = []string{"/buildkite", "/cache", "/caches", "/data", "/media", "/mnt", "/secrets", "/srv", "/workspace"}

// FreeFolders are those.
func FreeFolders() []string { return slices.Clone(free) }

// CheckoutVariables are the names of the variables by which a step's settings reach the
// checkout.
var CheckoutVariables = []string{
	"BUILDKITE_SKIP_CHECKOUT", "BUILDKITE_GIT_CHECKOUT_FLAGS", "BUILDKITE_GIT_CLEAN_FLAGS", "BUILDKITE_GIT_CLONE_FLAGS", "BUILDKITE_GIT_FETCH_FLAGS", "BUILDKITE_NO_GIT_SUBMODULES",
	"BUILDKITE_GIT_SUBMODULE_CLONE_CONFIG", "BUILDKITE_GIT_MIRRORS_PATH", "BUILDKITE_GIT_CLONE_MIRROR_FLAGS", "BUILDKITE_GIT_MIRRORS_LOCK_TIMEOUT", "BUILDKITE_GIT_MIRRORS_SKIP_UPDATE", "BUILDKITE_GIT_MIRROR_CHECKOUT_MODE",
}

// isFree reports whether a pipeline's volume at a path leaves the runner's programs alone.
func isFree(p string) bool {
	if path.Clean(p) != strings.TrimSuffix(p, "/") {
		return false
	}
	return slices.ContainsFunc(free, func(dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") })
}
