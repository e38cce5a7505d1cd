// Package reference writes what people look up from what the code has: the JSON schema of
// onejob.yaml, and tables in the pages.
//
//	k8s/config's types and comments ─▶ Settings ─┬▶ k8s/config/config.schema.json
//	                                             └▶ docs/configuration.md
//	scheduler's registry ─▶ its test ─▶ Block ───▶ docs/monitoring.md
//	onejob's flags       ─▶ its test ─▶ Block ───▶ docs/commands.md
//
// A page has the place of a table between two comments:
//
//	<!-- begin metrics: written by make reference -->
//	<!-- end metrics -->
//
// Tests fail where a file isn't what would be written; with -update they write it.
package reference
