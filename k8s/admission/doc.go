// Package admission makes of a queue's policy a ValidatingAdmissionPolicy, by which the API
// server holds every Kubernetes Job of the queue to it, whoever creates it.
//
//	a queue's template, its policy  -> Rules   what is allowed beside the template, in CEL
//	Rules                           -> Objects a policy and its binding, one for each class
//
// It judges the Jobs that have the queue's label: by that a Job counts as the queue's. A Job
// in the namespace without it is another's, and may be anything but one with the agent
// token. Only creates are judged: a Job's pod can't be changed later but for where it may
// run, which Kueue does.
//
// Nobody tells the API server what of a Job is the template's and what the step's. So the
// containers and volumes that the template has must be as they are there, and all others are
// the step's.
package admission
