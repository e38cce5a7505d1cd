package doctor

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// A queue whose git mirrors are of snapshots has a line: the snapshot, or why there is none.
func TestMirrors(t *testing.T) {
	for _, tt := range []struct {
		name, queue, answer string
		code                int
		who                 string
		want                Result
		found               string
	}{
		{name: "no such queue"},
		{name: "a snapshot", queue: "git-mirrors: {snapshot: {labels: {app: m}, size: 1Gi}}", code: 200, answer: `{"items":[{"metadata":{"name":"m-1"},"status":{"readyToUse":true}}]}`, want: OK, found: "each job has a copy of the VolumeSnapshot m-1"},
		{name: "none", queue: "git-mirrors: {snapshot: {labels: {app: m}, size: 1Gi}}", code: 200, answer: `{}`, want: Warn, found: "its jobs have no git mirrors, and clone: no VolumeSnapshot can be used: namespace ci, labels app=m: there is none"},
		{name: "no right", queue: "git-mirrors: {snapshot: {labels: {app: m}, size: 1Gi}}", code: 403, answer: `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`, who: "system:serviceaccount:onejob:onejob", want: Warn, found: "there is no right to list volumesnapshots.snapshot.storage.k8s.io in namespace ci"},
		{name: "a person without the right", queue: "git-mirrors: {snapshot: {labels: {app: m}, size: 1Gi}}", code: 403, answer: `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`, who: "jane", want: Skip, found: "who runs this may not list volumesnapshots in namespace ci"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(tt.code)
				_, _ = w.Write([]byte(tt.answer))
			}))
			defer s.Close()
			client, err := kube.NewClient(&rest.Config{Host: s.URL})
			if err != nil {
				t.Fatal(err)
			}
			c, err := config.Parse([]byte("queues: [{name: default, "+tt.queue+"}]"), "ci")
			if err != nil {
				t.Fatal(err)
			}
			users := fake.NewClientset()
			users.PrependReactor("create", "selfsubjectreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, &authenticationv1.SelfSubjectReview{Status: authenticationv1.SelfSubjectReviewStatus{UserInfo: authenticationv1.UserInfo{Username: tt.who}}}, nil
			})
			p := Patient{Namespace: "onejob", kube: client, self: users.AuthenticationV1().SelfSubjectReviews()}
			got := p.mirrors(t.Context(), c.Queues[0])
			if tt.want == "" {
				if len(got) != 0 {
					t.Errorf("%+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Result != tt.want || !strings.Contains(got[0].Found, tt.found) || (got[0].Fix == "") != (tt.want == OK) {
				t.Errorf("got %+v, want %s %q", got, tt.want, tt.found)
			}
		})
	}
}
