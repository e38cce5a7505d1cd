package steps

import (
	"encoding/json"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Defaults are a queue's defaults for each of its steps. Resolve doesn't change them.
type Defaults struct {
	// Command is the job's own command.
	Command string
	// Image is the image of a command container that names none.
	Image string
	// PullPolicy is for the containers that have none; empty leaves it to Kubernetes.
	PullPolicy corev1.PullPolicy
	// Template is the pod of the PodTemplate that the step names (Step.PodTemplate).
	Template *corev1.PodSpec
	// CommandParams and SidecarParams are the queue's, see Setting.
	CommandParams *CommandParams
	SidecarParams *SidecarParams
	// Resources are what the job's resource class gives each command container. They are
	// the queue's: whoever builds the pod puts them there, under what the step says.
	Resources corev1.ResourceRequirements
	// Further are what each command container after the first gets, its class's included.
	Further corev1.ResourceRequirements
}

// SettingName is the name of Setting in the configuration.
const SettingName = "step-defaults"

// Setting is what a queue's administrator gives each of its steps, by the names that the
// kubernetes plugin has for it. A step's own word comes after it: a single value replaces
// the queue's, and lists are put together.
type Setting struct {
	// Checkout is how the repository is checked out.
	//
	// It is part of the queue's template: the runner checks out.
	Checkout *Checkout `json:"checkout,omitempty"`
	// CommandParams are for the containers in which commands run.
	CommandParams *CommandParams `json:"commandParams,omitempty"`
	// SidecarParams are for the sidecars of steps.
	SidecarParams *SidecarParams `json:"sidecarParams,omitempty"`
	// ImagePullPolicy is the pull policy of a step's containers that have none. By default
	// Kubernetes decides: Always for the tag latest, or no tag.
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty" enum:"Always IfNotPresent Never"`
}

// ParseSetting reads a queue's setting, which is JSON, or empty for none. The error has
// every fault, each with its field.
func ParseSetting(doc []byte) (Setting, error) {
	f, s := &faults{}, Setting{}
	if len(doc) == 0 {
		return s, nil
	}
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		f.bad(SettingName, "it is not JSON")
		return s, f.err()
	}
	if strings.Contains(string(doc), "{{env.") {
		f.bad(SettingName, "{{env.NAME}} is for the queue's template: what depends on the job is for the step to say")
	}
	if f.read(SettingName, v, &s) {
		s.check(f)
	}
	return s, f.err()
}

func (s Setting) check(f *faults) {
	f.oneOf(SettingName+".imagePullPolicy", string(s.ImagePullPolicy), pullPolicies)
	if c := s.CommandParams; c != nil {
		f.oneOf(SettingName+".commandParams.interposer", string(c.Interposer), interposers)
	}
	c := s.Checkout
	if c == nil || c.GitMirrors == nil {
		return
	}
	const at = SettingName + ".checkout.gitMirrors"
	if c.GitMirrors.LockTimeout < 0 {
		f.bad(at+".lockTimeout", "%d is negative", c.GitMirrors.LockTimeout)
	}
	if v := c.GitMirrors.Volume; v != nil && v.Name == "" {
		f.bad(at+".volume", "it has no name: give it one")
	}
}

// IsZero reports whether the setting says nothing.
func (s Setting) IsZero() bool { return s == Setting{} }

// Apart reports whether something of the setting is for the checkout alone, or for commands
// alone. Then each command runs in a container of its own: the runner's would have both.
func (s Setting) Apart() bool {
	apart := false
	if c := s.Checkout; c != nil {
		mirrors := c.GitMirrors != nil && c.GitMirrors.Volume != nil
		apart = mirrors || c.GitCredentialsSecret != nil || len(c.EnvFrom)+len(c.ExtraVolumeMounts) > 0
	}
	if c := s.CommandParams; c != nil {
		apart = apart || len(c.EnvFrom)+len(c.ExtraVolumeMounts) > 0
	}
	return apart
}
