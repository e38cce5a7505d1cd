package main

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// fate is what becomes of a pod, whatever else happens to it.
type fate int

const (
	ranOK fate = iota
	slowStart
	jobFailed
	exits28
	exits70
	exits75
	exits77
	exits78
	exits143
	lostReplyOfAcquire // has the job and doesn't know: 27, and the session is gone
	evicted            // over without a word before it acquired the job
	oomKilled          // and while it ran
	partitioned        // its Node object goes, it runs on
	hangsForever       // silent, and doesn't end
	noPod              // the Job controller is refused a pod
	unschedulable
	badImage
	startsTooLate // Buildkite takes the job back before it is started
	diesAccepted  // between the grant and the start
	nFates
)

var fateNames = []string{"runs", "starts slowly", "job fails", "exits 28", "exits 70", "exits 75", "exits 77", "exits 78", "exits 143", "loses the reply of acquire",
	"evicted", "OOM-killed", "partitioned", "hangs for ever", "never made", "unschedulable", "bad image", "starts too late", "dies before the start"}

func (f fate) String() string { return fateNames[f] }

// fatal are the fates after which a scheduler may end a job that didn't run.
func (f fate) fatal() bool {
	return f == exits78 || f == noPod || f == unschedulable || f == badImage
}

// hpod is the Job controller's, the kubelet's and the runner's share of one
// kjob. What is below mu is the truth about it.
type hpod struct {
	by                                *instance // who made the kjob
	h                                 *history
	kjob, uid, name                   string
	id                                contract.JobID
	attempt, number                   int // number is the job's
	fate                              fate
	labels                            map[string]string
	kill                              chan struct{}
	killed                            bool // guarded by h.mu, as all that follows
	made, node                        bool
	holds                             bool // the runner has the job and hasn't reported its end
	heldSince                         time.Time
	over, gone, foreground, suspended bool
	spoke, left                       bool // left a message; the agent container has ended
	helper                            helper
}

// helper is what another container of the pod does when the agent's has ended.
type helper int

const (
	noHelper    helper = iota
	livesOn            // until it is told to stop, and then for a while
	endsSoon           // by itself
	nativeOne          // is stopped by the kubelet, which takes a while
	neverStarts        // its image can't be pulled
	endsFirst          // before the agent's
	nHelpers
)

var helperNames = []string{"alone", "a helper lives on", "a helper ends later", "a native sidecar", "a helper never starts", "a helper ends first"}

// startPod is called with the cluster locked, when a kjob has been stored.
func (h *history) startPod(s *instance, k *batchv1.Job) {
	p := &hpod{h: h, by: s, kjob: k.Name, uid: string(k.UID), name: k.Name + "-" + string(k.UID), id: kjob.IDOf(k.Labels), attempt: kjob.AttemptOf(k),
		labels: k.Spec.Template.Labels, kill: make(chan struct{})}
	h.mu.Lock()
	p.number = h.jobNumber[p.id]
	if h.troubled() {
		p.fate = pick(h.plan.fates, nFates-1, chance(h.seed, "fate", p.number, p.attempt, len(h.podsByUID)))
	}
	p.helper = pick(h.plan.helpers, nHelpers-1, chance(h.seed, "helper", p.number, p.attempt))
	h.podsByUID[p.uid] = p
	if p.fate.fatal() {
		h.excuse(p.id, p.fate.String())
	}
	h.noteLocked("%s (%s): its pod %s, %s", p.kjob, p.uid, p.fate, helperNames[p.helper])
	h.mu.Unlock()
	h.wg.Go(p.live)
}

// stop is a SIGTERM, or the end of a pod that has no node. Callers hold h.mu.
func (p *hpod) stop() {
	if !p.killed {
		p.killed = true
		close(p.kill)
	}
}

// sleep is false when the pod is stopped first. No signal reaches one that is
// partitioned.
func (p *hpod) sleep(d time.Duration) bool {
	if p.fate == partitioned {
		return p.h.sleep(d, nil)
	}
	return p.h.sleep(d, p.kill)
}

// lasts is a time that the seed decides.
func (p *hpod) lasts(what string, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(chance(p.h.seed, what, p.number, p.attempt)*float64(hi-lo))
}

func (p *hpod) live() {
	c := p.h.cluster
	if p.fate == noPod {
		p.sleep(time.Hour)
		p.end(false)
		return
	}
	if !p.sleep(p.lasts("controller", 20*time.Millisecond, 400*time.Millisecond)) {
		p.end(false)
		return
	}
	c.mu.Lock()
	c.write(watch.Added, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: p.name, Namespace: namespace, Labels: p.labels, CreationTimestamp: metav1.NewTime(p.h.kubeNow()), UID: types.UID("pod-" + p.uid),
		OwnerReferences: []metav1.OwnerReference{{Kind: "Job", Name: p.kjob, UID: types.UID(p.uid)}},
	}, Status: corev1.PodStatus{Phase: corev1.PodPending}})
	c.mu.Unlock()
	p.truth(func() { p.made = true })
	c.changeKjob(p.kjob, p.uid, func(k *batchv1.Job) {
		now := metav1.NewTime(p.h.kubeNow())
		k.Status.StartTime, k.Status.Active = &now, 1
	})
	if p.fate == unschedulable {
		c.changePod(p.name, func(o *corev1.Pod) {
			o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available"}}
		})
		p.sleep(time.Hour)
		p.end(false)
		return
	}
	if !p.sleep(p.lasts("scheduling", 20*time.Millisecond, 2*time.Second)) {
		p.end(false)
		return
	}
	p.truth(func() { p.node = true })
	c.changePod(p.name, func(o *corev1.Pod) { o.Spec.NodeName = "node-1" })
	switch p.fate {
	case badImage:
		c.changePod(p.name, func(o *corev1.Pod) {
			o.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, Image: "no/such",
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}}}}
		})
		p.sleep(time.Hour)
		p.end(false)
		return
	case evicted:
		p.sleep(p.lasts("eviction", 0, 2*time.Second))
		c.changePod(p.name, func(o *corev1.Pod) { o.Status.Phase, o.Status.Reason = corev1.PodFailed, "Evicted" })
		p.end(true)
		return
	case slowStart:
		p.sleep(p.lasts("pull", 5*time.Second, 25*time.Second))
	}
	if !p.sleep(p.lasts("pull", 50*time.Millisecond, time.Second)) {
		p.end(false)
		return
	}
	c.changePod(p.name, func(o *corev1.Pod) {
		o.Status.Phase = corev1.PodRunning
		o.Status.ContainerStatuses = p.statuses(corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(p.h.nodeNow())}})
	})
	if p.fate == partitioned {
		// The cluster gives the pod up, and its kjob; the runner goes on.
		p.h.wg.Go(func() {
			p.h.sleep(p.lasts("node", time.Second, 15*time.Second), nil)
			p.truth(func() { p.gone = true })
			c.changePod(p.name, func(o *corev1.Pod) { o.Status.Phase, o.Status.Reason = corev1.PodFailed, "NodeLost" })
			p.end(true)
		})
		p.run()
		return
	}
	code, m := p.run()
	terminated := &corev1.ContainerStateTerminated{ExitCode: int32(code), Reason: "Error", FinishedAt: metav1.NewTime(p.h.nodeNow())} //nolint:gosec // an exit code
	if m != nil {
		m.ExitCode, m.JobID, m.Attempt = code, p.id, p.attempt
		terminated.Message = string(m.Encode())
	}
	p.truth(func() { p.spoke, p.left = m != nil, true })
	p.h.note("%s (%s): its runner left with %d", p.kjob, p.uid, code)
	if p.helper != noHelper && p.helper != endsFirst {
		c.changePod(p.name, func(o *corev1.Pod) {
			o.Status.ContainerStatuses = p.statuses(corev1.ContainerState{Terminated: terminated})
		})
		p.linger()
	}
	c.changePod(p.name, func(o *corev1.Pod) {
		o.Status.Phase = corev1.PodFailed
		if code == 0 && p.helper != livesOn { // which doesn't end well
			o.Status.Phase = corev1.PodSucceeded
		}
		o.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, State: corev1.ContainerState{Terminated: terminated}}}
	})
	p.end(code != 0)
}

// statuses are those of the pod's containers, the agent's and another one's.
func (p *hpod) statuses(agent corev1.ContainerState) []corev1.ContainerStatus {
	list := []corev1.ContainerStatus{{Name: contract.AgentContainer, State: agent}}
	switch p.helper {
	case livesOn, endsSoon:
		list = append([]corev1.ContainerStatus{{Name: "a-proxy", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(p.h.nodeNow())}}}}, list...)
	case endsFirst:
		list = append(list, corev1.ContainerStatus{Name: "proxy", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error"}}})
	case neverStarts:
		list = append(list, corev1.ContainerStatus{Name: "proxy", Image: "no/such", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}}})
	}
	return list
}

// linger is what the pod does between its agent container's end and its own.
func (p *hpod) linger() {
	switch p.helper {
	case nativeOne:
		p.h.sleep(p.lasts("native sidecar", 0, 12*time.Second), nil)
	case endsSoon:
		p.sleep(p.lasts("helper", 0, 10*time.Second))
	default:
		p.sleep(time.Hour)
		p.h.sleep(p.lasts("helper's grace", 0, 10*time.Second), nil)
	}
}

func (p *hpod) truth(f func()) {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	f()
}

// end is what the Job controller and the garbage collector do when a pod is
// over, or is not to be.
func (p *hpod) end(failed bool) {
	c, gone, unseen := p.h.cluster, false, false
	p.truth(func() {
		p.over, gone = true, p.killed
		unseen = gone && p.made && chance(p.h.seed, "sight", p.number, p.attempt) < p.h.plan.unseen
	})
	if gone {
		p.h.sleep(p.lasts("gc", 10*time.Millisecond, time.Second), nil)
		c.removePod(p.name)
		p.truth(func() { p.gone = true })
	}
	p.h.sleep(p.lasts("status", 50*time.Millisecond, 1500*time.Millisecond), nil)
	var foreground, suspended bool
	p.truth(func() { foreground, suspended = p.foreground, p.suspended })
	switch {
	case p.h.ctx.Err() != nil:
		return
	case foreground:
		_ = c.removeKjob(p.kjob, p.uid, false)
	case suspended:
		c.changeKjob(p.kjob, p.uid, func(k *batchv1.Job) { k.Status.Active = 0 })
		return
	case unseen:
		c.changeKjob(p.kjob, p.uid, func(k *batchv1.Job) { k.Status.Active, k.Status.Failed = 0, 1 })
		p.h.note("%s (%s): the Job controller has lost sight of it", p.kjob, p.uid)
		return
	default:
		c.changeKjob(p.kjob, p.uid, func(k *batchv1.Job) {
			cond := batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded"}
			k.Status.Active, k.Status.Failed = 0, 1
			if !failed && !gone {
				cond, k.Status.Failed, k.Status.Succeeded = batchv1.JobCondition{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}, 0, 1
			}
			k.Status.Conditions = append(k.Status.Conditions, cond)
		})
		if p.h.plan.ttl == time.Hour || !p.h.sleep(p.h.plan.ttl, nil) || c.removeKjob(p.kjob, p.uid, false) != nil {
			return
		}
		p.h.note("%s (%s): removed by its TTL", p.kjob, p.uid)
		p.truth(func() { p.h.takenAway[p.id] = true })
	}
	c.removePod(p.name)
}
