// Package doctor looks at what an installation needs, from where it runs, and says of
// each thing what it found and how to fix it; and it collects what support needs,
// without secrets.
//
//	Patient.Examine ─▶ Report: config, buildkite, clock, token, queue, stack │ kubernetes, clock, proxy, versions, rights, pod-security, template, image
//	Patient.Bundle  ─▶ tar.gz: the report, the configuration, Jobs, pods, Events, the scheduler's logs and metrics
//
// It changes nothing that stays: a queue whose stack isn't registered gets one for a
// moment, and a Job without a job pulls the images of a queue's pods.
package doctor
