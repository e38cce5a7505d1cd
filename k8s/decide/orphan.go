package decide

func (t *Timeline) seeOrphan(f *Facts, s Seen) {
	f.Orphan = t.lastPod()
	f.Orphan.Deleted = f.Orphan.Phase != ""
	of := t.pod.KJob
	for _, p := range s.Pods {
		f.Orphan, of = *p.Pod, p.KJob
	}
	if f.Orphan.OverOrGone() {
		t.ended.first(of, f.Now)
		f.EndedAt, f.Inherited = t.ended.at, true
	}
	if f.Orphan.Started && s.Stale {
		f.Orphan, f.OrphanUnsure = Pod{}, true // its kjob may only be news
	}
}

// Orphaned is for a job without a kjob that nobody remembers. A pod of it may be
// running and may still acquire the job, and there is never a second pod beside it. It
// reports false if there is no such pod.
func (t *Timeline) Orphaned(s Seen) (d Decision, orphaned bool) {
	for _, p := range s.Pods {
		if p.LivesOnANode() {
			t.ended.first(p.KJob, s.Now)
			return waitForPod(Facts{Now: s.Now, EndedAt: t.ended.at, Policy: s.Policy, OtherPodLives: p.Name, OtherNode: p.Node}, ReasonDeleted), true
		}
	}
	return Decision{}, false
}

// lastPod is the last that was seen of an attempt's pod; its zero value if none was.
func (t *Timeline) lastPod() Pod {
	if t.pod.Pod == nil {
		return Pod{}
	}
	return *t.pod.Pod
}
