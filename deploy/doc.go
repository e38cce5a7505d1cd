// Package deploy holds the manifests that onejob is installed with, and the
// tests that keep them true.
//
//	base/            kustomize base: one resource a file
//	uninstall.yaml   deregisters the stacks, before the base is deleted
package deploy
