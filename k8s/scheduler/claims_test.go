package scheduler

import (
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/stacks"
)

// someClaims are claims over a cache that shows these kjobs.
func someClaims(t *testing.T, kjobs ...*cache.Job) *claims {
	t.Helper()
	s, err := cache.New(fake.NewClientset(), slog.New(slog.DiscardHandler), namespace, "", cache.Handlers{}, &kube.Breaker{}, new(kube.Skew).Of)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kjobs {
		if err := s.Kjobs.GetIndexer().Add(k); err != nil {
			t.Fatal(err)
		}
	}
	return newClaims(s, "default", nil)
}

// someKjob is the kjob of an attempt at someJob.
func someKjob(attempt int) *cache.Job {
	name := contract.KjobName(someJob, attempt)
	return &cache.Job{
		Object: cache.Object{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, ID: someJob, Attempt: attempt, Queue: "default"},
		KJob:   decide.KJob{Exists: true},
	}
}

// claimed has someJob reserved and claimed.
func claimed(cs *claims, attempt int) {
	held := cs.reserved([]contract.JobID{someJob}, time.Now(), reserveFor)
	cs.take([]candidate{{job: stacks.Job{ID: someJob}, attempt: attempt}}, held, time.Now(), false)
}

// A kjob that has left the cache, and of whose deletion the informer hasn't told yet, is
// no reason for another attempt: it may say that the job is over. One that never came to
// the cache is, a moment later.
func TestOfferWhileADeletionIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cs := someClaims(t)
		cs.state(someJob).made(1)
		if o := cs.offered(someJob, time.Now()); o.known || o.attempts != 1 || !time.Now().Before(o.due) {
			t.Errorf("%+v, want it due later", o)
		}
		time.Sleep(deletionTold)
		if o := cs.offered(someJob, time.Now()); time.Now().Before(o.due) {
			t.Errorf("%+v, want it due now", o)
		}
		cs.state(someJob).kjobGone(someKjob(1))
		if o := cs.offered(someJob, time.Now()); !o.known {
			t.Errorf("%+v, want it known", o)
		}
	})
}

// What Buildkite gave becomes a claim, once; what it may have given is asked for again,
// and of what it did not give the state is asked.
func TestTake(t *testing.T) {
	held := map[contract.JobID]bool{someJob: true}
	for _, tt := range []struct {
		name                    string
		held                    map[contract.JobID]bool
		unclear, claimed        bool // before
		wantNew, wantClaim      bool
		wantRetry, wantQuestion bool
	}{
		{name: "given", held: held, wantNew: true, wantClaim: true},
		{name: "given, and claimed already", held: held, claimed: true, wantClaim: true},
		{name: "given, as far as the reply came", held: held, unclear: true, wantNew: true, wantClaim: true},
		{name: "perhaps given", unclear: true, wantRetry: true},
		{name: "not given", wantQuestion: true},
	} {
		cs := someClaims(t)
		cs.state(someJob)
		if tt.claimed {
			cs.open[someJob] = &claim{attempt: 1}
		}
		got := cs.take([]candidate{{job: stacks.Job{ID: someJob}, attempt: 1}}, tt.held, time.Now(), tt.unclear)
		_, retry := cs.retries[someJob]
		if (len(got) == 1) != tt.wantNew || cs.has(someJob) != tt.wantClaim || retry != tt.wantRetry || cs.jobs[someJob].ask != tt.wantQuestion {
			t.Errorf("%s: new %t, claimed %t, due again %t, asked for %t; want %t, %t, %t, %t",
				tt.name, len(got) == 1, cs.has(someJob), retry, cs.jobs[someJob].ask, tt.wantNew, tt.wantClaim, tt.wantRetry, tt.wantQuestion)
		}
	}
}

// A claim is over when its kjob is seen, whichever of reply and informer is first, and
// not when that of an attempt before is.
func TestClaimsEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		of   int // the claim's attempt
		do   func(*claims)
		want bool
	}{
		{"the informer shows the kjob", 1, func(cs *claims) { cs.sees(someKjob(1), false, false) }, false},
		{"it shows a later one", 1, func(cs *claims) { cs.sees(someKjob(2), false, false) }, false},
		{"it shows the one before", 2, func(cs *claims) { cs.sees(someKjob(1), true, false) }, true},
		{"it shows that the one before is gone", 2, func(cs *claims) { cs.sees(someKjob(1), false, true) }, true},
		{"the reply comes first", 1, func(cs *claims) { cs.created(someJob) }, true},
		{"the reply comes last", 1, func(cs *claims) { _ = cs.store.Kjobs.GetIndexer().Add(someKjob(1)); cs.created(someJob) }, false},
		{"it is given up", 1, func(cs *claims) { cs.giveUp(someJob, decide.Decision{Action: decide.Finish}) }, false},
		{"its reservation isn't renewed", 1, func(cs *claims) { cs.notRenewed([]contract.JobID{someJob}, nil) }, false},
		{"nor after a create was sent", 1, func(cs *claims) { cs.sent(someJob); cs.notRenewed([]contract.JobID{someJob}, nil) }, true},
		{"the queue leaves", 1, func(cs *claims) { cs.dropUnsent() }, false},
		{"the queue leaves after a create was sent", 1, func(cs *claims) { cs.sent(someJob); cs.dropUnsent() }, true},
	} {
		cs := someClaims(t)
		claimed(cs, tt.of)
		tt.do(cs)
		if got := cs.has(someJob); got != tt.want {
			t.Errorf("%s: claimed is %t, want %t", tt.name, got, tt.want)
		}
	}
}

// A job that is listed is offered for one attempt at a time: none while it is claimed,
// and one that has, or had, a kjob or a verdict is decided on.
func TestOffered(t *testing.T) {
	for _, tt := range []struct {
		name  string
		kjobs []*cache.Job
		do    func(*claims)
		want  offer
		later bool // it is due later
	}{
		{name: "new", do: func(*claims) {}},
		{name: "claimed", do: func(cs *claims) { claimed(cs, 1) }, want: offer{claimed: true}},
		{name: "there", kjobs: []*cache.Job{someKjob(1)}, do: func(*claims) {}, want: offer{known: true}},
		{name: "gone", do: func(cs *claims) { cs.sees(someKjob(1), false, true) }, want: offer{known: true, attempts: 1, ask: true}}, // it had an attempt: who has it now?
		{name: "made, and not seen again", do: func(cs *claims) { cs.sees(someKjob(1), false, false) }, want: offer{attempts: 1, ask: true}, later: true},
		{name: "given up", do: func(cs *claims) { cs.giveUp(someJob, decide.Decision{}) }, want: offer{known: true}},
	} {
		synctest.Test(t, func(t *testing.T) {
			cs := someClaims(t, tt.kjobs...)
			tt.do(cs)
			got := cs.offered(someJob, time.Now())
			if got.due.After(time.Now()) != tt.later {
				t.Errorf("%s: due at %s", tt.name, got.due)
			}
			if got.due = (time.Time{}); got != tt.want {
				t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
			}
		})
	}
}

// While most of the kjobs that may be are about to be created, the list isn't
// read five times a second for what can't be claimed; the poll is woken when half of
// them are seen.
func TestFull(t *testing.T) {
	for _, tt := range []struct {
		hungry            bool
		claims            int
		wantFull, wantEnd bool
	}{{false, maxAhead, false, false}, {true, maxAhead, true, false}, {true, maxAhead/2 + 1, true, true}, {true, maxAhead / 2, false, true}} {
		cs := someClaims(t)
		cs.starved = tt.hungry
		cs.open[someJob] = &claim{attempt: 1}
		for n := 1; n < tt.claims; n++ {
			cs.open[contract.JobID(strconv.Itoa(n))] = &claim{}
		}
		full := cs.full()
		ends := cs.sees(someKjob(1), true, false)
		if full != tt.wantFull || ends != tt.wantEnd {
			t.Errorf("hungry %t, %d claims: full is %t, ends is %t; want %t, %t", tt.hungry, tt.claims, full, ends, tt.wantFull, tt.wantEnd)
		}
	}
}

// The claims of the queue before count until they are seen, and once.
func TestHandOver(t *testing.T) {
	before := someClaims(t)
	if before.handOver() != nil {
		t.Error("there is nothing to count, and it is handed over")
	}
	before.open[someJob] = &claim{attempt: 1, sent: true}
	cs := newClaims(before.store, "default", before.handOver())
	if n := cs.held(); n != 1 {
		t.Errorf("%d slots are held, want that of the queue before", n)
	}
	if err := cs.store.Kjobs.GetIndexer().Add(someKjob(1)); err != nil {
		t.Fatal(err)
	}
	if n := cs.held(); n != 1 {
		t.Errorf("%d slots are held, want that of the kjob", n)
	}
	before.drop(someJob)
	if cs.held(); cs.before != nil {
		t.Error("claims that are over are kept")
	}
}
