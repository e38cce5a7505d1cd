package doctor

import (
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// A right that the scheduler lacks is a failure where the scheduler's account asks. A
// person may lack it.
func TestRights(t *testing.T) {
	for who, want := range map[string]Result{
		"system:serviceaccount:onejob:onejob": Fail,
		"system:serviceaccount:onejob:ci":     Fail, // its pods have this account
		"system:serviceaccount:onejob:other":  Warn,
		"system:serviceaccount:builds:onejob": Warn,
		"jane":                                Warn,
	} {
		t.Run(who, func(t *testing.T) {
			client, lacks := fake.NewClientset(), true
			client.PrependReactor("create", "selfsubjectreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, &authenticationv1.SelfSubjectReview{Status: authenticationv1.SelfSubjectReviewStatus{UserInfo: authenticationv1.UserInfo{Username: who}}}, nil
			})
			client.PrependReactor("create", "selfsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
				asked := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).Spec.ResourceAttributes
				allowed := !lacks || asked.Resource != "jobs" || asked.Verb != "create"
				return true, &authorizationv1.SelfSubjectAccessReview{Status: authorizationv1.SubjectAccessReviewStatus{Allowed: allowed}}, nil
			})
			p := Patient{Namespace: "onejob", accounts: []string{"ci"}, self: client.AuthenticationV1().SelfSubjectReviews(), reviews: client.AuthorizationV1().SelfSubjectAccessReviews()}
			if f := p.rights(t.Context(), "builds")[0]; f.Result != want || !strings.HasSuffix(f.Found, " may not create jobs") || !strings.Contains(f.Fix, "bind the Role onejob") {
				t.Errorf("%+v, want %s", f, want)
			}
			lacks = false
			if f := p.rights(t.Context(), "builds")[0]; f.Result != OK {
				t.Errorf("with all rights: %+v", f)
			}
		})
	}
}
