package cache

import (
	"strings"
	"time"
	"unique"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/stacks"
)

// The caches keep only the facts of kjobs and pods that decisions rest on, gathered
// once for each event and not for each look. The API's own types take over a kilobyte
// even when empty, and a map for their labels: 5,000 kjobs with their pods would take
// 30 MiB instead of 8.

// Job is a kjob as the cache shows it. It is never written to.
type Job struct {
	Object
	decide.KJob
	// Job is the input of the next attempt.
	Job stacks.Job
	// Story and faults are of the attempts before it.
	Story  decide.History
	Faults decide.NodeFaults
	Warm   string    // of a placeholder, see AnnotationPlaceholder
	Made   time.Time // CreatedAt as the API server has it
	Found  time.Time // see sight
	Sent   time.Time // see kjob.MadeAt
	// Admitted is when it was let in, if it was suspended, by the Job controller's clock.
	Admitted time.Time
	Waited   time.Duration // see kjob.Waited
	Noted    bool          // it says what its containers used, see contract.AnnotationUsed
}

// Pod is a pod as the cache shows it. It is never written to.
type Pod struct {
	Object
	decide.Pod
	Kjob    string // the name of its kjob
	KjobUID types.UID
	// Made is when the pod was made, Scheduled when it got its node, and Started when its
	// agent container started, by Kubernetes' clocks.
	Made, Scheduled, Started time.Time
	// Sandboxed is when its sandbox and network were there, by the node's clock; zero if
	// they aren't, or not any more.
	Sandboxed time.Time
	grace     time.Duration // of its deletion
}

// Object is what Job and Pod share; the informers need its metadata.
type Object struct {
	metav1.ObjectMeta
	ID      contract.JobID // empty for a warm placeholder
	Attempt int
	Queue   string // as the label has it; empty for what is another installation's
	// Unmarked: a release made it that had no mark for installations.
	Unmarked bool
}

// entry is a Job or a Pod.
type entry interface{ of() *Object }

func (o *Object) of() *Object { return o }

func objectOf(m *metav1.ObjectMeta) Object {
	return Object{
		ObjectMeta: metav1.ObjectMeta{Name: m.Name, Namespace: intern(m.Namespace), UID: m.UID, ResourceVersion: m.ResourceVersion},
		ID:         kjob.IDOf(m.Labels), Attempt: kjob.AttemptOf(m), Queue: intern(m.Labels[contract.LabelQueue]),
		Unmarked: m.Labels[contract.LabelInstallation] == "",
	}
}

// bare is what is kept of an object that is another installation's: no index has it,
// and so no queue looks after it.
func bare(m *metav1.ObjectMeta) Object {
	return Object{ObjectMeta: metav1.ObjectMeta{Name: m.Name, Namespace: intern(m.Namespace), UID: m.UID, ResourceVersion: m.ResourceVersion}}
}

// intern makes equal strings one: a thousand jobs have few pipelines.
func intern(s string) string { return unique.Make(s).Value() }

// jobOf is the transformation of the kjobs' informer; sights then turn the times into
// ours.
func jobOf(o any) (any, error) {
	k, ok := o.(*batchv1.Job)
	if !ok {
		return o, nil
	}
	s := &Job{Object: objectOf(&k.ObjectMeta), KJob: decide.OfJob(k), Job: kjob.JobOf(k), Warm: k.Annotations[kjob.AnnotationPlaceholder], Sent: kjob.MadeAt(k), Admitted: decide.AdmittedAt(k), Waited: kjob.Waited(k)}
	s.Noted = k.Annotations[contract.AnnotationUsed] != ""
	s.Story, s.Faults = decide.ParseHistory(k.Annotations[contract.AnnotationStory]), decide.ParseNodeFaults(k.Annotations[contract.AnnotationNodeFaults])
	s.Holder = intern(s.Holder)
	s.Job.ID, s.Job.Pipeline, s.Job.Branch, s.Job.Step = s.ID, intern(s.Job.Pipeline), intern(s.Job.Branch), intern(s.Job.Step)
	return s, nil
}

// podOf is the transformation of the pods' informer.
func podOf(o any) (any, error) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	s := &Pod{Object: objectOf(&p.ObjectMeta), Pod: decide.OfPod(p), Kjob: kjob.OwnerName(p), KjobUID: kjob.OwnerUID(p), Made: p.CreationTimestamp.Time}
	s.Name, s.Node, s.Image, s.Unschedulable = s.ObjectMeta.Name, intern(s.Node), intern(s.Image), intern(s.Unschedulable)
	if g := p.DeletionGracePeriodSeconds; g != nil {
		s.grace = time.Duration(*g) * time.Second
	}
	for _, c := range p.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case corev1.PodScheduled:
			s.Scheduled = c.LastTransitionTime.Time
		case corev1.PodReadyToStartContainers:
			s.Sandboxed = c.LastTransitionTime.Time
		}
	}
	return s, nil
}

// Placeholder: a Job of ours that keeps room on a node for a later job.
func (k *Job) Placeholder() bool {
	return k.ID == "" && strings.HasPrefix(k.Name, kjob.PlaceholderPrefix) && !k.Terminating
}
