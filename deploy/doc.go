// Package deploy holds the manifests that onejob is installed with, and the
// tests that keep them true.
//
//	chart/           the Helm chart, the source of base/, drain/ and operator.yaml
//	base/            kustomize base: one resource a file
//	drain/           keeps running jobs of drain queues from being evicted; its
//	                 README tells what becomes of jobs whose node goes
//	operator.yaml    what a person needs who looks after jobs
//	uninstall.yaml   deregisters the stacks, before the base is deleted
package deploy
