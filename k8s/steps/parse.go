package steps

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract/plugin"
)

// The variables of a job's environment that say something of its pod.
const (
	EnvImage   = "BUILDKITE_IMAGE"
	EnvPlugins = plugin.Env
	EnvCommand = "BUILDKITE_COMMAND"
)

const (
	// maxPlugins bounds the plugins of a step. An object in etcd has 1.5 MB, and an API
	// server takes 3.
	maxPlugins = 256 << 10
	// maxPlugin bounds the kubernetes plugin's own text.
	maxPlugin = 64 << 10
	// maxContainers bounds a pod's containers of all kinds, and maxEntries each list of
	// mounts, variables, volumes and the like: what is for all containers is copied into each.
	maxContainers = 32
	maxEntries    = 64
	// maxFaults is how many faults are told; a job's page has room for no more.
	maxFaults = 20
	// maxShown bounds a pipeline's own word in a sentence of ours.
	maxShown = 60
)

// Parse reads what a step says of its pod from its job's environment. The error names
// every fault, each with its field; it is the pipeline's, and the same for each attempt.
func Parse(env map[string]string) (Step, error) {
	f := &faults{}
	step := Step{Image: env[EnvImage]}
	if step.Image != "" {
		f.image("image", step.Image)
	}
	raw, err := pluginOf(env[EnvPlugins])
	if err != nil {
		f.bad("plugins", "%s", err)
	}
	if len(raw) > 0 {
		step.Plugin = readPlugin(f, raw)
	}
	return step, f.err()
}

// pluginOf is the kubernetes plugin's configuration in a job's plugins, null if they
// have its name alone, empty if they have none. What else is wrong with plugins is for the bootstrap to say.
func pluginOf(plugins string) (found json.RawMessage, err error) {
	if len(plugins) > maxPlugins {
		if strings.Contains(plugins, "kubernetes") {
			return nil, fmt.Errorf("they have %d bytes, and the kubernetes plugin is read in %d at the most", len(plugins), maxPlugins)
		}
		return nil, nil
	}
	switch all := plugin.Settings(plugins); len(all) {
	case 0:
		return nil, nil
	case 1:
		return all[0], nil
	}
	return nil, errors.New("the step has the kubernetes plugin more than once: put all of it into one")
}

func readPlugin(f *faults, raw json.RawMessage) *Plugin {
	if len(raw) > maxPlugin {
		f.bad("kubernetes", "it has %d bytes, and %d are read at the most", len(raw), maxPlugin)
		return nil
	}
	var doc any
	if err := json.Unmarshal(raw, &doc); err != nil {
		f.bad("kubernetes", "it is not JSON")
		return nil
	}
	p := &Plugin{}
	if !f.read("kubernetes", doc, p) {
		return nil
	}
	p.check(f)
	return p
}

// check says what is wrong with values.
func (p *Plugin) check(f *faults) {
	if p.JobActiveDeadlineSeconds < 0 {
		f.bad("kubernetes.jobActiveDeadlineSeconds", "%d is negative: write the seconds that the job may take, from 1", p.JobActiveDeadlineSeconds)
	}
	if c := p.CommandParams; c != nil {
		f.oneOf("kubernetes.commandParams.interposer", string(c.Interposer), interposers)
	}
	n := len(p.Sidecars)
	for _, s := range []*corev1.PodSpec{p.PodSpec, p.PodSpecPatch} {
		if s != nil {
			n += len(s.InitContainers) + len(s.Containers)
		}
	}
	if n > maxContainers {
		f.bad("kubernetes", "it has %d containers in all, and a step may have %d", n, maxContainers)
	}
	f.podImages("kubernetes.podSpec", p.PodSpec)
	f.podImages("kubernetes.podSpecPatch", p.PodSpecPatch)
	for i, c := range p.Sidecars {
		at := place("kubernetes.sidecars", i, c.Name)
		if c.Image == "" {
			f.bad(at+".image", "none given")
			continue
		}
		f.image(at+".image", c.Image)
	}
	if m := p.gitMirrors(); m != nil && m.LockTimeout < 0 {
		f.bad("kubernetes.checkout.gitMirrors.lockTimeout", "%d is negative", m.LockTimeout)
	}
}

func (p *Plugin) gitMirrors() *GitMirrors {
	if p.Checkout == nil {
		return nil
	}
	return p.Checkout.GitMirrors
}
