// Package kjob builds Kubernetes Jobs: the one of an attempt at a Buildkite job,
// and the placeholders that keep nodes warm.
//
//	template (file, inline, Job, PodTemplate) ──Parse──▶ Template ──New(job, attempt)──▶ *batchv1.Job
//
// Parse finds what no job could use. New is a pure function: the name of what it
// makes follows from job ID and attempt, so that two schedulers can't make two.
package kjob
