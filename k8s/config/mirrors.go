package config

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// GitMirrors says where the runners of a queue find git mirrors that were made beforehand.
// Those on a claim or a folder of the node are a volume of the template.
type GitMirrors struct {
	// Snapshot gives each pod a volume of its own, made of a snapshot of mirrors.
	Snapshot *Snapshot `json:"snapshot,omitempty"`
}

// Snapshot selects VolumeSnapshots of the queue's namespace. Each pod gets a copy of the
// newest one that is ready.
type Snapshot struct {
	// Labels are those that a snapshot must have; at least one.
	Labels map[string]string `json:"labels"`
	// StorageClass is of the volumes; empty means the cluster's default. Its driver must be
	// the snapshots'.
	StorageClass string `json:"storage-class,omitempty"`
	// Size is of each volume. A snapshot that needs more isn't used.
	Size resource.Quantity `json:"size"`
}

func (f *faults) mirrors(at string, m GitMirrors) {
	s := m.Snapshot
	if s == nil {
		return
	}
	if len(s.Labels) == 0 {
		f.bad("%s: git-mirrors.snapshot.labels: none given: write the labels of the VolumeSnapshots with the mirrors", at)
	}
	for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
		for _, msg := range append(validation.IsQualifiedName(k), validation.IsValidLabelValue(s.Labels[k])...) {
			f.bad("%s: git-mirrors.snapshot.labels: %s=%s: %s", at, k, s.Labels[k], msg)
		}
	}
	if s.Size.Sign() <= 0 {
		f.bad("%s: git-mirrors.snapshot.size: none given: write how large each job's volume is, such as 20Gi", at)
	}
	if s.StorageClass != "" && len(validation.IsDNS1123Subdomain(s.StorageClass)) > 0 {
		f.bad("%s: git-mirrors.snapshot.storage-class: %q is no name of a StorageClass", at, s.StorageClass)
	}
}
