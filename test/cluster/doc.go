// Package cluster starts a real Kubernetes on one machine, without Docker and
// without a registry, for tests and for a demo.
//
//	machine                 │ sandbox: its own PID, mount, network namespaces
//	                        │
//	test ── RESTConfig ─────┼──▶ kube-apiserver ── etcd
//	                        │     ▲    ▲    ▲
//	                        │     │    │  kubelet (one a node) ── containerd ── runc
//	                        │     │  kube-scheduler                               │
//	                        │  kube-controller-manager                            ▼
//	server on HostAddress ◀─┼──────────────────────────────────────────────────  pod
//
// Kubernetes and etcd are one binary, a Go module of its own in directory kube,
// built once into .cache; containerd, runc and the CNI plugins are Debian's
// (packages.txt). With Config.Containerd2 the first two are newer ones, built from
// directory containerd. RBAC, service-account tokens and Pod Security admission work
// as they do elsewhere. There is no kube-proxy, no DNS and no metrics server.
//
// In a test, Start gives a cluster of the test's own and Shared one for the
// whole test process; a TestMain that calls Main ends the latter. Test processes
// wait for one another, as there is one machine to share. Run is the same
// without a test.
//
// Nothing outlives the process that started a cluster, even one killed with
// SIGKILL: see package sandbox.
package cluster
