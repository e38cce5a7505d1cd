package doctor

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// template looks at a queue's template: whether it can be read, what the namespace's Pod
// Security level says of it, and what the API server would.
func (p *Patient) template(ctx context.Context, q config.Queue) []Finding {
	of := "queue " + q.Name
	t, err := kjob.Load(ctx, p.kube, q)
	if err != nil {
		return []Finding{about("template", of).not(Fail, contract.Sentence(err.Error()), "correct it; onejob lint -f FILE checks it alone")}
	}
	p.templates[q.Name] = t
	return []Finding{p.podSecurity(ctx, t, of), p.dryRun(ctx, t, of)}
}

func (p *Patient) podSecurity(ctx context.Context, t *kjob.Template, of string) Finding {
	f := about("pod-security", of)
	ns, err := p.kube.CoreV1().Namespaces().Get(ctx, t.Namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return f.not(Fail, "there is no namespace "+t.Namespace, "kubectl create namespace "+t.Namespace+", with the Secret of the agent token and the Roles: deploy/README.md, a queue in another namespace")
	case err != nil:
		return f.not(Skip, contract.Sentence(err.Error()), "give a user who may get the namespace, or run onejob lint --pod-security LEVEL")
	}
	level := ns.Labels[api.EnforceLevelLabel]
	if level == "" {
		return f.ok("namespace " + t.Namespace + " enforces no level")
	}
	if err := t.PodSecurity(level); err != nil {
		return f.not(Fail, contract.Sentence(err.Error()), "change the template, or kubectl label --overwrite namespace "+t.Namespace+" "+api.EnforceLevelLabel+"="+loosest(t))
	}
	return f.ok("namespace " + t.Namespace + " enforces " + level + ", which the template's pods meet")
}

// loosest is the strictest level that the template's pods meet.
func loosest(t *kjob.Template) string {
	for _, level := range []api.Level{api.LevelRestricted, api.LevelBaseline} {
		if t.PodSecurity(string(level)) == nil {
			return string(level)
		}
	}
	return string(api.LevelPrivileged)
}

// dryRun has the API server try the template's Job and pod, as onejob lint does.
func (p *Patient) dryRun(ctx context.Context, t *kjob.Template, of string) Finding {
	f := about("template", of)
	for _, r := range []right{{"batch", "jobs", "create", ""}, {"", "pods", "create", ""}} {
		if allowed, err := p.may(ctx, t.Namespace, r); err != nil || !allowed {
			return f.not(Skip, "the API server isn't asked: no right to "+r.String()+" in namespace "+t.Namespace, "give a user with the Role onejob-lint of deploy/operator.yaml")
		}
	}
	notes, err := kjob.DryRun(ctx, p.kube, t)
	if err != nil {
		return f.not(Fail, contract.Sentence(err.Error()), "make what is missing, or change the template")
	}
	found := "the API server would accept its Job and pod"
	if len(notes) > 0 {
		found += " (" + contract.Sentence(strings.Join(notes, "; ")) + ")"
	}
	return f.ok(found)
}
