package kjob

import (
	"regexp"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
)

// Finished reports whether a kjob's status says that it is complete or failed. Such a kjob
// holds no slot.
func Finished(k *batchv1.Job) bool {
	for _, c := range k.Status.Conditions {
		switch c.Type {
		case batchv1.JobComplete, batchv1.JobFailed:
			if c.Status == corev1.ConditionTrue {
				return true
			}
		}
	}
	return false
}

// LabelValue makes a label's value of any text. A valid value stays as it is; any other is
// cut to 63 characters and ends with a hash of the whole text, so that two texts rarely
// share a value. Empty stays empty.
func LabelValue(s string) string {
	if s == "" || len(s) <= 63 && labelPattern.MatchString(s) {
		return s
	}
	kept := notInLabels.ReplaceAllString(s, "-")
	kept = strings.Trim(kept[:min(len(kept), 54)], "-._")
	return strings.TrimPrefix(kept+"-"+Hash8(s), "-")
}

var notInLabels = regexp.MustCompile(`[^A-Za-z0-9._-]`)

var labelPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// QueueLabel is a queue's name as the value of contract.LabelQueue.
func QueueLabel(queue string) string { return LabelValue(queue) }

// AttemptOf is the attempt in the label of a kjob or a pod, at least 1.
func AttemptOf(o metav1.Object) int {
	n, _ := strconv.Atoi(o.GetLabels()[contract.LabelAttempt])
	return max(n, 1)
}

// IDOf is the job ID in an object's labels, empty if there is none.
func IDOf(labels map[string]string) contract.JobID {
	id, err := contract.ParseJobID(labels[contract.LabelJobID])
	if err != nil {
		return ""
	}
	return id
}

// OwnerName is the name of the kjob that a pod belongs to.
func OwnerName(p *corev1.Pod) string {
	for _, r := range p.OwnerReferences {
		if r.Kind == "Job" {
			return r.Name
		}
	}
	return p.Labels[batchv1.JobNameLabel]
}

// OwnerUID is the UID of the kjob that a pod belongs to. For an orphan, which has no owner
// any more, it is the UID of the kjob that made the pod.
func OwnerUID(p *corev1.Pod) types.UID {
	for _, r := range p.OwnerReferences {
		if r.Kind == "Job" {
			return r.UID
		}
	}
	return types.UID(p.Labels[batchv1.ControllerUidLabel])
}
