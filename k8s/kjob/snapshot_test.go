package kjob

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// aSnapshot is a VolumeSnapshot that was made at a minute.
func aSnapshot(name string, minute int, ready bool, more string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q,"creationTimestamp":"2026-01-01T00:%02d:00Z"%s},"status":{"readyToUse":%t}}`, name, minute, more, ready)
}

// Of the snapshots that the API server lists, the newest is used that a volume can be made
// of now. Where there is none, the error says why.
func TestNewestSnapshot(t *testing.T) {
	const going, cut = `,"deletionTimestamp":"2026-01-01T01:00:00Z"`, `"status":{"readyToUse":true,"creationTime":"2026-01-01T00:%02d:00Z","restoreSize":%q}`
	storage := func(name string, minute, at int, size string) string {
		return strings.Replace(aSnapshot(name, minute, true, ""), `"status":{"readyToUse":true}`, fmt.Sprintf(cut, at, size), 1)
	}
	list := func(items ...string) string { return `{"items":[` + strings.Join(items, ",") + `]}` }
	refused := func(code int, reason string) string {
		return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code)
	}
	for _, tt := range []struct {
		name, answer string
		code         int
		want         string
		none, fails  string // ErrNoSnapshot's reason, or that of another error
	}{
		{name: "one", answer: list(aSnapshot("a", 1, true, "")), want: "a"},
		{name: "the newest", answer: list(aSnapshot("a", 1, true, ""), aSnapshot("c", 3, true, ""), aSnapshot("b", 2, true, "")), want: "c"},
		{name: "the newest that is ready", answer: list(aSnapshot("a", 1, true, ""), aSnapshot("b", 2, true, ""), aSnapshot("c", 3, false, "")), want: "b"},
		{name: "not one that goes", answer: list(aSnapshot("a", 1, true, ""), aSnapshot("b", 2, true, going)), want: "a"},
		{name: "of two at one time that with the later name", answer: list(aSnapshot("b", 1, true, ""), aSnapshot("c", 1, true, ""), aSnapshot("a", 1, true, "")), want: "c"},
		{name: "the storage's time counts", answer: list(storage("a", 1, 30, "1Gi"), storage("b", 2, 20, "1Gi")), want: "a"},
		{name: "one that fits", answer: list(storage("a", 1, 1, "20Gi"), storage("b", 2, 2, "21Gi")), want: "a"},
		{name: "no status yet", answer: list(`{"metadata":{"name":"a"}}`), none: "namespace ci, labels app=mirrors,tier=gold: the newest of 1, a, isn't ready to use"},
		{name: "none", answer: list(), none: "there is none"},
		{name: "none is ready", answer: list(aSnapshot("a", 1, false, ""), aSnapshot("b", 2, false, "")), none: "the newest of 2, b, isn't ready to use"},
		{name: "all go", answer: list(aSnapshot("a", 1, true, going)), none: "the newest of 1, a, is being deleted"},
		{name: "too large", answer: list(storage("a", 1, 1, "30Gi")), none: "the newest of 1, a, needs 30Gi, which is more than git-mirrors.snapshot.size, 20Gi"},
		{name: "more than are read", answer: `{"metadata":{"continue":"x"},"items":[` + aSnapshot("a", 1, true, "") + `]}`, none: "there are more than 500: delete old ones"},
		{name: "no CRD", code: 404, answer: refused(404, "NotFound"), none: "install the snapshot controller and its CRDs"},
		{name: "no right", code: 403, answer: refused(403, "Forbidden"), none: "there is no right to list volumesnapshots.snapshot.storage.k8s.io in namespace ci"},
		{name: "an API server in trouble", code: 500, answer: refused(500, "InternalError"), fails: "listing the VolumeSnapshots of git mirrors"},
		{name: "no JSON", answer: "[", fails: "reading the VolumeSnapshots of git mirrors"},
		{name: "without an end", answer: `{"items":[` + strings.Repeat(" ", mostSnapshotBytes) + `]}`, fails: "at most 8 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := 0
			client := answering(t, cmp.Or(tt.code, 200), tt.answer, func(r *http.Request) {
				asked++
				if at, q := "/apis/snapshot.storage.k8s.io/v1/namespaces/ci/volumesnapshots", r.URL.Query(); r.URL.Path != at || q.Get("labelSelector") != "app=mirrors,tier=gold" || q.Get("limit") != "500" {
					t.Errorf("asked for %s", r.URL)
				}
			})
			got, err := NewestSnapshot(t.Context(), client, "ci", config.Snapshot{Labels: map[string]string{"tier": "gold", "app": "mirrors"}, Size: resource.MustParse("20Gi")})
			says := func(words string) bool { return err != nil && strings.Contains(err.Error(), words) }
			switch is := errors.Is(err, ErrNoSnapshot); {
			case got != tt.want, tt.want != "" && err != nil, tt.none != "" && (!is || !says(tt.none)), tt.fails != "" && (is || !says(tt.fails)):
				t.Errorf("got %q, %v", got, err)
			}
			if asked != 1 {
				t.Errorf("%d requests", asked)
			}
		})
	}
	if got, err := NewestSnapshot(t.Context(), fake.NewClientset(), "ci", config.Snapshot{}); got != "" || !errors.Is(err, ErrNoSnapshot) {
		t.Errorf("of a fake: %q, %v", got, err)
	}
}

// A person's new attempt gets the newest snapshot, too, and is made without one if that
// person may not look for it.
func TestNewInLooksForSnapshot(t *testing.T) {
	for code, want := range map[int]string{200: "mirrors-7", 403: ""} {
		client := answering(t, code, `{"items":[`+aSnapshot("mirrors-7", 1, true, "")+`]}`, func(*http.Request) {})
		tpl, err := Parse(nil, aQueue(t, ofSnapshot))
		if err != nil {
			t.Fatal(err)
		}
		k, err := NewIn(t.Context(), client, aJob(), 1, tpl, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, v := range k.Spec.Template.Spec.Volumes {
			if v.Name == MirrorsVolume {
				got = v.Ephemeral.VolumeClaimTemplate.Spec.DataSource.Name
			}
		}
		if got != want {
			t.Errorf("%d: the mirrors are of %q, want %q", code, got, want)
		}
	}
}

// answering is a client of an API server that gives every request one answer.
func answering(t *testing.T, code int, answer string, look func(*http.Request)) kube.Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		look(r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	client, err := kube.NewClient(&rest.Config{Host: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// A person who may not look for snapshots isn't told that there is none.
func TestDryRunMayNotLook(t *testing.T) {
	for code, want := range map[int]string{
		403: "queue default: a snapshot of its git mirrors in namespace builds was not looked for: no right to list volumesnapshots",
		404: "queue default: its jobs would have no git mirrors: no VolumeSnapshot can be used: the cluster has no VolumeSnapshots",
	} {
		client := answering(t, code, "", func(*http.Request) {})
		tpl, err := Parse(nil, aQueue(t, ofSnapshot))
		if err != nil {
			t.Fatal(err)
		}
		notes, _ := DryRun(t.Context(), client, tpl) // the Job is refused, too
		if len(notes) == 0 || !strings.HasPrefix(notes[0], want) {
			t.Errorf("%d: %q, want %q", code, notes, want)
		}
	}
}

func FuzzNewestSnapshot(f *testing.F) {
	f.Add(`{"items":[`+aSnapshot("a", 1, true, "")+`]}`, "1Gi")
	f.Add(`{"items":[{"status":{"restoreSize":"9e999"}}]}`, "0")
	f.Fuzz(func(t *testing.T, text, size string) {
		q, err := resource.ParseQuantity(size)
		if err != nil {
			return
		}
		all, err := readSnapshots(strings.NewReader(text))
		if err != nil {
			return
		}
		if name, err := newest(all, q); err == nil && name == "" {
			t.Errorf("a snapshot without a name is used")
		}
	})
}
