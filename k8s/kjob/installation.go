package kjob

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// An installation is what shares a Lease: the replicas of one Deployment. The Lease's
// namespace and name tell it from others of its cluster, and mark its kjobs. Its UID
// tells it from all others, and makes its stacks' keys: the scheduler may read it
// without a further right, people's commands find the same, and a cluster made of the
// same manifests has another, though not one restored from a snapshot of etcd. The Lease
// is nobody's to delete: it outlives restarts, upgrades and `helm uninstall`. Should it
// be made anew all the same, the keys are new ones, from the next leader on.

// DefaultLease is the name of the Lease of deploy/, and of a scheduler that has none.
const DefaultLease = "onejob"

// InstallationName marks the kjobs of the installation of a Lease.
func InstallationName(namespace, lease string) string { return LabelValue(namespace + "." + lease) }

// LeaseUID is the UID of an installation's Lease.
func LeaseUID(ctx context.Context, client kube.Client, namespace, lease string) (string, error) {
	l, err := client.CoordinationV1().Leases(namespace).Get(ctx, lease, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("reading the Lease %s in namespace %s: %w", lease, namespace, err)
	}
	return string(l.UID), nil
}

// ErrNoInstallation: nothing that may be read tells this installation from others.
var ErrNoInstallation = errors.New("nothing that may be read tells this installation of onejob from others")

// InstallationUID is LeaseUID or, where there is no such Lease, the UID of the namespace:
// that of a scheduler without leader election.
func InstallationUID(ctx context.Context, client kube.Client, namespace, lease string) (string, error) {
	uid, err := LeaseUID(ctx, client, namespace, lease)
	if err == nil || !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return uid, err
	}
	if apierrors.IsForbidden(err) { // there may be a Lease, whose UID is the one
		return "", fmt.Errorf("%w: %w", ErrNoInstallation, err)
	}
	ns, nsErr := client.CoreV1().Namespaces().Get(ctx, namespace, metav1.GetOptions{})
	switch {
	case nsErr == nil:
		return string(ns.UID), nil
	case apierrors.IsNotFound(nsErr), apierrors.IsForbidden(nsErr):
		return "", fmt.Errorf("%w: %w, %w", ErrNoInstallation, err, nsErr)
	}
	return "", fmt.Errorf("reading the namespace %s: %w", namespace, nsErr)
}

// Foreign reports whether an object of onejob is another installation's. Those that a
// release made that had no such mark are taken over by whoever serves their queue.
func Foreign(labels map[string]string, installation string) bool {
	by := labels[contract.LabelInstallation]
	return by != "" && by != installation
}
