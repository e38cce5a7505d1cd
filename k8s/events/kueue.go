package events

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// Kueue reads what Kueue says about a Job that it holds: the conditions of the Job's
// Workload. That takes two requests and the few fields in this file, so none of Kueue's
// packages is linked.
type Kueue struct {
	kube kube.Client

	mu      sync.Mutex
	version string    // of Kueue's API; empty: the cluster has none, or it wasn't asked yet
	asked   time.Time // when the cluster was asked for it
}

// NewKueue makes no request.
func NewKueue(client kube.Client) *Kueue { return &Kueue{kube: client} }

const (
	kueueGroup = "/apis/kueue.x-k8s.io"
	// kueueJobUID is the Workload's label with the UID of its Job.
	kueueJobUID = "kueue.x-k8s.io/job-uid"
	// kueueAgain is how often a cluster is asked whether it has Kueue, and which.
	kueueAgain = 5 * time.Minute
)

// workload has the fields that are read, in all versions of Kueue's API.
type workload struct {
	Status struct {
		Conditions      []metav1.Condition `json:"conditions"`
		AdmissionChecks []struct {
			Name    string `json:"name"`
			State   string `json:"state"`
			Message string `json:"message"`
		} `json:"admissionChecks"`
	} `json:"status"`
}

// Says is why a Job isn't admitted, in Kueue's words, printable. It is empty if the
// cluster has no Kueue, if Kueue has no Workload for the Job or says nothing, and if
// the Role doesn't allow to look.
func (k *Kueue) Says(ctx context.Context, namespace string, job types.UID) (string, error) {
	client := k.kube.BatchV1().RESTClient()
	if client == (*rest.RESTClient)(nil) {
		return "", nil // a fake's
	}
	version, err := k.served(ctx, client)
	if err != nil || version == "" {
		return "", err
	}
	b, err := client.Get().AbsPath(kueueGroup, version, "namespaces", namespace, "workloads").
		Param("labelSelector", kueueJobUID+"="+string(job)).SetHeader("Accept", "application/json").Do(ctx).Raw()
	switch {
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("listing the workload of job %s: %w", job, err)
	}
	var list struct {
		Items []workload `json:"items"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return "", fmt.Errorf("reading the workload of job %s: %w", job, err)
	}
	for _, w := range list.Items {
		if s := w.says(); s != "" {
			return contract.Sentence("Kueue: " + s), nil
		}
	}
	return "", nil
}

// served is the version of Kueue's API that the cluster prefers.
func (k *Kueue) served(ctx context.Context, client rest.Interface) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.asked.IsZero() && time.Since(k.asked) < kueueAgain {
		return k.version, nil
	}
	b, err := client.Get().AbsPath(kueueGroup).SetHeader("Accept", "application/json").Do(ctx).Raw()
	var group metav1.APIGroup
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
	case err != nil:
		return "", fmt.Errorf("looking for Kueue: %w", err)
	default:
		if err := json.Unmarshal(b, &group); err != nil {
			return "", fmt.Errorf("looking for Kueue: %w", err)
		}
	}
	k.version, k.asked = group.PreferredVersion.Version, time.Now()
	return k.version, nil
}

// says is the message of the first step to admission that isn't done: room in a
// quota, then each check, then admission itself.
func (w workload) says() string {
	open := func(kind string) (message string, done bool) {
		for _, c := range w.Status.Conditions {
			if c.Type == kind {
				return c.Message, c.Status == metav1.ConditionTrue
			}
		}
		return "", false
	}
	room, done := open("QuotaReserved")
	if !done {
		return room
	}
	for _, c := range w.Status.AdmissionChecks {
		if c.State != "Ready" {
			return fmt.Sprintf("admission check %s is %s: %s", c.Name, c.State, c.Message)
		}
	}
	admitted, done := open("Admitted")
	if !done {
		return admitted
	}
	return ""
}
