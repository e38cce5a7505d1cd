package endtoend

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster/image"
)

func TestLostPods(t *testing.T) {
	t.Parallel()
	// The Job controller can't call a kjob failed there, whatever becomes of its pod.
	denies(t, "rows-unended", written("jobs", "jobs/status"),
		`object.metadata.name != "probe" && !object.?status.conditions.orValue([]).exists(c, c.type == "Failed")`, "no Job has failed yet")
	awaitPolicy(t, "rows-unended")
	sideBySide(t, lostRows)
}

// locked keeps every runner from the job; forSleep is a job that never ends,
// except when it is retried.
var locked = []simulator.Fault{{Endpoint: "acquire", Status: 423}}

const forSleep = `echo begun; [ "$BUILDKITE_RETRY_COUNT" != 0 ] || sleep 3600`

var lostRows = []row{
	{
		name: "pod-deleted-before", faults: locked,
		act:  func(s *scene) { s.refused(); s.delete(s.running(1)); s.unlockAfter(1) },
		exit: "0", kjobs: 2, page: []string{"attempt 1 was stopped before it acquired the job"},
		event: "NewAttempt: attempt 1 was stopped before it acquired the job", metric: "attempt/stopped",
	},
	{
		name: "pod-evicted-before", faults: locked,
		act: func(s *scene) {
			s.refused()
			must(s, s.evict(s.running(1)))
			s.unlockAfter(1)
			s.until("the row of the evicted attempt, whose pod is gone, says what became of it", func() bool {
				rows, err := operate.List(s.ctx, on.Cluster.Client(), s.namespace, contract.JobID(s.id))
				return err == nil && len(rows) == 2 && rows[0].Pod == "" && strings.Contains(rows[0].Reason, ", attempt 2 follows: ") && strings.Contains(rows[0].Reason, "EvictionByEvictionAPI")
			})
		},
		exit: "0", kjobs: 2, page: []string{"attempt 1 was stopped before it acquired the job (EvictionByEvictionAPI, Eviction API: evicting): "},
		event: "NewAttempt: attempt 1 was stopped", metric: "attempt/stopped",
	},
	{
		name: "pod-killed-before", faults: locked,
		act:  func(s *scene) { s.refused(); s.kill(s.running(1)); s.unlock() },
		exit: "0", kjobs: 2, page: []string{"the pod of attempt 1 was lost before it acquired the job: exit code 137"},
		event: "NewAttempt: the pod of attempt 1 was lost", metric: "attempt/pod_lost",
	},
	{
		name: "pods-lost-to-the-cap", queue: "max-attempts: 2", faults: locked,
		act:  func(s *scene) { s.refused(); s.kill(s.running(1)); s.kill(s.running(2)) },
		exit: "-1", signalReason: "stack_error", kjobs: 2,
		page:  []string{"gave up after 2 attempts, none of which acquired the job: the pod of attempt 1 was lost before it acquired the job: exit code 137; the pod of attempt 2 was lost before it acquired the job: exit code 137"},
		event: "JobFinished: gave up after 2 attempts", metric: "finish/gave_up",
	},
	{
		name: "three-causes-to-the-cap", queue: "max-attempts: 3", agent: once,
		faults: []simulator.Fault{{Endpoint: "acquire", Status: 503, Times: 1}, {Endpoint: "acquire", Hang: true, Times: 1}, {Endpoint: "acquire", Status: 423, Times: 1}},
		act: func(s *scene) {
			s.happens("the second runner asks for the job", func() bool { return on.Simulator.FaultCount(s.fault[1]) > 0 })
			s.kill(s.running(2))
		},
		exit: "-1", signalReason: "stack_error", kjobs: 3,
		page: []string{
			"gave up after 3 attempts, none of which acquired the job: attempt 1 could not reach Buildkite: ",
			"; the pod of attempt 2 was lost before it acquired the job: exit code 137; attempt 3 found the job locked",
		},
		event: "JobFinished: gave up after 3 attempts, none of which acquired the job: attempt 1 could not reach Buildkite", metric: "finish/gave_up",
	},
	{
		// The kernel kills PID 1, and so all of the container: where memory runs
		// out for a container as a whole (cgroup v2), or for the runner itself.
		name: "out-of-memory", agent: "resources: {requests: {cpu: 5m, memory: 16Mi}, limits: {memory: 128Mi}}", finishHeld: true,
		command: `[ "$BUILDKITE_RETRY_COUNT" = 0 ] || exit 0; ` + untilTold + `; tail /dev/zero`, retry: "{exit_status: 137, limit: 1}",
		act:  func(s *scene) { s.started(); s.offerUp(s.running(1)); s.letGo() },
		exit: "137", signalReason: "stack_error", kjobs: 1,
		page:  []string{"the pod was lost while the job ran in it; onejob does not run the job again: OOMKilled at 128 MiB (raise limits.memory), exit code 137"},
		event: "JobFinished: the pod was lost while the job ran in it", metric: "finish/pod_lost_running",
	},
	{
		// Where Buildkite leaves a held job to its agent: the page
		// knows at once, the job ends when the agent has been silent for long.
		name: "killed-while-running", command: forSleep,
		act: func(s *scene) {
			s.started()
			s.kill(s.running(1))
			s.told("exit code 137")
			if st := s.job().State; st != simulator.StateRunning {
				s.Errorf("the job is %s when its page says why", st)
			}
			must(s, on.Simulator.LoseAgent(s.job().AgentID))
		},
		exit: "-1", kjobs: 1, page: []string{"the pod was lost while the job ran in it; onejob does not run the job again (Buildkite ends it with -1 within 4 minutes of the last heartbeat): exit code 137"},
		event: "JobLost: the pod was lost while the job ran in it; onejob does not run the job again (Buildkite ends it", metric: "none/pod_lost_running",
	},
	{
		name: "out-of-memory-survived", agent: "resources: {requests: {cpu: 5m, memory: 16Mi}, limits: {memory: 128Mi}}", command: "echo begun; tail /dev/zero || exit 137",
		exit: "137", kjobs: 1, page: []string{"a process of the job was killed because the container ran out of memory (OOMKilled at 128 MiB)"},
		event: "JobNotice: a process of the job was killed because the container ran out of memory (OOMKilled at 128 MiB)", metric: "none/finished",
	},
	{
		name: "step-out-of-memory", agent: "resources: {requests: {cpu: 5m, memory: 16Mi}, limits: {memory: 128Mi}}", image: image.BusyboxName,
		command: "echo begun; sh -c 'x=aaaaaaaa; while :; do x=$x$x; done' || exit 137",
		exit:    "137", kjobs: 1, page: []string{"a process of the job was killed because its container ran out of memory (OOMKilled at 128 MiB, container command, image localhost/onejob-busybox:dev)"},
		event: "JobNotice: a process of the job was killed because its container ran out of memory (OOMKilled at 128 MiB, container command", metric: "none/finished",
	},
	{
		// The command's container counts for itself; beside it the runner is idle. Its
		// request keeps it above its limit on a busy machine, too.
		name: "step-throttled", agent: "resources: {requests: {cpu: 100m, memory: 16Mi}, limits: {cpu: 100m, memory: 128Mi}}", image: image.BusyboxName,
		command: "busy() { end=$(($(date +%s) + 15)); while [ $(date +%s) -lt $end ]; do :; done; }; busy & busy & busy & busy; wait", exit: "0", kjobs: 1,
		act: func(s *scene) {
			s.happens("the build ends", s.done)
			s.until("what it used is measured", func() bool { return s.measured("onejob_job_throttled_ratio_count", "queue", s.name) })
			rows, err := operate.List(s.ctx, on.Cluster.Client(), s.namespace, contract.JobID(s.id))
			must(s, err)
			if sizes := operate.Sizes(rows); len(sizes) != 1 || sizes[0].Container != contract.CommandContainer || sizes[0].Suggest == nil || sizes[0].Throttled.Max < .25 {
				s.Errorf("sizes are %+v of %+v", sizes, rows)
			}
			s.until("its Kubernetes Job says the same when its pod is gone", func() bool {
				kjobs := s.kjobList()
				return len(kjobs) == 1 && reflect.DeepEqual(decide.ParseUsedNote(kjobs[0].Annotations[contract.AnnotationUsed]), rows[0].Used)
			})
		},
		page:  []string{"the job was throttled ", "% of the time by its CPU limit of 0.1 (container command): raise limits.cpu"},
		event: "JobNotice: the job was throttled", metric: "none/finished",
	},
	{
		// The result is reported at once, the containers stay until they are released.
		name: "step-held", queue: "hold: 1h", hold: "30m", image: image.BusyboxName, command: leaves, exit: "3", kjobs: 1, metric: "none/finished",
		act: func(s *scene) { s.stays(contract.CommandContainer, contract.AgentContainer, contract.CommandContainer) },
	},
	{
		name: "held", queue: "hold: 1h", hold: "30m", command: leaves, exit: "3", kjobs: 1, metric: "none/finished",
		act: func(s *scene) { s.stays(contract.AgentContainer, contract.AgentContainer) },
	},
	{
		name: "step-container-killed", image: image.BusyboxName, command: forSleep,
		act: func(s *scene) {
			s.started()
			must(s, syscall.Kill(s.firstOf(s.running(1), "onejob-step"), syscall.SIGKILL))
		},
		exit: "137", kjobs: 1, metric: "none/finished",
	},
	{
		name: "evicted-by-the-kubelet", pod: "volumes: [{name: tmp, emptyDir: {sizeLimit: 1Mi}}]", finishHeld: true,
		command: `echo begun; [ "$BUILDKITE_RETRY_COUNT" != 0 ] || { head -c 20000000 /dev/zero > /tmp/fill; sleep 3600; }`, retry: "{exit_status: '*', limit: 1}",
		act:  func(s *scene) { s.started(); s.told("Evicted") },
		page: []string{"Kubernetes stopped the pod in which the job ran: Evicted, ", `Usage of EmptyDir volume "tmp" exceeds the limit "1Mi"`},
		exit: "-1", signalReason: "agent_stop", kjobs: 1,
		// A notice when the pod is told to stop, or, when the kubelet was faster, the end at once.
		event: ": Kubernetes stopped the pod in which the job ran: Evicted, ", metric: "none/finished",
	},
	{
		// The next attempt doesn't wait for it; once it can be told from what a
		// slow Job controller leaves, it goes.
		name: "pod-killed-unended", namespace: "rows-unended", faults: locked, exit: "0",
		act: func(s *scene) {
			s.refused()
			pod := s.running(1)
			s.kill(pod)
			s.unlockAfter(1)
			s.delete(pod)
			s.until("the first attempt's kjob is gone", func() bool { return s.attempts() == 2 && len(s.kjobList()) == 1 })
		},
		page:  []string{"the pod of attempt 1 was lost before it acquired the job"},
		event: "Deleted: deleted by onejob: kubernetes_job_stuck", metric: "delete/kubernetes_job_stuck",
	},
	{
		// Here it does: a runner that could speak may say that it has the job.
		name: "pod-deleted-unended", namespace: "rows-unended", faults: locked, exit: "0", kjobs: 2,
		act:   func(s *scene) { s.refused(); s.delete(s.running(1)); s.unlockAfter(1) },
		page:  []string{"attempt 1 is over but its Kubernetes Job does not end, so onejob deletes it; the runner's last message: ", "stopped by SIGTERM"},
		event: "Deleted: deleted by onejob: kubernetes_job_stuck", metric: "delete/kubernetes_job_stuck",
	},
	{
		name: "exhausted-unended", namespace: "rows-unended", agent: once, faults: []simulator.Fault{{Endpoint: "acquire", Status: 503, Times: 1}}, exit: "0", kjobs: 2,
		page:  []string{"attempt 1 could not reach Buildkite: "},
		event: "Deleted: deleted by onejob: kubernetes_job_stuck", metric: "delete/kubernetes_job_stuck",
	},
	{
		name: "pod-deleted-running", command: forSleep, retry: "{signal_reason: agent_stop, limit: 1}",
		act:  func(s *scene) { s.started(); s.delete(s.running(1)) },
		exit: "-1", signalReason: "agent_stop", kjobs: 1, page: []string{"Kubernetes stopped the pod in which the job ran: the pod was deleted"},
		event: "JobNotice: Kubernetes stopped the pod in which the job ran: the pod was deleted", metric: "none/finished",
	},
}

func (s *scene) delete(p corev1.Pod) {
	must(s, on.Cluster.Client().CoreV1().Pods(p.Namespace).Delete(s.ctx, p.Name, metav1.DeleteOptions{}))
}

// evict does what `kubectl drain`, Karpenter and the cluster-autoscaler do.
func (s *scene) evict(p corev1.Pod) error {
	return on.Cluster.Client().CoreV1().Pods(p.Namespace).EvictV1(s.ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: p.Name}})
}

// unlockAfter ends the faults once the attempt's kjob has ended: until then its
// runner could still get the job.
func (s *scene) unlockAfter(attempt int) {
	s.until(fmt.Sprintf("attempt %d is followed by another", attempt), func() bool { return s.attempts() > attempt })
	s.unlock()
}

// kill ends the pod's PID 1 with SIGKILL, and with it all of its container.
func (s *scene) kill(p corev1.Pod) {
	s.Helper()
	must(s, syscall.Kill(s.first(p), syscall.SIGKILL))
}

// offerUp makes the pod's PID 1 the process that the kernel kills for memory:
// before all others, and those that they start.
func (s *scene) offerUp(p corev1.Pod) {
	s.Helper()
	first := s.first(p)
	for _, pid := range processes(s, string(p.UID)) {
		score := "0"
		if pid == first {
			score = "1000"
		}
		must(s, os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte(score), 0o644))
	}
}

// first is the runner's PID 1, by this machine's numbers.
func (s *scene) first(p corev1.Pod) int { return s.firstOf(p, "onejob-agent") }

// firstOf is the PID 1 of a container, by its program.
func (s *scene) firstOf(p corev1.Pod, program string) (found int) {
	s.Helper()
	s.until("PID 1 of "+p.Name, func() bool {
		for _, pid := range processes(s, string(p.UID)) {
			if one, name := identity(pid); one && name == program {
				found = pid
			}
		}
		return found != 0
	})
	return found
}

// processes are those in the cgroups of a pod, by this machine's numbers.
func processes(s *scene, uid string) (pids []int) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	must(s, err)
	for _, dir := range dirs {
		b, err := os.ReadFile(filepath.Join(dir, "cgroup"))
		if err == nil && strings.Contains(string(b), uid) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}

// identity reports whether a process is PID 1 of its own namespace, and its name.
func identity(pid int) (one bool, name string) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.SplitSeq(string(b), "\n") {
		key, value, _ := strings.Cut(line, ":")
		switch fields := strings.Fields(value); {
		case key == "Name" && len(fields) > 0:
			name = fields[0]
		case key == "NSpid" && len(fields) > 0:
			one = len(fields) > 1 && fields[len(fields)-1] == "1"
		}
	}
	return one, name
}
