// Package moving reads a Helm values file of agent-stack-k8s and makes a configuration
// of onejob from it. Each key either has a counterpart, or is named with the reason why
// it has none: nothing is dropped without a word.
package moving
