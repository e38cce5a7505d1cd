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
	// Snapshot gives each pod a volume of its own, made of the newest VolumeSnapshot of the
	// queue's namespace that has these labels and is ready; looked for every 30 s while there
	// are jobs. Without one, jobs run without mirrors. Needs the right to list
	// volumesnapshots.snapshot.storage.k8s.io there, which the chart gives. See
	// docs/git.md#mirrors-from-snapshots.
	Snapshot *Snapshot `json:"snapshot,omitempty"`
}

// Snapshot selects VolumeSnapshots of the queue's namespace. Each pod gets a copy of the
// newest one that is ready.
type Snapshot struct {
	// Labels are those that a snapshot must have, at least one.
	Labels map[string]string `json:"labels" min:"1"`
	// StorageClass is the volumes' StorageClass, of the driver that made the snapshots. By
	// default the cluster's.
	StorageClass string `json:"storage-class,omitempty"`
	// Size is how large each volume is, such as `20Gi`. A snapshot that needs more isn't used.
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
