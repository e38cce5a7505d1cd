// Package stage sets onejob up as its users do, on a real Kubernetes of this
// machine: the images of Dockerfile.agent, the manifests of deploy/base, and a
// simulator in Buildkite's place.
//
//	this machine                     the cluster (test/cluster)
//	  simulator  ◀── veth ──────────  onejob schedule, two replicas (deploy/base)
//	  git over HTTP                   a pod for each job: onejob-agent
//
// The end-to-end tests and the demo stand on it. Nothing here has more rights
// than what is shipped, but for the admin that installs it.
package stage
