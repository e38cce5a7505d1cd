// Package bench measures what onejob promises, against the stock agent and
// agent-stack-k8s.
//
//	TestHerd             a small herd in virtual time; asserts its figures
//	TestHerdReport       go test -run TestHerdReport -v ./test/bench -herd.n=1000,10000
//	cmd/bench-runner     the process itself: start, memory, signals, size
//	cmd/bench-scheduler  a scheduler from outside, beside agent-stack-k8s
//	cmd/bench-pods       a job's pod on a real cluster, beside a bare Kubernetes Job
//
// A herd is N runners that start in the same instant, each with the real code
// of its policy (acquire.Session, or the stock agent's core.Client) against one
// server, in the virtual time of a testing/synctest bubble.
package bench
