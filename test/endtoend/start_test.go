package endtoend

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/test/cluster/image"
)

func TestNeverStarted(t *testing.T) {
	t.Parallel()
	sideBySide(t, startRows)
}

// notYet finishes with what the pod waits for.
func notYet(name, queue, job, pod, agent, metric string, page ...string) row {
	return row{name: name, queue: queue, job: job, pod: pod, agent: agent, exit: "-1", signalReason: "stack_error", kjobs: 1,
		page: page, event: "JobFinished: " + page[0], metric: "finish/" + metric}
}

var startRows = []row{
	{
		name: "step-image-not-pulled", queue: "image-grace: 3s", image: "127.0.0.1:1/none/of-the-step:1", exit: "-1", signalReason: "stack_error", kjobs: 1,
		page:  []string{"the pod can't start: ", "ImagePull", "connection refused", "(image 127.0.0.1:1/none/of-the-step:1): check that it exists and that the pod may pull it"},
		event: "JobFinished: the pod can't start: ", metric: "finish/image",
	},
	notYet("image-not-pulled", "image-grace: 3s", "", "", missing, "image",
		"the pod can't start: ", "ImagePull", "connection refused", "(image 127.0.0.1:1/none/such:1): check that it exists and that the pod may pull it"),
	{
		// A pull that fails at first, and then takes longer than the grace.
		name: "image-pulled-late", queue: "image-grace: 2m", agent: "{image: 'late.test/onejob-agent:dev', imagePullPolicy: Always}", exit: "0", kjobs: 1,
		act: func(s *scene) {
			s.until("a pull that fails", func() bool { return decide.FailureKind(s.waitsFor()) == "image" })
			late.hold()
			s.Cleanup(late.release)
			s.told("is being pulled again")
			late.release()
		},
		page: []string{"waiting to start: image late.test/onejob-agent:dev is being pulled again (a large image takes time), after "}, metric: "none/finished",
	},
	notYet("image-name", "", "", "", "{image: 'Not/A/Name::x', imagePullPolicy: Always}", "image",
		"the pod can't start: InvalidImageName (image Not/A/Name::x): check the name in the queue's template"),
	notYet("secret-missing", "token-secret: {name: no-token}", "", "", "", "container",
		"the pod can't start: CreateContainerConfigError: ", `secret "no-token" not found`, "(check the queue's token-secret, and the Secret, ConfigMap and command in its template)"),
	notYet("volume-missing", "", "", "volumes: [{name: extra, secret: {secretName: nowhere}}]", "volumeMounts: [{name: extra, mountPath: /extra}]", "container",
		"the pod can't start: FailedMount: ", `secret "nowhere" not found`, "(check the volumes in the queue's template)"),
	notYet("unschedulable", "pending-timeout: 50s", "", "nodeSelector: {no: such}", "", "pending",
		"the pod did not start within 50s: ", "nodes are available", "didn't match Pod's node affinity/selector", "waiting to start: "),
	notYet("claim-missing", "pending-timeout: 50s", "", "volumes: [{name: extra, persistentVolumeClaim: {claimName: nowhere}}]", "volumeMounts: [{name: extra, mountPath: /extra}]", "pending",
		"the pod did not start within 50s: ", `persistentvolumeclaim "nowhere" not found`),
	{
		// Debian's containerd has no image volumes; test/containerd2 has one that does.
		name: "image-volume-on-an-old-runtime", queue: "programs: image-volume", image: image.BusyboxName, exit: "-1", signalReason: "stack_error", kjobs: 2,
		page:  []string{"the pod of attempt 1 could not start on node node-0", "the pod can't start: ", "programs: image-volume needs containerd 2.2 or CRI-O 1.33 on node node-0; upgrade it, or set programs: copy"},
		event: "JobFinished: the pod can't start: ", metric: "finish/container",
	},
	{
		name: "no-such-command", agent: "command: [/no/such]", exit: "-1", signalReason: "stack_error", kjobs: 3,
		page:  []string{"the container could not be started in 3 pods in a row: StartError, exit code 128", "/no/such: no such file or directory"},
		event: "JobFinished: the container could not be started", metric: "finish/container",
	},
	{
		name: "init-container-fails", exit: "-1", signalReason: "stack_error", kjobs: 2,
		pod:   "initContainers: [{name: first, image: 'localhost/onejob-agent:dev', imagePullPolicy: Never, command: [sh, -c, 'echo no such host >&2; exit 3'], securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]",
		page:  []string{"container first ended with exit code 3 in two pods (the last one on node node-0)", "Its last output: no such host"},
		event: "JobFinished: container first ended with exit code 3 in two pods", metric: "finish/container",
	},
	{
		// As Kueue does it: suspended from the beginning, resumed when there is room.
		// The time that its pod may take to start begins then.
		name: "suspended-until-admitted", queue: "pending-timeout: 20s", job: "suspend: true", exit: "0", kjobs: 1,
		act: func(s *scene) {
			s.told("waiting to start: the Kubernetes Job is suspended and waits to be admitted")
			s.until("longer than its pod may take to start", func() bool { return time.Since(s.kjobList()[0].CreationTimestamp.Time) > 40*time.Second })
			s.suspend(false)
		},
		event: "JobWaiting: waiting to start: the Kubernetes Job is suspended and waits to be admitted", metric: "none/finished",
	},
	{
		name: "suspended-and-cancelled", job: "suspend: true",
		act: func(s *scene) {
			s.told("waits to be admitted")
			s.removedAfter(func() { must(s, on.Simulator.CancelJob(s.id)) })
		},
		event: "Deleted: deleted by onejob: job_over", metric: "delete/job_over",
	},
	{
		name: "suspended-while-waiting", faults: locked, exit: "0", kjobs: 2,
		act:   func(s *scene) { s.refused(); s.running(1); s.suspend(true); s.unlockAfter(1) },
		page:  []string{"the Kubernetes Job was suspended after its pod was created; onejob deletes it, because resuming it would start a second pod"},
		event: "Deleted: deleted by onejob: suspended", metric: "delete/suspended",
	},
	{
		name: "deadline-before-acquisition", job: "activeDeadlineSeconds: 8", faults: locked, exit: "-1", signalReason: "stack_error", kjobs: 1,
		page:  []string{"Kubernetes ended attempt 1 at its active deadline (activeDeadlineSeconds in the queue's template) before it acquired the job"},
		event: "JobFinished: Kubernetes ended attempt 1 at its active deadline", metric: "finish/deadline",
	},
	{
		name: "deadline-while-running", job: "activeDeadlineSeconds: 120", command: forSleep, exit: "-1", signalReason: "agent_stop", kjobs: 1,
		page:  []string{"Kubernetes stopped the pod in which the job ran: DeadlineExceeded, Job was active longer than specified deadline"},
		event: "JobNotice: Kubernetes stopped the pod in which the job ran: DeadlineExceeded", metric: "none/finished",
	},
}

// suspend does what Kueue, or a person, does.
func (s *scene) suspend(yes bool) {
	patch := `{"spec":{"suspend":false}}`
	if yes {
		patch = `{"spec":{"suspend":true}}`
	}
	_, err := on.Cluster.Client().BatchV1().Jobs(s.namespace).Patch(s.ctx, s.kjobList()[0].Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	must(s, err)
}

// waitsFor is why the only pod's container hasn't started, in the kubelet's word.
func (s *scene) waitsFor() string {
	p := s.pods()
	if len(p) != 1 || len(p[0].Status.ContainerStatuses) != 1 || p[0].Status.ContainerStatuses[0].State.Waiting == nil {
		return ""
	}
	return p[0].Status.ContainerStatuses[0].State.Waiting.Reason
}
