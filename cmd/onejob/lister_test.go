package main

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/urfave/cli/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/operate"
)

// A list that fails is told of once and repeated with patience; only a refusal
// that can't be an API server's that has just started is the end.
func TestLister(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "jobs"}, "", nil)
	for _, tt := range []struct {
		name  string
		err   error
		good  bool          // there was a good list before
		lasts time.Duration // then it can be listed again
		ends  bool          // in an error
		said  int
		most  int // calls
	}{
		{name: "an outage", err: errors.New("connection refused"), good: true, lasts: 10 * time.Minute, said: 1, most: 50},
		{name: "an outage from the start", err: apierrors.NewServiceUnavailable("down"), lasts: time.Minute, said: 1, most: 10},
		{name: "forbidden from the start", err: forbidden, lasts: time.Hour, ends: true, most: 1},
		{name: "unauthorized from the start", err: apierrors.NewUnauthorized("no"), lasts: time.Hour, ends: true, most: 1},
		{name: "forbidden by an API server that starts", err: forbidden, good: true, lasts: 10 * time.Second, said: 1, most: 6},
		{name: "forbidden from now on", err: forbidden, good: true, lasts: time.Hour, ends: true, said: 1, most: 12},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, calls := time.Now(), 0
				var said []string
				l := lister{say: func(line string) { said = append(said, line) }, list: func(context.Context) ([]operate.Row, error) {
					if calls++; time.Since(began) < tt.lasts {
						return nil, tt.err
					}
					return []operate.Row{{KJob: "a"}}, nil
				}}
				if tt.good {
					l.good = began
				}
				rows, err := l.next(t.Context())
				if tt.ends != (err != nil) || !tt.ends && len(rows) != 1 {
					t.Errorf("%d rows, %v", len(rows), err)
				}
				if late := time.Since(began) - tt.lasts; late > 2*listAtMost {
					t.Errorf("listed again %s after it could be", late)
				}
				if len(said) != tt.said || calls > tt.most {
					t.Errorf("%d lists, want at most %d; said %q, want %d lines", calls, tt.most, said, tt.said)
				}
				for _, line := range said {
					if !strings.Contains(line, tt.err.Error()) || !strings.Contains(line, "retrying") {
						t.Errorf("said %q", line)
					}
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		l := lister{say: func(string) {}, list: func(context.Context) ([]operate.Row, error) { return nil, errors.New("down") }}
		if _, err := l.next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v though the context has ended", err)
		}
	})
}

// --watch goes on when the API server has been away, and ends when it refuses.
func TestJobsWatchGoesOn(t *testing.T) {
	var lists atomic.Int32
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := lists.Add(1); {
		case strings.Contains(r.URL.Path, "/namespaces/closed/"):
			http.Error(w, "forbidden", http.StatusForbidden)
		case n == 3: // kjobs and pods are listed, and the kjobs again
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"kind":"List","apiVersion":"v1","items":[]}`))
		}
	}))
	defer api.Close()
	t.Setenv("KUBECONFIG", "/nowhere")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	app := newApp()
	var out, errout safeBuffer
	app.Writer, app.ErrWriter = &out, &errout
	done := make(chan int)
	go func() {
		done <- exitCode(&errout, app.RunContext(ctx, []string{"onejob", "jobs", "--watch", "--server", api.URL, "--namespace", "builds"}))
	}()
	for strings.Count(out.String(), "JOB") < 2 {
		select {
		case code := <-done:
			t.Fatalf("it ended with %d after %d requests:\n%s%s", code, lists.Load(), out.String(), errout.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	stop()
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("what is no terminal is told to clear itself: %q", out.String())
	}
	if code := <-done; code != 0 || strings.Count(errout.String(), "retrying") != 1 {
		t.Errorf("exit code %d\n%s", code, errout.String())
	}

	run(t, "jobs", "--watch", "--server", api.URL, "--namespace", "closed").wants(t, 1, "forbidden")
	run(t, "jobs", "--watch", "--server", api.URL, "--namespace", "No/Namespace").wants(t, 2, `namespace "No/Namespace"`)
}

// The wait of reacquire --wait goes on too.
func TestFollowGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const id = contract.SampleJobID
		kjob := &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Name: contract.KjobName(id, 1), Namespace: "builds", Labels: map[string]string{contract.LabelJobID: id.String()}},
			Status:     batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}},
		}
		kube := fake.NewClientset(kjob)
		began := time.Now()
		kube.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
			return time.Since(began) < 10*time.Minute, nil, apierrors.NewServiceUnavailable("down")
		})
		c := cli.NewContext(newApp(), flag.NewFlagSet("", flag.ContinueOnError), nil)
		c.Context = t.Context()
		var said []string
		if err := follow(c, kube, id, kjob, func(line string) { said = append(said, line) }); err != nil {
			t.Error(err)
		}
		if len(said) != 2 || !strings.Contains(said[0], "retrying") || !strings.HasSuffix(said[1], kjob.Name+"  done ") {
			t.Errorf("said %q", said)
		}
	})
}
