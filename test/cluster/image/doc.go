// Package image builds container images without Docker, for a cluster without a
// registry: OCI image layouts as tar files, which containerd imports.
//
//	Dockerfile.agent ── Parse ──▶ stages ── go build ──▶ binaries ──┐
//	                                 │                              ├─▶ layers ─▶ .cache/image/agent.tar
//	                                 └── debootstrap, RUN ▶ root ───┘
//
// Agent and Scheduler are built from the repository's Dockerfile.agent, which
// this package carries out step by step, so that what tests run is what docker
// build makes, but for where the base comes from: a Debian image there,
// debootstrap here. Whatever the file says that this package doesn't understand
// is an error. Stub is a tiny image for tests of the cluster itself.
package image
