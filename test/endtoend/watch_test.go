package endtoend

import (
	"context"
	"slices"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/test/fixture"
)

// seen is every object that ever was there for a job, by the job's ID.
type seen struct {
	mu   sync.Mutex
	byID map[string][]string
}

func (s *seen) names(id string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byID[id]
}

func (s *seen) add(object any) {
	m, ok := object.(metav1.Object)
	id := ""
	if ok {
		id = m.GetLabels()[contract.LabelJobID]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id != "" && !slices.Contains(s.byID[id], m.GetName()) {
		s.byID[id] = append(s.byID[id], m.GetName())
	}
}

// watch collects kjobs and pods from now to the test's end.
func watch(t *testing.T, ctx context.Context) (kjobs, pods *seen) {
	t.Helper()
	kjobs, pods = &seen{byID: map[string][]string{}}, &seen{byID: map[string][]string{}}
	f := informers.NewSharedInformerFactoryWithOptions(on.Cluster.Client(), 0, informers.WithNamespace(fixture.Namespace))
	for informer, to := range map[cache.SharedIndexInformer]*seen{
		f.Batch().V1().Jobs().Informer(): kjobs, f.Core().V1().Pods().Informer(): pods,
	} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: to.add}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(ctx)
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	t.Cleanup(func() { stop(); f.Shutdown() })
	return kjobs, pods
}
