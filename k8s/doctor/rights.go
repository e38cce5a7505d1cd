package doctor

import (
	"context"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
)

// right is one that the scheduler needs.
type right struct{ group, resource, verb, name string }

func (r right) String() string { return r.verb + " " + r.resource }

// needs are the Role onejob of deploy/base/role.yaml.
func needs() (all []right) {
	for _, of := range []struct{ group, resource, verbs string }{
		{"batch", "jobs", "get list watch create patch delete"},
		{"", "pods", "list watch"},
		{"", "events", "list create"},
		{"", "podtemplates", "get watch"},
	} {
		for verb := range strings.FieldsSeq(of.verbs) {
			all = append(all, right{of.group, of.resource, verb, ""})
		}
	}
	return all
}

// leaseNeeds are the Role onejob-lease, of the scheduler's own namespace.
func leaseNeeds(lease string) []right {
	const group, resource = "coordination.k8s.io", "leases"
	return []right{{group, resource, "create", ""}, {group, resource, "get", lease}, {group, resource, "update", lease}}
}

// may asks whether we have a right.
func (p *Patient) may(ctx context.Context, namespace string, r right) (bool, error) {
	review, err := p.reviews.Create(ctx, &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Group: r.group, Resource: r.resource, Verb: r.verb, Name: r.name},
	}}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return review.Status.Allowed, nil
}

// rights asks for each that the scheduler needs in a namespace, as whoever we are.
func (p *Patient) rights(ctx context.Context, namespace string) []Finding {
	f := about("rights", "namespace "+namespace)
	all := needs()
	if namespace == p.Namespace {
		all = append(all, leaseNeeds(p.Lease)...)
	}
	var lacks []string
	for _, r := range all {
		allowed, err := p.may(ctx, namespace, r)
		if err != nil {
			return []Finding{f.not(Skip, contract.Sentence(err.Error()), "")}
		}
		if !allowed {
			lacks = append(lacks, r.String())
		}
	}
	bind := "bind the Role onejob of deploy/base/role.yaml in this namespace to it"
	switch {
	case len(lacks) == 0:
		return []Finding{f.ok("all that the scheduler needs")}
	case p.isScheduler(ctx):
		return []Finding{f.not(Fail, "the scheduler may not "+strings.Join(lacks, ", "), bind)}
	default:
		return []Finding{f.not(Warn, "who runs this may not "+strings.Join(lacks, ", "),
			"if this is the scheduler: "+bind+"; to ask as the scheduler: --as system:serviceaccount:"+p.Namespace+":onejob")}
	}
}

// isScheduler: who runs this has the scheduler's service account.
func (p *Patient) isScheduler(ctx context.Context) bool {
	review, err := p.self.Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return false
	}
	account, ours := strings.CutPrefix(review.Status.UserInfo.Username, "system:serviceaccount:"+p.Namespace+":")
	return ours && (account == "onejob" || slices.Contains(p.accounts, account))
}
