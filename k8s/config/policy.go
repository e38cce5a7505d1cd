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

// Policy is what a queue's pipelines may ask of their pods. A list that is left out has a
// default, which package policy defines. A list that is given replaces the default.
// In a pattern * matches any part of a name without a /, and ** any part.
type Policy struct {
	// Level is the Pod Security level of a step's containers. privileged lifts the level's
	// rules, but the fields that reach the node must still be allowed one by one.
	Level string `json:"level,omitempty"`
	// Images are patterns of whole names: docker.io/library/node:22-*. Any, if not given.
	Images []string `json:"images,omitempty"`
	// Registries are patterns of hosts. Any, if not given.
	Registries []string `json:"registries,omitempty"`
	// Digests requires images by digest.
	Digests bool `json:"digests,omitempty"`
	// Namespaces are patterns of the namespaces that affinity may name.
	Namespaces []string `json:"namespaces,omitempty"`
	// ServiceAccounts are patterns of the accounts that a step may name. None, if not given.
	ServiceAccounts []string `json:"service-accounts,omitempty"`
	// PodTemplates are those that a step may name. None, if not given. Each is given whole:
	// what it has in it isn't held against the policy.
	PodTemplates []string `json:"pod-templates,omitempty"`
	// Volumes are patterns of the kinds of volumes, such as emptyDir.
	Volumes []string `json:"volumes,omitempty"`
	// Claims are patterns of PersistentVolumeClaims. None, if not given.
	Claims []string `json:"claims,omitempty"`
	// Secrets are patterns of names. None, if not given. A Secret with an agent token is
	// always refused.
	Secrets []string `json:"secrets,omitempty"`
	Host    Host     `json:"host,omitempty"`
	// Privileged allows privileged containers. A privileged container can take the agent
	// token.
	Privileged bool `json:"privileged,omitempty"`
	// Capabilities are patterns of what a container may add, without CAP_.
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
	// MaxDeadline is the longest deadline that a step may set; at least 1s.
	MaxDeadline *Duration `json:"max-deadline,omitempty"`
}

// Host is the part of the node that a step may use. Host never includes the node's
// processes, because the runner is one of them.
type Host struct {
	Network bool `json:"network,omitempty"`
	IPC     bool `json:"ipc,omitempty"`
	// Paths are folders of the node. A hostPath volume must be one of them or below one.
	Paths []string `json:"paths,omitempty"`
}

// Limits are the most of each resource that one container, and all of a pod's containers
// together, may have.
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
