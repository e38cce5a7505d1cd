package controlplane_test

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/test/controlplane"
)

// Two schedulers with the same configuration, and a tenth of the runners leave
// without their job. The names of the kjobs are the lock: a Lease only saves
// work, and keeps the cap.
func TestTwoSchedulers(t *testing.T) {
	t.Parallel()
	const n, cap = 500, 40
	for _, tt := range []struct {
		name string
		args []string
		most int
	}{
		{"leader election off", nil, 2 * cap},
		{"leader election on", []string{"--lease", "onejob"}, cap},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := open(t, fmt.Sprintf("  max-in-flight: %d\n", cap))
			left := map[string]int{} // runners that left, by job
			l.behave(func(n int, r *controlplane.Runner) controlplane.Behaviour {
				switch n % 20 {
				case 7:
					left[r.Job]++
					return controlplane.Exits(contract.OutcomeExhausted)
				case 17:
					left[r.Job]++
					return controlplane.Exits(contract.OutcomeStopped)
				}
				return controlplane.Runs(200 * time.Millisecond)
			})
			ids := l.build(n)
			one := l.launch(append(tt.args, "--identity", "one")...)
			two := l.launch(append(tt.args, "--identity", "two")...)

			if err := l.Watch.WaitFor(l.ctx, n/2); err != nil {
				t.Fatal(err)
			}
			// One of them, and with a Lease its holder, drains in the middle.
			if len(tt.args) > 0 && l.holder() == "two" {
				one = two
			}
			if err := one.Stop(); err != nil {
				t.Errorf("draining: %v", err)
			}
			l.ended(5 * time.Minute)

			if twice := l.Watch.Twice(); len(twice) > 0 {
				t.Errorf("these kjobs came while another one of their job was unfinished: %v", twice)
			}
			if most := l.Watch.Most(); most > tt.most {
				t.Errorf("there were up to %d unfinished kjobs, want at most %d", most, tt.most)
			}
			attempts := map[string]int{}
			for _, k := range l.Watch.Kjobs() {
				attempts[k.Job]++
				if want := contract.KjobName(contract.JobID(k.Job), attempts[k.Job]); k.Name != want {
					t.Errorf("the kjob after attempt %d of a job is %s, want %s", attempts[k.Job]-1, k.Name, want)
				}
			}
			for _, id := range ids {
				if attempts[id] != 1+left[id] {
					t.Errorf("job %s has had %d attempts, want %d: %d runners have left it", id, attempts[id], 1+left[id], left[id])
				}
			}
			t.Logf("%d kjobs for %d jobs, at most %d at a time", len(l.Watch.Kjobs()), n, l.Watch.Most())
		})
	}
}

// holder is who holds the Lease.
func (l *lab) holder() string {
	l.Helper()
	lease, err := l.Kube.CoordinationV1().Leases(l.Namespace).Get(l.ctx, "onejob", metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		l.Fatalf("the Lease: %+v, %v", lease, err)
	}
	return *lease.Spec.HolderIdentity
}
