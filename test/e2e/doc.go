// Package e2e runs the main job from end to end: builds on Buildkite (the
// simulator), the scheduler as deploy/base installs it, and a pod of a real
// Kubernetes for each job.
package e2e
