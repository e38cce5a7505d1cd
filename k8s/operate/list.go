package operate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// Row is a kjob as `onejob jobs` shows it, or a pod that has none.
type Row struct {
	JobID     contract.JobID `json:"job_id,omitempty"`
	Attempt   int            `json:"attempt,omitempty"`
	Queue     string         `json:"queue"`
	Namespace string         `json:"namespace"`
	KJob      string         `json:"kubernetes_job,omitempty"`
	Pod       string         `json:"pod,omitempty"`
	Phase     string         `json:"phase"`
	Node      string         `json:"node,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	// Start is what the attempt's start was made of, in Explain, and StartSeconds how
	// long it took.
	Start        string    `json:"start,omitempty"`
	StartSeconds float64   `json:"start_seconds,omitempty"`
	Pipeline     string    `json:"pipeline,omitempty"`
	Build        string    `json:"build,omitempty"`
	Step         string    `json:"step,omitempty"`
	URL          string    `json:"url,omitempty"`
	CreatedAt    time.Time `json:"created_at"`

	// Finished tells those that hold no slot.
	Finished bool `json:"finished"`
	// Used are the containers that ran the job's commands, once they have ended.
	Used []decide.Used `json:"used,omitempty"`
}

// List lists the kjobs of a namespace ("" for all), and the pods that have
// none; of one job, unless id is empty. Oldest first.
func List(ctx context.Context, client kube.Client, namespace string, id contract.JobID) ([]Row, error) {
	kjobs, pods, err := objectsOf(ctx, client, namespace, id)
	if err != nil {
		return nil, err
	}
	podOf := map[types.UID]*corev1.Pod{}
	for i := range pods {
		podOf[kjob.OwnerUID(&pods[i])] = &pods[i]
	}
	last := map[types.NamespacedName]*batchv1.Job{} // kjobs are in the order of attempts
	for i := range kjobs {
		last[jobKey(&kjobs[i])] = &kjobs[i]
	}
	var rows []Row
	for i := range kjobs {
		k := &kjobs[i]
		rows = append(rows, rowOf(k, podOf[k.UID], last[jobKey(k)]))
		delete(podOf, k.UID)
	}
	for _, p := range podOf {
		f := decide.OfPod(p)
		rows = append(rows, Row{JobID: kjob.IDOf(p.Labels), Attempt: kjob.AttemptOf(p), Queue: p.Labels[contract.LabelQueue], Namespace: p.Namespace,
			Pod: p.Name, Phase: strings.ToLower(string(f.Phase)), Node: f.Node, Reason: "its Kubernetes Job is gone; the pod counts for max-in-flight until it is gone too", CreatedAt: p.CreationTimestamp.Time})
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.KJob, b.KJob), cmp.Compare(a.Pod, b.Pod))
	})
	return rows, nil
}

func objectsOf(ctx context.Context, client kube.Client, namespace string, id contract.JobID) ([]batchv1.Job, []corev1.Pod, error) {
	opts := metav1.ListOptions{LabelSelector: contract.LabelQueue}
	if id != "" {
		opts.LabelSelector = contract.LabelJobID + "=" + id.String()
	}
	ks, err := client.BatchV1().Jobs(namespace).List(ctx, opts)
	if err != nil {
		return nil, nil, fmt.Errorf("listing Kubernetes Jobs: %w", err)
	}
	ps, err := client.CoreV1().Pods(namespace).List(ctx, opts)
	if err != nil {
		return nil, nil, fmt.Errorf("listing pods: %w", err)
	}
	slices.SortStableFunc(ks.Items, func(a, b batchv1.Job) int { return kjob.AttemptOf(&a) - kjob.AttemptOf(&b) })
	return ks.Items, ps.Items, nil
}

// jobKey is a job in a namespace.
func jobKey(k *batchv1.Job) types.NamespacedName {
	return types.NamespacedName{Namespace: k.Namespace, Name: k.Labels[contract.LabelJobID]}
}

// rowOf is a kjob's row, given its pod and the kjob of the job's last attempt.
func rowOf(k *batchv1.Job, p *corev1.Pod, last *batchv1.Job) Row {
	a := k.Annotations
	r := Row{JobID: kjob.IDOf(k.Labels), Queue: k.Labels[contract.LabelQueue], Namespace: k.Namespace, KJob: k.Name,
		Pipeline: contract.Word(a[contract.AnnotationPipeline]), Build: contract.Word(a[contract.AnnotationBuild]), Step: contract.Word(a[contract.AnnotationStep]), URL: contract.Sentence(a[contract.AnnotationJobURL]),
		CreatedAt: k.CreationTimestamp.Time, Finished: kjob.Finished(k)}
	if r.JobID != "" {
		r.Attempt = kjob.AttemptOf(k)
	}
	kf, pf := decide.OfJob(k), decide.OfPod(p)
	r.Pod, r.Node, r.Used = pf.Name, pf.Node, pf.UsedBy()
	if p == nil {
		r.Used = decide.ParseUsedNote(a[contract.AnnotationUsed])
	}
	r.Phase, r.Reason = decide.PhaseTold(kf, pf, r.Attempt, kjob.AttemptOf(last), decide.ParseHistory(last.Annotations[contract.AnnotationStory]))
	if r.JobID == "" {
		r.Phase = "warm-" + r.Phase
	}
	return r
}
