package kjob

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// minTokenLife is the shortest life that the API server allows a token, in seconds.
const minTokenLife = 600

// checkAccount allows a pod one form of service-account token: a projected volume in the
// template, for an account that the template names. It refuses the token that the API server
// mounts by default, because nobody asked for that token. It refuses the scheduler's account,
// because that account may create Jobs and so can read the agent token.
func checkAccount(pod *corev1.PodSpec) error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("spec.template.spec."+format, args...))
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		bad("automountServiceAccountToken: must be false: a job could read the token. " +
			"If jobs are to have it, the template says so with serviceAccountName and a projected volume (docs/pods.md, Jobs that talk to the API server)")
	}
	for _, v := range pod.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if token := source.ServiceAccountToken; token != nil {
				checkAccountToken(bad, pod.ServiceAccountName, v.Name, token)
			}
		}
	}
	return errors.Join(errs...)
}

func checkAccountToken(bad func(format string, args ...any), account, volume string, token *corev1.ServiceAccountTokenProjection) {
	switch account {
	case "", "default":
		bad("volumes[%s]: the token of an account that the template doesn't name: set serviceAccountName, to one that is made for these jobs", volume)
	case contract.ManagedBy:
		bad("volumes[%s]: a token of the account %s, which is the scheduler's: it may create Jobs, and so has the agent token; make another account for these jobs", volume, account)
	}
	if life := token.ExpirationSeconds; life != nil && *life < minTokenLife {
		bad("volumes[%s].projected.sources.serviceAccountToken.expirationSeconds: %d is less than %d", volume, *life, minTokenLife)
	}
}
