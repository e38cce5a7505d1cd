// Package release builds what a release publishes: both images for all platforms, the
// chart, and the notes. It publishes nothing but to a registry that a dry run starts.
//
//	Dockerfile.agent ─ test/cluster/image ─▶ layers ─ test/release/oci ─▶ OUT/images/{onejob,onejob-agent}, OUT/images/*.spdx.json
//	deploy/chart ─ helm package ─▶ OUT/onejob-VERSION.tgz
//	git log ─▶ OUT/notes.md
//
// docs/releasing.md says what goes where.
package release
