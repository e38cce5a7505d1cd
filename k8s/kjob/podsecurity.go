package kjob

import (
	"fmt"
	"slices"

	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// PodSecurity returns what a namespace that enforces a level of Pod Security
// (privileged, baseline, restricted; of the version that is linked) would refuse of
// every pod of the template.
func (t *Template) PodSecurity(level string) error {
	of, err := api.ParseLevel(level)
	if err != nil {
		return fmt.Errorf("pod security: %w", err)
	}
	k, err := New(stacks.Job{ID: contract.SampleJobID}, 1, t, t.sampleEnv("1"))
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
