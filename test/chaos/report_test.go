package chaos

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/fixture"
)

func TestSpared(t *testing.T) {
	for _, tt := range []struct {
		name     string
		injuries map[string]int
		want     []Problem
	}{
		{"all struck", map[string]int{"a": 1, "b": 2}, nil},
		{"some missed", map[string]int{"a": 1, "a (missed)": 7, "b (missed)": 2}, nil},
		{"one never struck", map[string]int{"a": 1, "b (missed)": 3}, []Problem{{Text: "b: tried 3 times, and it never struck"}}},
		{"none struck", map[string]int{"a (missed)": 1}, []Problem{{Text: "nothing was hurt"}}},
		{"none tried", map[string]int{}, []Problem{{Text: "nothing was hurt"}}},
	} {
		if diff := cmp.Diff(tt.want, spared(tt.injuries)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// Schedulers of which no process runs are nobody to kill, be it one or all.
func TestNobodyKilled(t *testing.T) {
	pods := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	for _, name := range []string{"one", "two"} {
		if err := pods.Add(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app.kubernetes.io/component": "scheduler"}},
			Spec:       corev1.PodSpec{NodeName: "node"},
		}); err != nil {
			t.Fatal(err)
		}
	}
	m := &machine{Installation: &fixture.Installation{Cluster: &cluster.Cluster{}}, witness: &witness{pods: corelisters.NewPodLister(pods).Pods(namespace)}}
	for seed := range uint64(20) {
		if w, err := killScheduler(t.Context(), m, rand.New(rand.NewPCG(seed, 0))); !errors.Is(err, errNobody) {
			t.Errorf("seed %d: killed %q, error %v; want that there was nobody", seed, w.what, err)
		}
	}
}
