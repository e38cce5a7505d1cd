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

// An installation is the replicas of one Deployment, which share a Lease. The namespace and
// name of the Lease identify the installation in its cluster, and mark its kjobs. The UID of
// the Lease identifies the installation in the world, and the keys of its stacks derive from
// that UID. Three reasons for the Lease's UID: the scheduler needs no further right to read
// it, people's commands find the same UID, and a second cluster made of the same manifests
// has another one (a cluster restored from a snapshot of etcd has the same one). The Lease
// outlives restarts, upgrades and `helm uninstall`. If somebody deletes the Lease, the next
// leader makes another, and the keys change with its UID.

// DefaultLease is the name of the Lease in deploy/. Commands, and a scheduler without leader
// election, use it if nobody names a Lease.
const DefaultLease = "onejob"

// InstallationName is the label's value that marks the kjobs of an installation.
func InstallationName(namespace, lease string) string { return LabelValue(namespace + "." + lease) }

// LeaseUID is the UID of an installation's Lease.
func LeaseUID(ctx context.Context, client kube.Client, namespace, lease string) (string, error) {
	l, err := client.CoordinationV1().Leases(namespace).Get(ctx, lease, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("reading the Lease %s in namespace %s: %w", lease, namespace, err)
	}
	return string(l.UID), nil
}

// ErrNoInstallation means that onejob may read neither the Lease nor, where there is none,
// the namespace: the installation has no UID.
var ErrNoInstallation = errors.New("nothing that may be read tells this installation of onejob from others")

// InstallationUID is LeaseUID or, where there is no such Lease, the UID of the namespace:
// that of a scheduler without leader election.
func InstallationUID(ctx context.Context, client kube.Client, namespace, lease string) (string, error) {
	uid, err := LeaseUID(ctx, client, namespace, lease)
	if err == nil || !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return uid, err
	}
	if apierrors.IsForbidden(err) { // there may be a Lease, and its UID would count
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

// Foreign reports whether an object of onejob is another installation's. An object without
// the label, which an old release made, belongs to the installation that serves its queue.
func Foreign(labels map[string]string, installation string) bool {
	by := labels[contract.LabelInstallation]
	return by != "" && by != installation
}
