package policy

import (
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	psa "k8s.io/pod-security-admission/policy"
)

var evaluator = sync.OnceValue(func() psa.Evaluator {
	e, err := psa.NewEvaluator(psa.DefaultChecks(), nil)
	if err != nil {
		panic(err) // the library's own list
	}
	return e
})

// podSecurity are the checks of a level that refuse a pod, by the linked version of
// k8s.io/pod-security-admission.
func podSecurity(level string, spec *corev1.PodSpec) []psa.CheckResult {
	of := api.LevelVersion{Level: api.Level(level), Version: api.LatestVersion()}
	results := evaluator().EvaluatePod(of, &metav1.ObjectMeta{}, spec)
	return slices.DeleteFunc(results, func(r psa.CheckResult) bool { return r.Allowed })
}

// harden sets in every container the fields that the level restricted requires and the step
// left out. Package kjob sets them in the pod, too, so only a contrary value is a violation.
func harden(spec *corev1.PodSpec) {
	each := func(cs []corev1.Container) {
		for i := range cs {
			Harden(&cs[i])
		}
	}
	each(spec.InitContainers)
	each(spec.Containers)
}

// Harden sets in a container the fields that the level restricted requires, where they are
// empty.
func Harden(c *corev1.Container) {
	if c.SecurityContext == nil {
		c.SecurityContext = &corev1.SecurityContext{}
	}
	s := c.SecurityContext
	if s.AllowPrivilegeEscalation == nil {
		s.AllowPrivilegeEscalation = new(bool)
	}
	if s.RunAsNonRoot == nil {
		yes := true
		s.RunAsNonRoot = &yes
	}
	if s.Capabilities == nil {
		s.Capabilities = &corev1.Capabilities{}
	}
	if len(s.Capabilities.Drop) == 0 {
		s.Capabilities.Drop = []corev1.Capability{"ALL"}
	}
	if s.SeccompProfile == nil {
		s.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
}
