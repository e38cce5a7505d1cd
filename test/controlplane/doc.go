// Package controlplane has tests of `onejob schedule` as a process on a real control
// plane without nodes: several schedulers at a time, and outages on either side in
// the middle of a burst. Buildkite is the simulator, and a fake kubelet reports for
// kubelets and runners. Thousands of kjobs begin and end in it on one small machine,
// and what a scheduler does is seen from outside.
//
//	scheduler (any) ──── HTTP ────▶ simulator ◀──── HTTP ──── Kubelet: a Runner a pod
//	     │  Process: RSS, CPU          Fixture.Simulator          │ statuses, messages
//	     ▼                                                        ▼
//	[ Front ] ─────────▶ API server, etcd, controllers, kube-scheduler ── watch ──▶ Watch
//
//	Open      a namespace and a Buildkite of its own, watched: a Fixture
//	Node      a Node object that takes every pod, and never fails
//	Kubelet   is the kubelet and the runner of every pod of a Fixture
//	Front     stands before the API server and counts what is asked of it
//	Endure    has an Outage of either side in the middle of a burst
package controlplane
