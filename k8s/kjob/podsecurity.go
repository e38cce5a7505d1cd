package kjob

import (
	"fmt"
	"slices"

	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// PodSecurity returns why a namespace that enforces a Pod Security level (privileged,
// baseline, restricted) would refuse every pod of the template, nil if it would not. The
// rules are those of the linked version of k8s.io/pod-security-admission.
func (t *Template) PodSecurity(level string) error {
	of, err := api.ParseLevel(level)
	if err != nil {
		return fmt.Errorf("pod security: %w", err)
	}
	k, err := New(stacks.Job{ID: contract.SampleJobID}, 1, t.WithSnapshot(SampleSnapshot), t.sampleEnv("1"))
	if err != nil {
		return err
	}
	all, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	pod := &k.Spec.Template
	results := all.EvaluatePod(api.LevelVersion{Level: of, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec)
	results = slices.DeleteFunc(results, func(r policy.CheckResult) bool { return r.Allowed })
	if len(results) == 0 {
		return nil
	}
	refused := policy.AggregateCheckResults(results)
	return fmt.Errorf("queue %s: a namespace with the Pod Security level %s would refuse every pod: %s", t.Queue, level, refused.ForbiddenDetail())
}
