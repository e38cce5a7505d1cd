// Package assumptions has what nobody outside can know of Buildkite: each question, the
// answers that it may have, what onejob does under each, and the call that settles it.
//
//	            All ─▶ docs/assumptions.md
//	             │
//	file ─▶ Parse ─▶ Profile ─▶ simulator.Config.Profile   plays that Buildkite
//	                    ▲
//	               onejob probe                            asks the real one
//
// A Profile answers all of them. Shipped is what onejob-sim plays unless it is told
// otherwise; its Opposite differs in each answer. onejob has to be right under any.
package assumptions
