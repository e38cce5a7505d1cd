// Package kjob builds Kubernetes Jobs: the one of an attempt at a Buildkite job,
// and the placeholders that keep nodes warm.
//
//	template (file, inline, Job, PodTemplate) ──Parse──▶ Template ──New(job, attempt)──▶ *batchv1.Job
//
// Parse refuses a template that no job could use. New is a pure function: a kjob's name
// follows from job ID and attempt, so that two schedulers can't make two kjobs for one
// attempt.
package kjob
