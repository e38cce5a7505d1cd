package scheduler

import (
	"log/slog"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// While an attempt's kjob is read, slowly, its end may be seen and the next attempt be
// claimed: the answer says nothing of that one, which is made.
func TestLateAnswerOfAnEarlierAttempt(t *testing.T) {
	client := fake.NewSimpleClientset() //nolint:staticcheck // as in the world
	store, err := cache.New(client, slog.New(slog.DiscardHandler), namespace, "", cache.Handlers{}, &kube.Breaker{}, new(kube.Skew).Of)
	if err != nil {
		t.Fatal(err)
	}
	q := newQueue(New(Options{Kube: client, Lean: client}), &settings{Queue: config.Queue{Name: "default"}}, store, nil, nil)
	defer q.work.ShutDown()
	claimed(q.claims, 1)
	first, _ := q.claims.now(someJob)
	client.PrependReactor("get", "jobs", func(clienttesting.Action) (bool, runtime.Object, error) {
		q.claims.drop(someJob) // its kjob is in the cache
		claimed(q.claims, 2)
		return true, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
			Name: contract.KjobName(someJob, 1), Labels: map[string]string{contract.LabelJobID: string(someJob), contract.LabelQueue: "default"},
		}}, nil
	})
	if again, err := q.confirm(t.Context(), someJob, first.claim); again != 0 || err != nil {
		t.Errorf("again in %v, %v", again, err)
	}
	if c, there := q.claims.now(someJob); !there || c.attempt != 2 || c.created {
		t.Errorf("the claim is there: %t, %+v; want one to attempt 2 that is still to be made", there, c.claim)
	}
}
