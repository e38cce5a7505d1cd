// Package controlplane is the stage without nodes: a real control plane, Buildkite
// as the simulator plays it, a scheduler as a process of its own, and players
// in place of kubelets and runners. Thousands of kjobs begin and end in it on
// one small machine, and what a scheduler does is seen from outside.
//
//	scheduler (any) ──── HTTP ────▶ simulator ◀──── HTTP ──── Player: a Runner a pod
//	     │  Process: RSS, CPU          Set.Simulator             │ statuses, messages
//	     ▼                                                       ▼
//	[ Front ] ─────────▶ API server, etcd, controllers, kube-scheduler ── watch ──▶ Watch
//
//	Open      a namespace and a Buildkite of its own, watched
//	Node      a Node object that takes every pod, and never fails
//	Player    is the kubelet and the runner of every pod of a Set
//	Front     stands before the API server and counts what is asked of it
//	Endure    has an Outage of either side in the middle of a burst
package controlplane
