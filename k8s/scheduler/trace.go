package scheduler

import (
	"context"
	"regexp"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/traces"
)

// trace hands an attempt to the exporter of traces, once, when it has ended and it is
// decided what of. It asks nobody and waits for nobody.
func (q *queue) trace(id contract.JobID, d decide.Decision, f decide.Facts) {
	k := q.claims.last(id)
	if !q.s.traces.On() || k == nil {
		return
	}
	var pod *cache.Pod
	for _, p := range q.store.PodsOf(id) {
		if p.Name == f.Pod.Name {
			pod = p
		}
	}
	if f.KJob.Suspended {
		q.onWay(id, f.Attempt, func(w *way) { w.suspended = true })
	}
	if pod != nil && !pod.Sandboxed.IsZero() {
		q.onWay(id, f.Attempt, func(w *way) { w.sandboxed = pod.Sandboxed })
	}
	over := f.KJob.Finished || f.KJob.Gone || f.Pod.Over()
	undecided := f.EndedAt.IsZero() || d.Action == decide.Ask || d.Waiting
	if !over || undecided || q.countedByPreviousLeader(f) || !q.pages.measure(id, f.KJob.UID, "trace") {
		return
	}
	traceparent := ""
	if m := f.Pod.Message; m != nil {
		traceparent = m.Traceparent
	}
	w, previous := q.pages.leaves(id, f.Attempt, traceparent)
	a := traces.Attempt{
		Job: id, Number: f.Attempt, Traceparent: traceparent, Previous: previous, Attributes: q.about(k, f), End: endOf(f),
		Spans: spansOf(w, k, pod, f),
	}
	a.Begin = a.End
	for _, s := range a.Spans {
		if !s.From.IsZero() && s.From.Before(a.Begin) {
			a.Begin = s.From
		}
	}
	a.Own, a.Failed = resultOf(d, f)
	if f.Pod.Name != "" {
		a.Pulls = func(ctx context.Context) []traces.Span { return q.pulls(ctx, f.Pod.Name) }
	}
	q.s.traces.Add(a)
}

// endOf is by the node's clock, if a node saw the end.
func endOf(f decide.Facts) time.Time {
	if !f.Pod.EndedAt.IsZero() {
		return f.Pod.EndedAt
	}
	return f.EndedAt
}

// spansOf are the stretches of an attempt whose times are known. Those of Kubernetes are
// in whole seconds.
func spansOf(w way, k *cache.Job, pod *cache.Pod, f decide.Facts) []traces.Span {
	made, admitted := w.created, k.Made
	if made.IsZero() {
		made = k.Made
	}
	spans := []traces.Span{
		{Name: "onejob queue", From: w.since, To: w.asked, Attributes: []attribute.KeyValue{attribute.Int("buildkite.job.priority.number", k.Job.Priority)}},
		{Name: "onejob reserve", From: w.asked, To: w.reserved}, {Name: "onejob create", From: w.reserved, To: made},
	}
	if w.suspended && !f.KJob.ResumedAt.IsZero() {
		admitted = f.KJob.ResumedAt
		spans = append(spans, traces.Span{Name: "onejob admit", From: k.Made, To: admitted})
	}
	if pod != nil {
		begins := later(pod.Scheduled, w.sandboxed)
		spans = append(spans, traces.Span{Name: "onejob schedule", From: admitted, To: pod.Scheduled},
			traces.Span{Name: "onejob sandbox", From: pod.Scheduled, To: w.sandboxed}, traces.Span{Name: traces.Start, From: begins, To: pod.Started})
	}
	if f.Pod.Message == nil {
		return spans
	}
	for _, p := range f.Pod.Message.Phases {
		switch p.Name {
		case "register", "acquire", "report":
			tries := attribute.Int("http.request.resend_count", min(max(0, f.Pod.Message.Tries[p.Name]-1), maxResent))
			spans = append(spans, traces.Span{Name: "onejob " + p.Name, From: p.Start, To: p.Start.Add(decide.Seconds(p.Seconds)), Attributes: []attribute.KeyValue{tries}})
		}
	}
	return spans
}

// maxResent is more than any runner sends a request again: a job can write the number.
const maxResent = 1000

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// about are the attributes of all spans of an attempt. None is the job's own text but for
// names that its page shows.
func (q *queue) about(k *cache.Job, f decide.Facts) []attribute.KeyValue {
	all := []attribute.KeyValue{
		semconv.CICDPipelineName(k.Job.Pipeline), semconv.CICDPipelineTaskName(k.Job.Step), semconv.CICDPipelineTaskRunID(k.ID.String()),
		semconv.CICDPipelineTaskRunURLFull(kjob.JobURL(q.set.Load().template.Org, k.Job)), semconv.CICDSystemComponent("scheduler"),
		semconv.CICDWorkerName(f.Pod.Name), semconv.K8SNamespaceName(k.Namespace), semconv.K8SJobName(k.Name), semconv.K8SJobUID(string(k.UID)),
		semconv.K8SPodName(f.Pod.Name), semconv.K8SNodeName(f.Pod.Node), attribute.String("buildkite.queue", q.name),
		attribute.String("buildkite.job.id", k.ID.String()), attribute.String("buildkite.branch", k.Job.Branch),
	}
	if m := f.Pod.Message; m != nil {
		all = append(all, semconv.CICDWorkerID(m.Agent))
	}
	var known []attribute.KeyValue
	for _, a := range all {
		if a.Value.AsString() != "" {
			known = append(known, a)
		}
	}
	if k.Job.Build > 0 {
		known = append(known, attribute.Int("buildkite.build.number", k.Job.Build))
	}
	return append(known, attribute.Int("onejob.attempt", f.Attempt))
}

// resultOf says how an attempt ended.
func resultOf(d decide.Decision, f decide.Facts) (own []attribute.KeyValue, failed bool) {
	result := semconv.CICDPipelineTaskRunResultError
	m := f.Pod.Message
	finished := m != nil && m.Outcome == contract.OutcomeFinished && m.ExitStatus != nil
	switch {
	case d.Reason == decide.ReasonCancelled, finished && m.SignalReason == "cancel":
		result = semconv.CICDPipelineTaskRunResultCancellation
	case d.Reason == decide.ReasonDeadline:
		result = semconv.CICDPipelineTaskRunResultTimeout
	case d.Reason == decide.ReasonTaken, d.Reason == decide.ReasonRejected:
		result = semconv.CICDPipelineTaskRunResultSkip
	case finished && *m.ExitStatus == 0:
		result = semconv.CICDPipelineTaskRunResultSuccess
	case finished:
		result = semconv.CICDPipelineTaskRunResultFailure
	}
	own = append(own, result, attribute.String("onejob.action", string(d.Action)))
	if m != nil {
		outcome := "unknown" // a job may have written it
		if m.Outcome.Known() {
			outcome = string(m.Outcome)
		}
		own = append(own, attribute.String("onejob.outcome", outcome))
	}
	if finished {
		own = append(own, semconv.ProcessExitCode(*m.ExitStatus))
	}
	failed = result == semconv.CICDPipelineTaskRunResultError || result == semconv.CICDPipelineTaskRunResultTimeout
	if failed {
		own = append(own, semconv.ErrorTypeKey.String(string(d.Reason)))
	}
	return own, failed
}

// quoted is the image in the kubelet's message of an Event about it.
var quoted = regexp.MustCompile(`image "([^"]+)"`)

// pulls are those of a pod's images, from the kubelet's Events. An image that was there
// has only the second of two. There are none if others need the reads more.
func (q *queue) pulls(ctx context.Context, pod string) (spans []traces.Span) {
	if q.store.Stale() || !q.reads.may(false, true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, warningsWithin)
	defer cancel()
	list, err := events.On(ctx, q.s.kube, q.store.Namespace, "Pod", pod)
	if err != nil {
		q.log.Debug("Events not read", "err", err)
		return nil
	}
	began := map[string]time.Time{}
	for _, e := range list {
		of := e.InvolvedObject.FieldPath
		switch e.Reason {
		case "Pulling":
			began[of] = events.Time(e)
		case "Pulled":
			if from, ok := began[of]; ok {
				spans = append(spans, traces.Span{Name: "onejob pull", From: from, To: events.Time(e), Attributes: imageOf(e)})
				delete(began, of)
			}
		}
	}
	return spans
}

func imageOf(e corev1.Event) []attribute.KeyValue {
	if m := quoted.FindStringSubmatch(e.Message); m != nil {
		return []attribute.KeyValue{semconv.ContainerImageName(m[1])}
	}
	return nil
}
