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
	// Level is the level of Pod Security that the step's containers keep to. The fields that
	// reach the node must be allowed one by one with `privileged`, too.
	Level string `json:"level,omitempty" enum:"restricted baseline privileged" default:"baseline"`
	// Images are patterns of whole names, such as `docker.io/library/node:22-*`, also for a
	// step with `image:` alone. By default any.
	Images []string `json:"images,omitempty"`
	// Registries are patterns of registries' hosts, also for a step with `image:` alone. By
	// default any.
	Registries []string `json:"registries,omitempty"`
	// Digests allows images by digest only, also for a step with `image:` alone.
	Digests bool `json:"digests,omitempty"`
	// Namespaces are patterns of namespaces that affinity may name. By default none.
	Namespaces []string `json:"namespaces,omitempty"`
	// ServiceAccounts are patterns of service accounts. By default none.
	ServiceAccounts []string `json:"service-accounts,omitempty"`
	// PodTemplates are patterns of PodTemplates that a step may name. By default none. Each is
	// given whole: what it has in it is not held against the policy.
	PodTemplates []string `json:"pod-templates,omitempty"`
	// Volumes are patterns of kinds of volumes. By default emptyDir, configMap, downwardAPI,
	// projected, secret, persistentVolumeClaim and image.
	Volumes []string `json:"volumes,omitempty"`
	// Claims are patterns of PersistentVolumeClaims. By default none.
	Claims []string `json:"claims,omitempty"`
	// Secrets are patterns of Secrets. By default none. A Secret with an agent token is always
	// refused.
	Secrets []string `json:"secrets,omitempty"`
	// Host is the part of the node that a step may use; it needs `level: privileged`.
	Host Host `json:"host,omitempty"`
	// Privileged allows privileged containers, which can take the agent token; it needs
	// `level: privileged`.
	Privileged bool `json:"privileged,omitempty"`
	// Capabilities are patterns of what a container may add, without CAP_. By default those
	// that Pod Security's baseline allows.
	Capabilities []string `json:"capabilities,omitempty"`
	// Limits are the most of each resource, requested or as limit.
	Limits Limits `json:"limits,omitempty"`
	// NodeSelectors are patterns of `key=value`, for node affinity too. By default any.
	NodeSelectors []string `json:"node-selectors,omitempty"`
	// Tolerations are patterns of taints' keys. By default none.
	Tolerations []string `json:"tolerations,omitempty"`
	// PriorityClasses are patterns of priority classes. By default none.
	PriorityClasses []string `json:"priority-classes,omitempty"`
	// RuntimeClasses are patterns of runtime classes. By default none.
	RuntimeClasses []string `json:"runtime-classes,omitempty"`
	// Metadata are patterns of labels' and annotations' keys, beside `buildkite.com/**` and
	// `tag.buildkite.com/**`, and for annotations people's own (without . and /) and those
	// that keep a pod from being evicted.
	Metadata []string `json:"metadata,omitempty"`
	// MaxDeadline is the longest deadline that a step may set, at least 1s. By default the
	// template's `activeDeadlineSeconds`.
	MaxDeadline *Duration `json:"max-deadline,omitempty" min:"1s"`
}

// Host is the part of the node that a step may use. Host never includes the node's
// processes, because the runner is one of them.
type Host struct {
	// Network allows the node's network.
	Network bool `json:"network,omitempty"`
	// IPC allows the node's IPC.
	IPC bool `json:"ipc,omitempty"`
	// Paths are folders of the node: a hostPath volume must be one of them or below one. By
	// default none.
	Paths []string `json:"paths,omitempty" pattern:"^/"`
}

// Limits are the most of each resource that one container, and all of a pod's containers
// together, may have.
type Limits struct {
	// Container is for each container; one without a limit gets this as its limit. By default
	// the limits of the template's container `agent`.
	Container corev1.ResourceList `json:"container,omitempty"`
	// Pod is for all containers of the pod together. By default none.
	Pod corev1.ResourceList `json:"pod,omitempty"`
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
