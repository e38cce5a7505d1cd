package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// The levels of Policy.Level, with the meaning that Pod Security gives them.
const (
	LevelRestricted = "restricted"
	LevelBaseline   = "baseline"
	LevelPrivileged = "privileged"
)

// Policy is what a queue's pipelines may ask of their pods. A list that isn't given is
// the default, which package policy says for each; one that is given is all there is.
// In the patterns * stands for any part of a name without a /, and ** for any part.
type Policy struct {
	// Level of Pod Security that a step's containers keep to. privileged lifts its rules;
	// what reaches the node has to be named all the same.
	Level string `json:"level,omitempty"`
	// Images are patterns of whole names: docker.io/library/node:22-*. Any, if not given.
	Images []string `json:"images,omitempty"`
	// Registries are patterns of hosts. Any, if not given.
	Registries []string `json:"registries,omitempty"`
	// Digests requires images by digest.
	Digests bool `json:"digests,omitempty"`
	// Namespaces are those that affinity may name.
	Namespaces []string `json:"namespaces,omitempty"`
	// ServiceAccounts are those that a step may name. None, if not given.
	ServiceAccounts []string `json:"service-accounts,omitempty"`
	// PodTemplates are those that a step may name. None, if not given. Each is given whole:
	// what it has in it isn't held against the policy.
	PodTemplates []string `json:"pod-templates,omitempty"`
	// Volumes are kinds, by Kubernetes' names for them.
	Volumes []string `json:"volumes,omitempty"`
	// Claims are patterns of PersistentVolumeClaims. None, if not given.
	Claims []string `json:"claims,omitempty"`
	// Secrets are patterns of names. None, if not given; one with an agent token never.
	Secrets []string `json:"secrets,omitempty"`
	Host    Host     `json:"host,omitempty"`
	// Privileged allows privileged containers: such a one can take the agent token.
	Privileged bool `json:"privileged,omitempty"`
	// Capabilities are those that a container may add.
	Capabilities []string `json:"capabilities,omitempty"`
	Limits       Limits   `json:"limits,omitempty"`
	// NodeSelectors are patterns of key=value, for node affinity too. Any, if not given.
	NodeSelectors []string `json:"node-selectors,omitempty"`
	// Tolerations are patterns of taints' keys.
	Tolerations     []string `json:"tolerations,omitempty"`
	PriorityClasses []string `json:"priority-classes,omitempty"`
	RuntimeClasses  []string `json:"runtime-classes,omitempty"`
	// Metadata are patterns of labels' and annotations' keys, beside the default ones.
	Metadata []string `json:"metadata,omitempty"`
	// MaxDeadline is the longest that a step may give itself.
	MaxDeadline *Duration `json:"max-deadline,omitempty"`
}

// Host is what of the node a step may have. Its processes are never among that: the
// runner's is one.
type Host struct {
	Network bool `json:"network,omitempty"`
	IPC     bool `json:"ipc,omitempty"`
	// Paths begin the hostPath volumes.
	Paths []string `json:"paths,omitempty"`
}

// Limits are the most that there is of each resource.
type Limits struct {
	Container corev1.ResourceList `json:"container,omitempty"`
	Pod       corev1.ResourceList `json:"pod,omitempty"`
}

// Validate returns every fault of a policy, joined.
func (p *Policy) Validate() error {
	var f faults
	if !slices.Contains([]string{"", LevelRestricted, LevelBaseline, LevelPrivileged}, p.Level) {
		f.bad("policy.level: %q is not one of restricted, baseline, privileged", p.Level)
	}
	onlyPrivileged := map[string]bool{"privileged": p.Privileged, "host.network": p.Host.Network, "host.ipc": p.Host.IPC, "host.paths": len(p.Host.Paths) > 0}
	for _, field := range slices.Sorted(maps.Keys(onlyPrivileged)) {
		if onlyPrivileged[field] && p.Level != LevelPrivileged {
			f.bad("policy.%s: it needs level: privileged, because each other level refuses it", field)
		}
	}
	for _, path := range p.Host.Paths {
		if !strings.HasPrefix(path, "/") {
			f.bad("policy.host.paths: %q doesn't begin with /", path)
		}
	}
	if p.MaxDeadline != nil && *p.MaxDeadline < Duration(time.Second) {
		f.bad("policy.max-deadline: %s is less than 1s", time.Duration(*p.MaxDeadline))
	}
	return errors.Join(f...)
}
