// Package assumptions lists the questions about Buildkite that no public text answers: each
// question, its possible answers, what onejob does under each, and the call that settles it.
//
//	            All ─▶ docs/assumptions.md
//	             │
//	file ─▶ Parse ─▶ Profile ─▶ simulator.Config.Profile   plays that Buildkite
//	                    ▲
//	               onejob probe                            asks the real one
//
// A Profile answers all questions. onejob-sim plays Shipped by default; the Opposite of
// Shipped differs in each answer. onejob must be right under every Profile.
package assumptions
