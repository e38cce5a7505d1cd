// Package steps reads a step's description of its pod, and works out that pod. The
// description is the attribute image: and the kubernetes plugin, whose names and meaning are
// those of agent-stack-k8s.
//
//	the job's environment -> Parse   -> Step       foreign text: strict, bounded, every fault at once
//	Step, queue's Defaults -> Resolve -> Pod        a description, by roles; nothing of a runner is in it
//	Pod                   -> package policy         what a pipeline may have
//	Pod                   -> package kjob           the kjob
//
// The package is pure: it calls no other system, and doesn't change its arguments.
package steps
