// Package events writes Kubernetes Events about onejob's Jobs, and reads what
// Kubernetes says of them and of their pods.
package events
