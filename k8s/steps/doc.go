// Package steps reads what a step says of its pod, and works out the pod that it
// describes: the attribute image:, and the kubernetes plugin with the names and the
// meaning that agent-stack-k8s gives them.
//
//	the job's environment -> Parse   -> Step       a foreign text: strict, bounded, every fault at once
//	Step, queue's Defaults -> Resolve -> Pod        a description, by roles; nothing of a runner is in it
//	Pod                   -> package policy         what a pipeline may have
//	Pod                   -> package kjob           the kjob
//
// It is pure: it asks nobody, and writes to nothing that it is given.
package steps
