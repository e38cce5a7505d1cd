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

// ofStep is the image that a step asks for its command, empty if the pod's agent runs
// the command itself: in a plain queue, or because it has that image, or takes it.
func ofStep(t *Template, agent *corev1.Container, env map[string]string) string {
	image := env[envImage]
	if t.Plain || image == honoured(t.Image(), agent.Image, env) {
		return ""
	}
	return image
}

// CheckImage is what is wrong with a step's image: for this queue.
func (t *Template) CheckImage(image string) error {
	if err := checkImage(image); err != nil {
		return err
	}
	if refused := policy.Image(t.policy, "image", image); len(refused) > 0 {
		return fmt.Errorf("the queue's policy refuses the step's image:\n%s", policy.Text(refused))
	}
	return nil
}

// checkImage refuses what is no image's name. The kubelet would say so at last, if it
// didn't take it for a variable or not fit into an object.
func checkImage(image string) error {
	if err := steps.CheckImage(image); err != nil {
		return fmt.Errorf("the step's %w", err)
	}
	return nil
}

// EnvOf is as much of a job's environment as its kjob tells: what New took from it.
func EnvOf(k *batchv1.Job) map[string]string {
	if k == nil {
		return nil
	}
	if OfPlugin(k) {
		return nil // it can't be read back from its pod
	}
	for _, c := range k.Spec.Template.Spec.Containers {
		if c.Name == contract.CommandContainer {
			return map[string]string{envImage: c.Image}
		}
	}
	return nil
}

// addCommand gives a pod a container that runs the command in an image of the step's.
// Whoever writes the pipeline chose that image, so the container has nothing of the
// queue's but the job's own folders: neither the token, nor the template's Secrets and
// volumes, nor another namespace of processes than its own.
//
// An image volume would save the copy of our programs; it needs Kubernetes 1.35 and
// containerd 2.1.
func addCommand(pod *corev1.PodSpec, image string) {
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
		Command: []string{path.Join(contract.StepDir, "bin", contract.StepProgram), "run"},
		Env:     slices.Concat(home(agent), variables, []corev1.EnvVar{folder}), Resources: commandResources(agent), SecurityContext: commandSecurity(agent),
		VolumeMounts:             append(folders, shared),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
	agent.Resources = runnerResources(pod, agent)
	agent.VolumeMounts = append(agent.VolumeMounts, shared)
	agent.Env = append(agent.Env, folder)
	bringPrograms(pod, agent)
	pod.Containers = append(pod.Containers, command)
}

// bringPrograms has our programs copied into the shared folder before the command's
// container is started. The kubelet starts containers in their order, and begins the next
// one when the last one's postStart has ended. An init container would do, too, and where
// the template has a postStart of its own, it does: but the kubelet looks only once a
// second whether one has ended, and that is longer than all else that a pod takes to start.
//
// If the agent's container can't be started, the kubelet starts the command's without the
// programs, in vain. Then there is a new attempt: see decide.
func bringPrograms(pod *corev1.PodSpec, agent *corev1.Container) {
	copying := []string{contract.StepProgram, "copy"}
	switch l := agent.Lifecycle; {
	case l == nil:
		agent.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: copying}}}
	case l.PostStart == nil:
		l.PostStart = &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: copying}}
	default:
		// It is of the agent's image, and done before the agent begins: a pod asks for the
		// larger of the two.
		last := len(agent.VolumeMounts) - 1
		pod.InitContainers = append([]corev1.Container{{
			Name: contract.StepInit, Image: agent.Image, ImagePullPolicy: agent.ImagePullPolicy, Command: copying,
			Env:       []corev1.EnvVar{{Name: contract.EnvStepDir, Value: contract.StepDir}},
			Resources: *agent.Resources.DeepCopy(), SecurityContext: agent.SecurityContext.DeepCopy(),
			VolumeMounts: agent.VolumeMounts[last:],
		}}, pod.InitContainers...)
	}
}

// home is where a job's own files are: the image may have no user of that number, and so no
// home for it.
func home(agent *corev1.Container) (env []corev1.EnvVar) {
	for _, e := range agent.Env {
		if e.Name == "HOME" && e.ValueFrom == nil {
			env = append(env, corev1.EnvVar{Name: e.Name, Value: e.Value})
		}
	}
	return env
}

// ownFolders are the agent's mounts of volumes that begin empty and end with the pod, and
// the variables that their paths (subPathExpr) are made of. A mount whose variable is a
// Secret's or the like stays out: it would give the command what isn't its own.
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

// commandResources are the agent's, which are the job's. Those of the node's disk stay
// where they are: a pod's limit is the sum, and a container's is for its log and what it
// writes beside the volumes.
func commandResources(agent *corev1.Container) corev1.ResourceRequirements {
	r := *agent.Resources.DeepCopy()
	delete(r.Requests, corev1.ResourceEphemeralStorage)
	delete(r.Limits, corev1.ResourceEphemeralStorage)
	return r
}

// runner is what the runner takes while another container does the work. Its limits
// stay the template's, because it checks out.
var runner = corev1.ResourceList{
	corev1.ResourceCPU:    resource.MustParse("20m"),
	corev1.ResourceMemory: resource.MustParse("64Mi"),
}

// runnerResources leave the runner its share of the agent's: what Kubernetes would take a
// limit for, too. Devices and claims are the command's. What the whole pod asks for counts
// once.
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

// ofPod: the template says how much the pod as a whole asks for.
func ofPod(pod *corev1.PodSpec, name corev1.ResourceName) bool {
	if pod.Resources == nil {
		return false
	}
	_, ok := pod.Resources.Requests[name]
	return ok
}

// commandSecurity is the agent's, with a root file system that can be written: an
// image's own folders are made to be written by its user, and end with the pod.
func commandSecurity(agent *corev1.Container) *corev1.SecurityContext {
	s := agent.SecurityContext.DeepCopy()
	if s != nil {
		s.ReadOnlyRootFilesystem = nil
	}
	return s
}
