// Package simulator is Buildkite as far as runners and schedulers see it: an
// http.Handler that real clients use unmodified.
package simulator
