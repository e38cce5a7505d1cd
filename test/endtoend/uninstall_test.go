package endtoend

import (
	"context"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/test/fixture"
)

// TestUninstall: the jobs of all tests before this one leave nothing behind. After
// the shipped recipe the stacks are deregistered, and stay so, nothing of onejob is
// left, and it can be installed again.
func TestUninstall(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	clean(t, ctx)
	// Of this installation: one that was made anew has other keys.
	connected := func() (queues []string) {
		for _, s := range on.Simulator.Stacks() {
			if s.State == "connected" {
				queues = append(queues, s.Queue)
			}
		}
		slices.Sort(queues)
		return queues
	}
	before := connected()
	if len(before) < 3+len(all())/2 {
		t.Fatalf("there are stacks for the queues %q", before)
	}
	registered, deregistered := on.Simulator.Count("stacks_register"), on.Simulator.Count("stacks_deregister")
	if err := on.Uninstall(ctx, options.Root); err != nil {
		t.Fatal(err)
	}
	registered, deregistered = on.Simulator.Count("stacks_register")-registered, on.Simulator.Count("stacks_deregister")-deregistered
	if registered != 0 || deregistered != len(before) {
		t.Errorf("the stacks of %d queues were deregistered by %d requests and registered by %d, want one each and none", len(before), deregistered, registered)
	}
	if left := connected(); len(left) > 0 {
		t.Errorf("the stacks of %q are still there, of %q", left, before)
	}
	client := on.Cluster.Client()
	if _, err := client.CoreV1().Namespaces().Get(ctx, fixture.Namespace, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the namespace is still there: %v", err)
	}
	ours := metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=onejob"}
	classes, err := client.SchedulingV1().PriorityClasses().List(ctx, ours)
	if err != nil || len(classes.Items) > 0 {
		t.Errorf("%d PriorityClasses are left, %v", len(classes.Items), err)
	}
	roles, err := client.RbacV1().ClusterRoles().List(ctx, ours)
	if err != nil || len(roles.Items) > 0 {
		t.Errorf("%d ClusterRoles are left, %v", len(roles.Items), err)
	}

	again := options
	again.Namespaces = nil // the other ones stay with what they have
	if err := on.Install(ctx, again); err != nil {
		t.Fatalf("installing again: %v", err)
	}
	if err := on.Simulator.Wait(ctx, func() bool { return slices.Equal(connected(), before) }); err != nil {
		t.Errorf("%v: the stacks are %+v, want those of %q, connected", err, on.Simulator.Stacks(), before)
	}
	if err := settle(ctx); err != nil {
		t.Fatal(err)
	}
}
