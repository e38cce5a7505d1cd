package kjob

import (
	"errors"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// A scheduler and people's commands find the same UID with their rights. Without the right to
// read it, the UID is an error and not a guess.
func TestInstallationUID(t *testing.T) {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "builds", Name: "onejob", UID: "lease"}}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "builds", UID: "namespace"}}
	forbidden := func(what string) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: what}, "x", errors.New("no"))
	}
	for _, tt := range []struct {
		name                    string
		there                   []runtime.Object
		leaseErr, namespaceErr  error
		want, wantByLease       string
		unknown, passes, absent bool
	}{
		{name: "with a Lease", there: []runtime.Object{lease, namespace}, want: "lease", wantByLease: "lease"},
		{name: "with one, without the right to namespaces", there: []runtime.Object{lease}, namespaceErr: forbidden("namespaces"), want: "lease", wantByLease: "lease"},
		{name: "without one", there: []runtime.Object{namespace}, want: "namespace", absent: true},
		{name: "without one, and without the right to namespaces", there: []runtime.Object{namespace}, namespaceErr: forbidden("namespaces"), unknown: true, absent: true},
		{name: "without the right to Leases", there: []runtime.Object{lease, namespace}, leaseErr: forbidden("leases"), unknown: true},
		{name: "in an outage", there: []runtime.Object{lease, namespace}, leaseErr: apierrors.NewServiceUnavailable("down"), passes: true},
		{name: "in an outage, without a Lease", there: []runtime.Object{namespace}, namespaceErr: apierrors.NewServiceUnavailable("down"), passes: true, absent: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := fake.NewClientset(tt.there...)
			for what, err := range map[string]error{"leases": tt.leaseErr, "namespaces": tt.namespaceErr} {
				if err != nil {
					client.PrependReactor("get", what, func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, err })
				}
			}
			got, err := InstallationUID(t.Context(), client, "builds", "onejob")
			if got != tt.want || (err == nil) != (tt.want != "") || errors.Is(err, ErrNoInstallation) != tt.unknown || apierrors.IsServiceUnavailable(err) != tt.passes {
				t.Errorf("%q, %v", got, err)
			}
			got, err = LeaseUID(t.Context(), client, "builds", "onejob")
			if got != tt.wantByLease || apierrors.IsNotFound(err) != tt.absent {
				t.Errorf("by its Lease: %q, %v", got, err)
			}
		})
	}
}

// An installation marks its kjobs, so that other installations know them. A kjob of an old
// release without a mark belongs to any installation.
func TestInstallationMark(t *testing.T) {
	q := aQueue(t, "")
	q.Installation = InstallationName("builds", "onejob")
	tpl, err := Parse(nil, q)
	if err != nil {
		t.Fatal(err)
	}
	k, err := New(stacks.Job{ID: contract.SampleJobID}, 1, tpl, nil)
	if err != nil {
		t.Fatal(err)
	}
	warm := NewPlaceholder(tpl, 1)
	for name, labels := range map[string]map[string]string{"kjob": k.Labels, "its pod": k.Spec.Template.Labels, "placeholder": warm.Labels, "placeholder's pod": warm.Spec.Template.Labels} {
		if labels[contract.LabelInstallation] != "builds.onejob" || Foreign(labels, "builds.onejob") || !Foreign(labels, "builds.staging") || !Foreign(labels, "") {
			t.Errorf("%s: %q", name, labels)
		}
	}
	if Foreign(map[string]string{contract.LabelQueue: "q"}, "builds.onejob") {
		t.Error("without a mark it is foreign")
	}
	if a, b := PlaceholderName("q", "x.a", 1), PlaceholderName("q", "x.b", 1); a == b || !strings.HasPrefix(a, PlaceholderPrefix) {
		t.Errorf("two installations' placeholders are %s and %s", a, b)
	}
}
