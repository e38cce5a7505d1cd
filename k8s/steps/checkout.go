package steps

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// DefaultMirrors is where a volume of git mirrors is mounted.
const DefaultMirrors = "/buildkite/git-mirrors"

// over merges a checkout's settings over base's. A setting that c leaves out is base's; c's
// variables and mounts come after base's.
func (c *Checkout) over(base *Checkout) *Checkout {
	if c == nil {
		c = &Checkout{}
	}
	if base == nil {
		return c
	}
	out := *c
	out.Skip = cmp.Or(c.Skip, base.Skip)
	out.CheckoutFlags = cmp.Or(c.CheckoutFlags, base.CheckoutFlags)
	out.CleanFlags = cmp.Or(c.CleanFlags, base.CleanFlags)
	out.CloneFlags = cmp.Or(c.CloneFlags, base.CloneFlags)
	out.FetchFlags = cmp.Or(c.FetchFlags, base.FetchFlags)
	out.NoSubmodules = cmp.Or(c.NoSubmodules, base.NoSubmodules)
	out.GitCredentialsSecret = cmp.Or(c.GitCredentialsSecret, base.GitCredentialsSecret)
	if len(c.SubmoduleCloneConfig) == 0 {
		out.SubmoduleCloneConfig = base.SubmoduleCloneConfig
	}
	out.GitMirrors = c.GitMirrors.over(base.GitMirrors)
	out.EnvFrom = slices.Concat(base.EnvFrom, c.EnvFrom)
	out.ExtraVolumeMounts = slices.Concat(base.ExtraVolumeMounts, c.ExtraVolumeMounts)
	return &out
}

func (m *GitMirrors) over(base *GitMirrors) *GitMirrors {
	if m == nil || base == nil {
		return cmp.Or(m, base)
	}
	return &GitMirrors{
		Path: cmp.Or(m.Path, base.Path), Volume: cmp.Or(m.Volume, base.Volume), CloneFlags: cmp.Or(m.CloneFlags, base.CloneFlags),
		LockTimeout: cmp.Or(m.LockTimeout, base.LockTimeout), SkipUpdate: cmp.Or(m.SkipUpdate, base.SkipUpdate),
	}
}

// env are the settings as the agent's environment variables.
func (c *Checkout) env() []corev1.EnvVar {
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
		text("BUILDKITE_GIT_MIRRORS_PATH", m.at())
		text("BUILDKITE_GIT_CLONE_MIRROR_FLAGS", m.CloneFlags)
		if m.LockTimeout > 0 {
			seconds := strconv.Itoa(m.LockTimeout)
			text("BUILDKITE_GIT_MIRRORS_LOCK_TIMEOUT", &seconds)
		}
		flag("BUILDKITE_GIT_MIRRORS_SKIP_UPDATE", m.SkipUpdate)
	}
	return env
}

// at is the mirrors' folder, nil if neither a path nor a volume is given.
func (m *GitMirrors) at() *string {
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
	"BUILDKITE_GIT_CHECKOUT_FLAGS", "BUILDKITE_GIT_CLEAN_FLAGS", "BUILDKITE_GIT_CLONE_FLAGS", "BUILDKITE_GIT_FETCH_FLAGS", "BUILDKITE_NO_GIT_SUBMODULES",
	"BUILDKITE_GIT_SUBMODULE_CLONE_CONFIG", "BUILDKITE_GIT_MIRRORS_PATH", "BUILDKITE_GIT_CLONE_MIRROR_FLAGS", "BUILDKITE_GIT_MIRRORS_LOCK_TIMEOUT", "BUILDKITE_GIT_MIRRORS_SKIP_UPDATE", "BUILDKITE_GIT_MIRROR_CHECKOUT_MODE",
}

// isFree reports whether a pipeline's volume at a path leaves the runner's programs alone.
func isFree(p string) bool {
	if path.Clean(p) != strings.TrimSuffix(p, "/") {
		return false
	}
	return slices.ContainsFunc(free, func(dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") })
}
