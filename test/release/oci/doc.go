// Command oci packs what test/cluster/image has built as OCI image layouts for several
// architectures, with labels and SBOMs, and pushes these to a registry: a module of its
// own, so that its dependencies never reach the product's go.mod. Package release calls
// it.
//
//	oci images --spec spec.json --out DIR     layers ─▶ DIR/onejob, DIR/onejob-agent, *.spdx.json, images.json
//	oci push --from DIR --to HOST/PATH        DIR ─▶ a registry
//	oci push --from DIR --dry-run             DIR ─▶ a registry of its own, which ends with it; then a command, if one is given after --
package main
