// Package decide says what is to be done about a job, given all that is known of
// it: wait, ask Buildkite, make another attempt, finish the job, delete its
// Kubernetes Job. It asks nobody and knows no cache.
//
//	batchv1.Job ──OfJob──▶ KJob ┐
//	corev1.Pod  ──OfPod──▶ Pod  ├─▶ Timeline.See ─▶ Facts ──On──▶ Decision{Action, Reason, Text}
//	stacks.State, Events ───────┘
//
// Timeline is all that is kept: what was seen, and since when. Whether a job gets
// another attempt is decided here and nowhere else. Acquisition is exclusive on
// Buildkite's side, so that even a wrong decision runs nothing twice.
package decide
