package k8s

import (
	"strings"
	"time"
	"unique"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// What the caches keep of kjobs and pods: the facts that decisions rest on,
// gathered once for each event and not for each look. The API's own types are
// over a kilobyte each even when they are empty, and their labels a map each:
// 5,000 kjobs with their pods would be 30 MiB instead of 8.

// seenKjob is a kjob as the cache shows it. It is never written to.
type seenKjob struct {
	seenObject
	KJob
	// job is what the next attempt is made of.
	job stacks.Job
	// story and faults are of the attempts before it.
	story  story
	faults nodeFaults
	warm   string    // of a placeholder, see annotationWarm
	made   time.Time // CreatedAt as the API server has it
	found  time.Time // see sight
}

// seenPod is a pod as the cache shows it. It is never written to.
type seenPod struct {
	seenObject
	Pod
	kjob    string // the name of its kjob
	kjobUID types.UID
	// scheduled is when it got its node, and started when its agent container did,
	// as Kubernetes has it.
	scheduled, started time.Time
	grace              time.Duration // of its deletion
}

// seenObject is what both have; the informers need the metadata.
type seenObject struct {
	metav1.ObjectMeta
	id      contract.JobID // empty for a warm placeholder
	attempt int
	queue   string // as the label has it
}

// seen is a seenKjob or a seenPod.
type seen interface{ of() *seenObject }

func (o *seenObject) of() *seenObject { return o }

func seeObject(m *metav1.ObjectMeta) seenObject {
	return seenObject{
		ObjectMeta: metav1.ObjectMeta{Name: m.Name, Namespace: intern(m.Namespace), UID: m.UID, ResourceVersion: m.ResourceVersion},
		id:         jobIDOf(m.Labels), attempt: attemptOf(m), queue: intern(m.Labels[contract.LabelQueue]),
	}
}

// intern makes equal strings one: a thousand jobs have few pipelines.
func intern(s string) string { return unique.Make(s).Value() }

// seeKjob is the transformation of the kjobs' informer, but for the clocks (see
// sights).
func seeKjob(o any) (any, error) {
	k, ok := o.(*batchv1.Job)
	if !ok {
		return o, nil
	}
	s := &seenKjob{seenObject: seeObject(&k.ObjectMeta), KJob: kjobFacts(k), job: jobOf(k), warm: k.Annotations[annotationWarm]}
	s.story, s.faults = parseStory(k.Annotations[contract.AnnotationStory]), parseNodeFaults(k.Annotations[contract.AnnotationNodeFaults])
	s.job.ID, s.job.Pipeline, s.job.Branch, s.job.Step = s.id, intern(s.job.Pipeline), intern(s.job.Branch), intern(s.job.Step)
	return s, nil
}

// seePod is that of the pods' informer.
func seePod(o any) (any, error) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	s := &seenPod{seenObject: seeObject(&p.ObjectMeta), Pod: podFacts(p), kjob: kjobName(p), kjobUID: kjobUID(p)}
	s.Name, s.Node, s.Image, s.Unschedulable = s.ObjectMeta.Name, intern(s.Node), intern(s.Image), intern(s.Unschedulable)
	if g := p.DeletionGracePeriodSeconds; g != nil {
		s.grace = time.Duration(*g) * time.Second
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue {
			s.scheduled = c.LastTransitionTime.Time
		}
	}
	return s, nil
}

// placeholder: a Job of ours that holds a node for a job to come.
func (k *seenKjob) placeholder() bool {
	return k.id == "" && strings.HasPrefix(k.Name, warmPrefix) && !k.Terminating
}
