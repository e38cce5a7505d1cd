package decide

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// life is what happens to a Timeline; its times are seconds after t0.
type life struct{ Timeline }

func sec(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }

func (l *life) learns(s stacks.State, sent int) bool { return l.Learn(s, sec(sent), sec(sent)) }

func (l *life) looks(at int, s Seen) Facts {
	s.Now = sec(at)
	return l.See(s)
}

// kjobOf is the kjob of an attempt, and podOf a pod of that kjob.
func kjobOf(uid types.UID, n int, but ...func(*AttemptKJob)) AttemptKJob {
	k := AttemptKJob{Number: n, KJob: KJob{UID: uid, Exists: true}}
	for _, f := range but {
		f(&k)
	}
	return k
}

func podOf(uid types.UID, n int, but ...func(*Pod)) AttemptPod {
	p := AttemptPod{Attempt: n, KJob: uid, Pod: &Pod{Name: "pod-" + string(uid), Phase: corev1.PodPending, Node: "node"}}
	for _, f := range but {
		f(p.Pod)
	}
	return p
}

func seen(k AttemptKJob, pods ...AttemptPod) Seen { return Seen{KJob: k, Pods: pods} }

// The rules of what was seen, and since when. Each plays a life, and returns what
// it ends in.
func TestTimeline(t *testing.T) {
	type list []any // of what a row is about
	const scheduled, reserved, running, finished = stacks.StateScheduled, stacks.StateReserved, stacks.StateRunning, stacks.StateFinished
	var never time.Time
	nothing := AttemptKJob{}
	done := func(k *AttemptKJob) { k.Finished = true }
	terminating := func(k *AttemptKJob) { k.Terminating = true }
	hadPod := func(k *AttemptKJob) { k.PodSeen = true }
	started := func(p *Pod) { p.Phase, p.Started = corev1.PodRunning, true }
	failed := func(p *Pod) { p.Phase = corev1.PodFailed }
	message := func(p *Pod) { p.Message = &contract.Message{ExitCode: contract.ExitExhausted} }
	lingers := func(p *Pod) { p.Phase, p.Started, p.Ended, p.Helper = corev1.PodRunning, true, true, "proxy" }
	waits := func(reason string) func(*Pod) { return func(p *Pod) { p.Waiting = reason } }
	ended := seen(kjobOf("a", 1, done), podOf("a", 1, failed))
	podOver := seen(kjobOf("a", 1), podOf("a", 1, failed))
	pending := seen(kjobOf("a", 1), podOf("a", 1))
	image := seen(kjobOf("a", 1), podOf("a", 1, waits("ImagePullBackOff")))
	suspended := func(k *AttemptKJob) { k.Suspended = true }
	madeAt := func(at int) func(*AttemptKJob) { return func(k *AttemptKJob) { k.CreatedAt = sec(at) } }
	held, bare := seen(kjobOf("a", 1, suspended)), seen(kjobOf("a", 1))
	podless := seen(kjobOf("a", 1, hadPod))
	mended := func(s Seen, at int) Seen { s.MendedAt = sec(at); return s }
	live := func(s Seen) Seen { s.HoldsSlot = true; return s }
	listed := func(l *life, at float64) any {
		sent := sec(0).Add(Seconds(at))
		news, ask := l.Listed(sent, sent)
		return list{news, ask, l.State()}
	}
	stale := func(s Seen) Seen { s.Stale = true; return s }

	for _, tt := range []struct {
		name string
		play func(l *life) any
		want any
	}{
		// The state.
		{"nothing is known", func(l *life) any { f := l.looks(1, Seen{}); return list{f.State, f.StateAt, f.Attempt, On(f).Action} }, list{stacks.State(""), never, 0, None}},
		{"a state", func(l *life) any {
			l.Learn(running, sec(1), sec(3))
			f := l.looks(4, pending)
			return list{f.State, f.StateAt, f.ToldAt}
		}, list{running, sec(1), sec(3)}},
		{"an answer that comes after a later question's", func(l *life) any {
			l.learns(finished, 2)
			return list{l.learns(running, 1), l.State()}
		}, list{false, finished}},
		{"the same moment is news", func(l *life) any { l.learns(running, 2); return list{l.learns(finished, 2), l.State()} }, list{true, finished}},
		{"held since it was first told", func(l *life) any {
			l.Learn(stacks.StateAssigned, sec(1), sec(2))
			l.Learn(running, sec(5), sec(6))
			return l.looks(7, pending).HeldAt
		}, sec(2)},
		{"held, let go, and held again", func(l *life) any {
			l.learns(running, 1)
			l.learns(scheduled, 2)
			l.learns(running, 3)
			return l.looks(4, pending).HeldAt
		}, sec(3)},
		{"over, held once", func(l *life) any { l.learns(running, 1); l.learns(finished, 2); return l.looks(4, pending).HeldAt }, sec(1)},
		{"over, never seen held", func(l *life) any { l.learns(finished, 2); return l.looks(4, pending).HeldAt }, never},
		{"listed, and nothing was known", func(l *life) any { return listed(l, 2) }, list{true, false, scheduled}},
		{"listed after it was seen to be reserved", func(l *life) any { l.learns(reserved, 1); return listed(l, 2) }, list{true, false, scheduled}},
		{"listed though it runs: the list lags, and is asked about", func(l *life) any { l.learns(running, 1); return listed(l, 2) }, list{false, true, running}},
		{"listed though it is over", func(l *life) any { l.learns(finished, 1); return listed(l, 3) }, list{false, true, finished}},
		{"listed though it has an attempt", func(l *life) any { l.Made(1); l.learns(reserved, 1); return listed(l, 2) }, list{false, true, reserved}},
		{"listed, and asked for just before", func(l *life) any { l.Made(1); l.learns(running, 2); return listed(l, 2.5) }, list{false, false, running}},
		{"listed, as it was said to be", func(l *life) any { l.Made(1); l.learns(scheduled, 1); return listed(l, 9) }, list{false, false, scheduled}},
		{"listed, as it was said to be before its attempt ended", func(l *life) any { l.Made(1); l.learns(scheduled, 1); l.looks(3, ended); return listed(l, 9) }, list{false, true, scheduled}},
		{"listed, as it was said to be since", func(l *life) any { l.Made(1); l.looks(3, ended); l.learns(scheduled, 4); return listed(l, 9) }, list{false, false, scheduled}},
		{"listed at the same moment is no news", func(l *life) any { l.learns(running, 2); return listed(l, 2) }, list{false, false, running}},
		{"reserved, and its state wasn't known", func(l *life) any { l.Reserved(sec(1), sec(2)); return list{l.State(), l.StateAt(), l.ToldAt()} }, list{reserved, sec(1), sec(2)}},
		{"reserved, and it was offered", func(l *life) any {
			l.learns(scheduled, 1)
			l.Reserved(sec(2), sec(3))
			return list{l.State(), l.ToldAt()}
		}, list{scheduled, sec(1)}},
		{"reserved before it was over", func(l *life) any { l.learns(finished, 2); l.Reserved(sec(1), sec(3)); return l.State() }, finished},

		// Which attempt.
		{"the last attempt", func(l *life) any { return l.looks(1, seen(kjobOf("b", 2))).Attempt }, 2},
		{"its kjob is gone", func(l *life) any {
			l.KJobGone(kjobOf("a", 1, terminating))
			f := l.looks(1, Seen{})
			return list{f.Attempt, f.KJob.Exists, f.KJob.Gone, f.KJob.Terminating, l.Gone()}
		}, list{1, false, true, false, 1}},
		{"its finished kjob is gone", func(l *life) any {
			l.KJobGone(kjobOf("a", 1, done))
			f := l.looks(1, Seen{})
			return list{f.Attempt, f.KJob.Exists, f.KJob.Gone}
		}, list{1, true, false}},
		{"gone, and an attempt before is finished", func(l *life) any {
			l.KJobGone(kjobOf("b", 2))
			f := l.looks(1, ended)
			return list{f.Attempt, f.KJob.UID, l.Gone()}
		}, list{2, types.UID("b"), 2}},
		{"gone, and an attempt before is live", func(l *life) any {
			l.KJobGone(kjobOf("b", 2))
			return list{l.looks(1, live(pending)).Attempt, l.Gone()}
		}, list{1, 2}},
		{"gone, and another has its number", func(l *life) any {
			l.KJobGone(kjobOf("a", 1))
			return list{l.looks(1, seen(kjobOf("b", 1))).KJob.UID, l.Gone()}
		}, list{types.UID("b"), 0}},
		{"gone, and a later one is there", func(l *life) any {
			l.KJobGone(kjobOf("a", 1))
			return list{l.looks(1, seen(kjobOf("b", 2))).Attempt, l.Gone()}
		}, list{2, 0}},
		{"one before the last is gone", func(l *life) any { l.Made(2); return list{l.KJobGone(kjobOf("a", 1)), l.Gone(), l.Attempts()} }, list{false, 0, 2}},
		{"gone counts as made", func(l *life) any { l.KJobGone(kjobOf("c", 3)); return l.Attempts() }, 3},
		{"deleted by us", func(l *life) any {
			l.Removed("a", ReasonSuspended)
			l.KJobGone(kjobOf("a", 1))
			return l.looks(1, Seen{}).Removed
		}, ReasonSuspended},
		{"another was deleted by us", func(l *life) any { l.Removed("a", ReasonSuspended); return l.looks(1, seen(kjobOf("b", 1))).Removed }, Reason("")},
		{"found at a start", func(l *life) any {
			found := kjobOf("a", 1, func(k *AttemptKJob) { k.Found = sec(3) })
			return list{l.looks(4, mended(seen(found), 1)).MendedAt, l.looks(9, mended(seen(found), 8)).MendedAt}
		}, list{sec(3), sec(8)}},

		// Its pod.
		{"a pod", func(l *life) any { f := l.looks(1, pending); return list{f.Pod.Name, f.Pod.Deleted, f.KJob.PodSeen} }, list{"pod-a", false, true}},
		{"it isn't there any more", func(l *life) any {
			l.looks(1, pending)
			f := l.looks(2, seen(kjobOf("a", 1)))
			return list{f.Pod.Name, f.Pod.Deleted, f.KJob.PodSeen}
		}, list{"pod-a", true, true}},
		{"we were told that it was deleted", func(l *life) any {
			l.PodGone(podOf("a", 1, started))
			f := l.looks(2, seen(kjobOf("a", 1)))
			return list{f.Pod.Started, f.Pod.Deleted, l.PodStarted()}
		}, list{true, true, true}},
		{"that of another kjob was deleted", func(l *life) any {
			l.PodGone(podOf("a", 1))
			f := l.looks(2, seen(kjobOf("b", 1)))
			return list{f.Pod.Phase, f.KJob.PodSeen}
		}, list{corev1.PodPhase(""), false}},
		{"that of an attempt before was deleted later", func(l *life) any {
			l.PodGone(podOf("b", 2))
			l.PodGone(podOf("a", 1))
			return l.looks(2, seen(kjobOf("b", 2))).Pod.Name
		}, "pod-b"},
		{"a pod of an attempt before lives", func(l *life) any {
			f := l.looks(1, seen(kjobOf("b", 2), podOf("a", 1), podOf("b", 2)))
			return list{f.Pod.Name, f.OtherPodLives, f.OtherNode}
		}, list{"pod-b", "pod-a", "node"}},
		{"it has no node", func(l *life) any {
			return l.looks(1, seen(kjobOf("b", 2), podOf("a", 1, func(p *Pod) { p.Node = "" }))).OtherPodLives
		}, ""},
		{"the pod of a kjob that is gone lives", func(l *life) any {
			l.KJobGone(kjobOf("a", 1))
			f := l.looks(1, seen(nothing, podOf("a", 1)))
			return list{f.Pod.Name, f.OtherPodLives}
		}, list{"pod-a", "pod-a"}},

		// A pod without a kjob.
		{"an orphan", func(l *life) any { return l.looks(1, seen(nothing, podOf("a", 1, started))).Orphan.Name }, "pod-a"},
		{"an orphan that is gone", func(l *life) any {
			l.PodGone(podOf("a", 1, started))
			o := l.looks(1, Seen{}).Orphan
			return list{o.Name, o.Deleted}
		}, list{"pod-a", true}},
		{"its kjob may be news", func(l *life) any {
			f := l.looks(1, stale(seen(nothing, podOf("a", 1, started))))
			return list{f.Orphan.Name, f.OrphanUnsure}
		}, list{"", true}},
		{"one that hasn't started does nothing", func(l *life) any { return l.looks(1, stale(seen(nothing, podOf("a", 1)))).OrphanUnsure }, false},
		{"there is a kjob", func(l *life) any { f := l.looks(1, pending); return list{f.Orphan.Name, f.Orphan.Deleted} }, list{"", false}},
		{"an orphan is waited for", func(l *life) any {
			d, orphaned := l.Orphaned(seen(nothing, podOf("a", 1)))
			return list{orphaned, d.Waiting}
		}, list{true, false}},
		{"an orphan stays", func(l *life) any {
			s := seen(nothing, podOf("a", 1))
			s.Now = sec(0)
			l.Orphaned(s)
			s.Now = sec(0).Add(outliveGrace)
			d, orphaned := l.Orphaned(s)
			return list{orphaned, d.Waiting, d.Reason}
		}, list{true, true, ReasonDeleted}},
		{"an orphan stays, though its job is over", func(l *life) any {
			s := seen(nothing, podOf("a", 1))
			s.Now = sec(0)
			l.Orphaned(s)
			l.learns(finished, 1)
			l.looks(2, s)
			s.Now = sec(0).Add(outliveGrace)
			d, _ := l.Orphaned(s)
			return d.Waiting
		}, true},
		{"an orphan that is over", func(l *life) any { _, orphaned := l.Orphaned(seen(nothing, podOf("a", 1, failed))); return orphaned }, false},
		{"an orphan without a node", func(l *life) any {
			_, orphaned := l.Orphaned(seen(nothing, podOf("a", 1, func(p *Pod) { p.Node = "" })))
			return orphaned
		}, false},

		// Its end.
		{"it goes on", func(l *life) any { f := l.looks(1, pending); return list{f.EndedAt, f.OverAt} }, list{never, never}},
		{"ended when that was first seen", func(l *life) any { l.looks(1, ended); return l.looks(5, ended).EndedAt }, sec(1)},
		{"ended with its pod, and then its kjob", func(l *life) any { l.looks(1, podOver); return l.looks(5, ended).EndedAt }, sec(1)},
		{"ended when its kjob went", func(l *life) any { l.looks(1, pending); l.KJobGone(kjobOf("a", 1)); return l.looks(5, Seen{}).EndedAt }, sec(5)},
		{"ended when its pod went", func(l *life) any { l.looks(1, pending); return l.looks(5, seen(kjobOf("a", 1))).EndedAt }, sec(5)},
		{"ended with its job", func(l *life) any { l.learns(finished, 2); return l.looks(3, pending).EndedAt }, sec(3)},
		{"there was no attempt to end", func(l *life) any { l.learns(finished, 2); return l.looks(3, Seen{}).EndedAt }, never},
		{"another kjob of the name ends later", func(l *life) any {
			l.looks(1, ended)
			return l.looks(5, seen(kjobOf("b", 1, done))).EndedAt
		}, sec(5)},
		{"a new attempt hasn't ended", func(l *life) any { l.looks(1, ended); return l.looks(5, seen(kjobOf("b", 2))).EndedAt }, never},
		{"over beside its kjob", func(l *life) any { l.looks(1, podOver); return l.looks(5, podOver).OverAt }, sec(1)},
		{"over when its kjob was being deleted", func(l *life) any { return l.looks(1, seen(kjobOf("a", 1, terminating), podOf("a", 1, failed))).OverAt }, never},
		{"over before its kjob was deleted", func(l *life) any {
			l.looks(1, podOver)
			l.KJobGone(kjobOf("a", 1))
			return l.looks(5, Seen{}).OverAt
		}, sec(1)},
		{"over when its kjob was gone", func(l *life) any {
			l.KJobGone(kjobOf("a", 1))
			return l.looks(5, seen(nothing, podOf("a", 1, failed))).OverAt
		}, never},
		{"over, and the API server was away since", func(l *life) any { l.looks(1, podOver); return l.looks(9, mended(podOver, 8)).OverAt }, sec(8)},
		{"an outage moves no end", func(l *life) any { l.looks(1, ended); return l.looks(9, mended(ended, 8)).EndedAt }, sec(1)},

		// Whether Buildkite knows of it.
		{"asked before the end", func(l *life) any { l.learns(running, 0); return l.looks(1, ended).Unreported }, false},
		{"asked after the end, and it was held", func(l *life) any { l.looks(1, ended); l.learns(running, 2); return l.looks(3, ended).Unreported }, true},
		{"held after the end, and over since", func(l *life) any {
			l.looks(1, ended)
			l.learns(running, 2)
			l.looks(3, ended)
			l.learns(finished, 4)
			return l.looks(5, ended).Unreported
		}, true},
		{"over when it was first asked", func(l *life) any { l.looks(1, ended); l.learns(finished, 2); return l.looks(3, ended).Unreported }, false},
		{"of an attempt that ended after the question", func(l *life) any {
			l.looks(1, ended)
			l.learns(running, 2)
			l.looks(3, ended)
			return l.looks(4, seen(kjobOf("b", 2, done))).Unreported
		}, false},

		// Slots.
		{"a pod that is lost holds no slot", func(l *life) any { l.looks(1, podOver); return l.Lost("a") }, true},
		{"one with a message does, until its kjob ends", func(l *life) any {
			l.looks(1, seen(kjobOf("a", 1), podOf("a", 1, failed, message)))
			return l.Lost("a")
		}, false},
		{"one that is gone holds none, whatever it said", func(l *life) any {
			l.looks(1, seen(kjobOf("a", 1), podOf("a", 1, failed, message)))
			l.looks(2, seen(kjobOf("a", 1)))
			return l.Lost("a")
		}, true},
		{"one that lingers holds none", func(l *life) any {
			l.looks(1, seen(kjobOf("a", 1), podOf("a", 1, lingers, message)))
			return l.Lost("a")
		}, true},
		{"one that runs does", func(l *life) any { l.looks(1, seen(kjobOf("a", 1), podOf("a", 1, started))); return l.Lost("a") }, false},
		{"what is gone holds none anyway", func(l *life) any {
			l.KJobGone(kjobOf("a", 1))
			l.looks(1, seen(nothing, podOf("a", 1, failed)))
			return l.Lost("a")
		}, false},
		{"another one's pod was lost", func(l *life) any { l.looks(1, podOver); return l.Lost("b") }, false},

		// Since when it fails.
		{"fails since that was first seen", func(l *life) any { l.looks(0, pending); l.looks(1, image); return l.looks(5, image).FailingSince }, sec(1)},
		{"reasons of one kind take turns", func(l *life) any {
			l.looks(1, image)
			return l.looks(5, seen(kjobOf("a", 1), podOf("a", 1, waits("ErrImagePull")))).FailingSince
		}, sec(1)},
		{"another kind", func(l *life) any {
			l.looks(1, image)
			return l.looks(5, seen(kjobOf("a", 1), podOf("a", 1, waits("CreateContainerError")))).FailingSince
		}, sec(5)},
		{"another attempt's pod", func(l *life) any {
			l.looks(1, image)
			return l.looks(5, seen(kjobOf("b", 2), podOf("b", 2, waits("ImagePullBackOff")))).FailingSince
		}, sec(5)},
		{"an outage moves no image's time", func(l *life) any { l.looks(1, image); return l.looks(9, mended(image, 8)).FailingSince }, sec(1)},
		{"its pod is gone", func(l *life) any { l.looks(1, podless); return l.looks(5, podless).FailingSince }, sec(1)},
		{"its pod is gone, and the API server was away since", func(l *life) any { l.looks(1, podless); return l.looks(9, mended(podless, 8)).FailingSince }, sec(8)},
		{"Events name a missing volume", func(l *life) any {
			l.looks(1, pending)
			l.Hear("pod-a", Heard{EventsAt: sec(2), Warnings: []Warning{{"FailedMount", `secret "x" not found`}}})
			return l.looks(5, pending).FailingSince
		}, sec(5)},

		// Since when it was kept out, or let in.
		{"suspended", func(l *life) any {
			l.looks(1, held)
			f := l.looks(9, held)
			return list{f.KeptOut(), f.LetInAt}
		}, list{true, never}},
		{"resumed", func(l *life) any {
			l.looks(1, held)
			l.looks(5, bare)
			f := l.looks(9, pending)
			return list{f.KeptOut(), f.LetInAt}
		}, list{false, sec(5)}},
		{"never kept out", func(l *life) any { l.looks(1, bare); return l.looks(9, pending).LetInAt }, never},
		{"suspended again", func(l *life) any {
			l.looks(1, held)
			l.looks(5, bare)
			return list{l.looks(7, held).KeptOut(), l.looks(9, bare).LetInAt}
		}, list{true, sec(9)}},
		{"another attempt is kept out", func(l *life) any {
			l.looks(1, held)
			l.looks(5, bare)
			return l.looks(9, seen(kjobOf("b", 2))).LetInAt
		}, never},
		{"suspended when it had a pod", func(l *life) any {
			return l.looks(1, seen(kjobOf("a", 1, hadPod, suspended))).KeptOut()
		}, false},
		{"kept out by a quota, then let in", func(l *life) any {
			l.Hear("a", Heard{EventsAt: sec(1), Warnings: []Warning{{"FailedCreate", "exceeded quota: few, requested: pods=1"}}})
			f := l.looks(2, bare)
			return list{f.KeptOut(), l.looks(9, pending).LetInAt}
		}, list{true, sec(9)}},
		{"a quota's words, which are old by now", func(l *life) any {
			l.Hear("a", Heard{EventsAt: sec(1), Warnings: []Warning{{"FailedCreate", "exceeded quota: few, requested: pods=1"}}})
			l.looks(2, bare)
			l.Hear("a", Heard{EventsAt: sec(30)})
			f := l.looks(31, bare)
			return list{f.KeptOut(), f.LetInAt}
		}, list{false, sec(31)}},
		{"refused for good after a quota", func(l *life) any {
			l.Hear("a", Heard{EventsAt: sec(1), Warnings: []Warning{{"FailedCreate", "violates PodSecurity"}, {"FailedCreate", "exceeded quota: few"}}})
			return l.looks(2, bare).KeptOut()
		}, false},
		{"since it was made", func(l *life) any { return l.looks(9, seen(kjobOf("a", 1, suspended, madeAt(2)))).KeptOutSince() }, sec(2)},
		{"since it was suspended again", func(l *life) any {
			return l.looks(9, seen(kjobOf("a", 1, suspended, madeAt(2), func(k *AttemptKJob) { k.SuspendedAt = sec(6) }))).KeptOutSince()
		}, sec(6)},

		// What Events say.
		{"of the pod", func(l *life) any {
			l.Hear("pod-a", Heard{EventsAt: sec(2), Pulling: true})
			return l.looks(3, pending).Pulling
		}, true},
		{"of its kjob, which has a pod now", func(l *life) any {
			l.Hear("a", Heard{EventsAt: sec(2), Warnings: []Warning{{"FailedCreate", "quota"}}})
			return list{len(l.looks(3, seen(kjobOf("a", 1))).Warnings), len(l.looks(4, pending).Warnings), l.EventsAt()}
		}, list{1, 0, sec(2)}},
		{"the kubelet says again that it is stuck", func(l *life) any {
			l.Hear("pod-a", Heard{EventsAt: sec(1), Stuck: sec(0)})
			l.Hear("pod-a", Heard{EventsAt: sec(9), Stuck: sec(8)})
			return l.looks(10, pending).StuckAt
		}, sec(1)},
		{"first heard of it", func(l *life) any {
			l.Hear("pod-a", Heard{EventsAt: sec(9), Stuck: sec(8)})
			return l.looks(10, pending).StuckAt
		}, never},
		{"heard of another pod before", func(l *life) any {
			l.Hear("pod-x", Heard{EventsAt: sec(1), Stuck: sec(0)})
			l.Hear("pod-a", Heard{EventsAt: sec(9), Stuck: sec(8)})
			return l.looks(10, pending).StuckAt
		}, never},
		{"Events can't be read", func(l *life) any {
			l.Hear("pod-a", Heard{EventsAt: sec(1), Pulling: true})
			l.HearNot("pod-a", sec(5))
			l.HearNot("pod-a", sec(12))
			f := l.looks(13, pending)
			return list{f.Pulling, f.EventsAt, f.DeafAt, f.DeafFor}
		}, list{true, sec(1), sec(12), 7 * time.Second}},
		{"nobody tried for long", func(l *life) any {
			l.HearNot("pod-a", sec(1))
			l.HearNot("pod-a", sec(1000))
			return l.looks(1001, pending).DeafFor
		}, WarningsEvery},
		{"read again", func(l *life) any {
			l.HearNot("pod-a", sec(1))
			l.HearNot("pod-a", sec(5))
			l.Hear("pod-a", Heard{EventsAt: sec(9)})
			return l.looks(10, pending).DeafFor
		}, time.Duration(0)},
		{"of another pod they could not be read", func(l *life) any {
			l.HearNot("pod-x", sec(1))
			l.HearNot("pod-a", sec(5))
			return l.looks(10, pending).DeafFor
		}, time.Duration(0)},
		{"one may not read them", func(l *life) any {
			l.HearNot("pod-a", sec(1))
			l.HearNothing("pod-a", sec(5))
			f := l.looks(10, pending)
			return list{f.EventsAt, f.DeafAt}
		}, list{sec(5), never}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, want := tt.play(&life{}), tt.want
			g, several := got.(list)
			if !several {
				g, want = list{got}, list{want}
			}
			w := want.(list)
			if len(g) != len(w) {
				t.Fatalf("got %v, want %v", g, w)
			}
			for i := range w {
				if g[i] != w[i] {
					t.Errorf("value %d of %d: got %v, want %v", i+1, len(w), g[i], w[i])
				}
			}
		})
	}
}
