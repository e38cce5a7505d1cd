package kjob

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
)

// What package admission needs to know of a template and of what New adds to it, to tell
// both from a step's.

// CredentialsDir is where the runner has a step's .git-credentials.
const CredentialsDir = credentialsDir

// Policy is the queue's, with what the template has for the most that a step may have.
func (t *Template) Policy() config.Policy { return t.policy }

// CommandImage is what the command of a step runs in that names no image.
func (t *Template) CommandImage() string { return cmp.Or(t.image, t.Image()) }

// ClassResources are the resource class's amounts for a command.
func (t *Template) ClassResources() corev1.ResourceRequirements { return t.class }

// RunnerVariables are those that New gives the runner, but for the token's, its endpoint's and git's.
func (t *Template) RunnerVariables() []string {
	names := []string{
		contract.EnvJobID, contract.EnvTags, contract.EnvAttempt, contract.EnvContractVersion, contract.EnvOnTerm,
		contract.EnvImage, contract.EnvStepDir, contract.EnvPlugin, "BUILDKITE_SKIP_CHECKOUT", "ONEJOB_COMMANDS", "ONEJOB_CHECKOUT_ENV",
	}
	for _, e := range t.graces {
		names = append(names, e.Name)
	}
	return names
}
