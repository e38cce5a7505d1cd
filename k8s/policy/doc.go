// Package policy says what a pipeline may have of its pod, and what of it a step asks
// for that it may not: each violation with the field, the rule and the fix, all at once.
//
// By default a step gets nothing by which it could leave its pod, and nothing of others'
// credentials: no part of the node, no Secret, no service account that isn't named. What
// a policy allows is never the runner, nor a Secret with an agent token.
package policy
