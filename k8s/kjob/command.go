package kjob

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/policy"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// ofStep is the image that a step asks for its command. It is empty if the agent container
// runs the command: in a plain queue, or because the agent container has that image already.
func ofStep(t *Template, agent *corev1.Container, env map[string]string) string {
	image := env[envImage]
	if t.Plain || image == honoured(t.Image(), agent.Image, env) {
		return ""
	}
	return image
}

// CheckImage returns why this queue can't run a step's image:, nil if it can.
func (t *Template) CheckImage(image string) error {
	if err := checkImage(image); err != nil {
		return err
	}
	if refused := policy.Image(t.policy, "image", image); len(refused) > 0 {
		return fmt.Errorf("the queue's policy refuses the step's image:\n%s", policy.Text(refused))
	}
	return nil
}

// checkImage refuses a text that isn't an image name. The kubelet would refuse it only after
// the pod exists, and some texts fit into no pod at all.
func checkImage(image string) error {
	if err := steps.CheckImage(image); err != nil {
		return fmt.Errorf("the step's %w", err)
	}
	return nil
}

// EnvOf reads back from a kjob the part of the job's environment that New took: the step's
// image, if the pod has a command container. It is nil otherwise.
func EnvOf(k *batchv1.Job) map[string]string {
	if k == nil {
		return nil
	}
	if OfPlugin(k) {
		return nil // the plugin's text can't be read back from the pod
	}
	for _, c := range k.Spec.Template.Spec.Containers {
		if c.Name == contract.CommandContainer {
			return map[string]string{envImage: c.Image}
		}
	}
	return nil
}

// addCommand gives a pod a container that runs the command in the step's image. The
// pipeline chose that image, so of the queue's pod the container gets only the job's own
// folders: not the token, not the template's Secrets and volumes, and no view of other
// containers' processes.
//
// mounted is the queue's: programs come in an image volume.
func addCommand(pod *corev1.PodSpec, image string, mounted bool) {
	agent := FindAgent(pod)
	shared := corev1.VolumeMount{Name: contract.StepInit, MountPath: contract.StepDir}
	folder := corev1.EnvVar{Name: contract.EnvStepDir, Value: contract.StepDir}
	pod.ShareProcessNamespace, pod.HostPID = nil, false
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: contract.StepInit, VolumeSource: corev1.VolumeSource{
		EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: ptr.To(resource.MustParse("512Mi"))},
	}})
	folders, variables := ownFolders(pod, agent)
	command := corev1.Container{
		Name: contract.CommandContainer, Image: image, WorkingDir: contract.StepDir,
		Command: []string{path.Join(contract.StepBin, contract.StepProgram), "run"},
		Env:     slices.Concat(home(agent), variables, []corev1.EnvVar{folder}), Resources: commandResources(agent), SecurityContext: commandSecurity(agent),
		VolumeMounts:             append(folders, shared),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
	agent.Resources = runnerResources(pod, agent)
	agent.VolumeMounts = append(agent.VolumeMounts, shared)
	agent.Env = append(agent.Env, folder)
	if mounted {
		mountPrograms(pod, agent, &command)
	} else {
		copyPrograms(pod, agent)
	}
	pod.Containers = append(pod.Containers, command)
}

// home is the agent's variable HOME, if it is a value. The step's image may have no user
// with the pod's uid, and then no home folder.
func home(agent *corev1.Container) (env []corev1.EnvVar) {
	for _, e := range agent.Env {
		if e.Name == "HOME" && e.ValueFrom == nil {
			env = append(env, corev1.EnvVar{Name: e.Name, Value: e.Value})
		}
	}
	return env
}

// ownFolders are the agent's mounts of emptyDir volumes, and the variables in their paths
// (subPathExpr). A mount is left out if such a variable is neither a plain value nor a field
// of the pod, because the command might get a Secret's value.
func ownFolders(pod *corev1.PodSpec, agent *corev1.Container) (mounts []corev1.VolumeMount, env []corev1.EnvVar) {
	for _, m := range agent.VolumeMounts {
		named, ok := pathVariables(agent, m.SubPathExpr)
		if !ok {
			continue
		}
		for _, v := range pod.Volumes {
			if v.Name == m.Name && v.EmptyDir != nil {
				mounts = append(mounts, *m.DeepCopy())
				env = append(env, named...)
			}
		}
	}
	return mounts, env
}

var pathVariable = regexp.MustCompile(`\$\(([^)]*)\)`)

// pathVariables are a container's variables that a subPathExpr names, if all are values
// or fields of the pod.
func pathVariables(c *corev1.Container, expr string) (env []corev1.EnvVar, ok bool) {
	for _, m := range pathVariable.FindAllStringSubmatch(expr, -1) {
		i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == m[1] })
		if i < 0 || c.Env[i].ValueFrom != nil && c.Env[i].ValueFrom.FieldRef == nil || strings.Contains(c.Env[i].Value, "$(") {
			return nil, false
		}
		env = append(env, *c.Env[i].DeepCopy())
	}
	return env, true
}

// commandResources are the agent's, without ephemeral storage: in a template the agent's
// resources are the job's. The ephemeral storage stays with the agent, because the kubelet
// adds up the containers' limits to the pod's.
func commandResources(agent *corev1.Container) corev1.ResourceRequirements {
	r := *agent.Resources.DeepCopy()
	delete(r.Requests, corev1.ResourceEphemeralStorage)
	delete(r.Limits, corev1.ResourceEphemeralStorage)
	return r
}

// runner is what the runner requests while another container does the work. The runner's
// limits stay the template's, because the runner checks out.
var runner = corev1.ResourceList{
	corev1.ResourceCPU:    resource.MustParse("20m"),
	corev1.ResourceMemory: resource.MustParse("64Mi"),
}

// runnerResources is the runner's share of the agent's resources. A limit without a request
// counts as a request, as in Kubernetes. Devices and claims go to the command. If the
// template has a request for the whole pod, the runner requests nothing of its own.
func runnerResources(pod *corev1.PodSpec, agent *corev1.Container) corev1.ResourceRequirements {
	r := *agent.Resources.DeepCopy()
	r.Claims = nil
	for name, limit := range agent.Resources.Limits {
		if _, ok := r.Requests[name]; !ok {
			if r.Requests == nil {
				r.Requests = corev1.ResourceList{}
			}
			r.Requests[name] = limit
		}
	}
	for name, amount := range r.Requests {
		most, share := runner[name]
		switch {
		case !share && name != corev1.ResourceEphemeralStorage:
			delete(r.Requests, name)
			delete(r.Limits, name)
		case share && ofPod(pod, name):
			r.Requests[name] = resource.Quantity{}
		case share && amount.Cmp(most) > 0:
			r.Requests[name] = most
		}
	}
	return r
}

// ofPod reports whether the template has a request of this resource for the whole pod.
func ofPod(pod *corev1.PodSpec, name corev1.ResourceName) bool {
	if pod.Resources == nil {
		return false
	}
	_, ok := pod.Resources.Requests[name]
	return ok
}

// commandSecurity is the agent's, with a root file system that can be written: images
// expect to write into their own folders, and the changes end with the pod.
func commandSecurity(agent *corev1.Container) *corev1.SecurityContext {
	s := agent.SecurityContext.DeepCopy()
	if s != nil {
		s.ReadOnlyRootFilesystem = nil
	}
	return s
}
