package kjob

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kube"
)

const snapshotGroup = "snapshot.storage.k8s.io"

// The bounds of one look at a queue's snapshots: whoever makes them keeps a few.
const (
	mostSnapshots     = 500
	mostSnapshotBytes = 8 << 20
)

// ErrNoSnapshot is the API server's word that a queue has no snapshot of git mirrors that
// can be used now; its text says why. Any other error may be over in a moment.
var ErrNoSnapshot = errors.New("no VolumeSnapshot can be used")

// ErrMayNotLook is beside ErrNoSnapshot where whoever asks may not list VolumeSnapshots. The
// scheduler may all the same.
var ErrMayNotLook = errors.New("there is no right to list volumesnapshots." + snapshotGroup)

// volumeSnapshot has the fields of snapshot.storage.k8s.io/v1 that are read, so that none of
// the CSI packages is linked.
type volumeSnapshot struct {
	Metadata struct {
		Name              string       `json:"name"`
		CreationTimestamp metav1.Time  `json:"creationTimestamp"`
		DeletionTimestamp *metav1.Time `json:"deletionTimestamp"`
	} `json:"metadata"`
	Status struct {
		ReadyToUse bool `json:"readyToUse"`
		// CreationTime is when the storage made the snapshot.
		CreationTime *metav1.Time       `json:"creationTime"`
		RestoreSize  *resource.Quantity `json:"restoreSize"`
	} `json:"status"`
}

// NewestSnapshot is the name of the newest VolumeSnapshot of a namespace that has the labels
// and that a volume can be made of. It is one request.
func NewestSnapshot(ctx context.Context, client kube.Client, namespace string, of config.Snapshot) (string, error) {
	c := client.BatchV1().RESTClient()
	if c == (*rest.RESTClient)(nil) {
		return "", ErrNoSnapshot // a fake's
	}
	selector := labels.SelectorFromSet(of.Labels).String()
	body, err := c.Get().AbsPath("/apis", snapshotGroup, "v1", "namespaces", namespace, "volumesnapshots").
		Param("labelSelector", selector).Param("limit", fmt.Sprint(mostSnapshots)).SetHeader("Accept", "application/json").Stream(ctx)
	switch {
	case apierrors.IsNotFound(err):
		return "", fmt.Errorf("%w: the cluster has no VolumeSnapshots (%s/v1): install the snapshot controller and its CRDs", ErrNoSnapshot, snapshotGroup)
	case apierrors.IsForbidden(err):
		return "", fmt.Errorf("%w: %w in namespace %s", ErrNoSnapshot, ErrMayNotLook, namespace)
	case err != nil:
		return "", fmt.Errorf("listing the VolumeSnapshots of git mirrors: %w", err)
	}
	defer func() { _ = body.Close() }()
	all, err := readSnapshots(body)
	if err != nil {
		return "", fmt.Errorf("reading the VolumeSnapshots of git mirrors (at most %d MiB): %w", mostSnapshotBytes>>20, err)
	}
	name, err := newest(all, of.Size)
	if err != nil {
		return "", fmt.Errorf("%w: namespace %s, labels %s: %w", ErrNoSnapshot, namespace, selector, err)
	}
	return name, nil
}

// readSnapshots reads one page of a list.
func readSnapshots(body io.Reader) (snapshots, error) {
	var list struct {
		Metadata struct {
			Continue string `json:"continue"`
		} `json:"metadata"`
		Items []volumeSnapshot `json:"items"`
	}
	err := json.NewDecoder(io.LimitReader(body, mostSnapshotBytes)).Decode(&list)
	return snapshots{list.Items, list.Metadata.Continue != ""}, err
}

// snapshots are those of a page. There may be more: they come by name, so the newest may be
// among the others.
type snapshots struct {
	page []volumeSnapshot
	more bool
}

// newest chooses. The error says what is wrong with the newest, if none can be used.
func newest(all snapshots, size resource.Quantity) (string, error) {
	switch {
	case all.more:
		return "", fmt.Errorf("there are more than %d: delete old ones", mostSnapshots)
	case len(all.page) == 0:
		return "", errors.New("there is none")
	}
	slices.SortFunc(all.page, func(a, b volumeSnapshot) int {
		return cmp.Or(b.made().Compare(a.made()), cmp.Compare(b.Metadata.Name, a.Metadata.Name))
	})
	for _, s := range all.page {
		if s.unusable(size) == "" {
			return s.Metadata.Name, nil
		}
	}
	first := all.page[0]
	return "", fmt.Errorf("the newest of %d, %s, %s", len(all.page), contract.Line(first.Metadata.Name, 80), first.unusable(size))
}

// made is when a snapshot was made, as far as is known.
func (s volumeSnapshot) made() time.Time {
	if at := s.Status.CreationTime; at != nil {
		return at.Time
	}
	return s.Metadata.CreationTimestamp.Time
}

// unusable is why no volume of a size can be made of a snapshot, empty if one can.
func (s volumeSnapshot) unusable(size resource.Quantity) string {
	switch needs := s.Status.RestoreSize; {
	case s.Metadata.Name == "":
		return "has no name"
	case s.Metadata.DeletionTimestamp != nil:
		return "is being deleted"
	case !s.Status.ReadyToUse:
		return "isn't ready to use"
	case needs != nil && needs.Cmp(size) > 0:
		return fmt.Sprintf("needs %s, which is more than git-mirrors.snapshot.size, %s", needs, &size)
	}
	return ""
}
