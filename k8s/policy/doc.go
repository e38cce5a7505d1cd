// Package policy decides which parts of its pod a step may choose. It returns every
// violation at once, each with the field, the rule and the fix.
//
// By default a step gets nothing by which it could leave its pod, and no credentials of
// others: no part of the node, no Secret, no service account that isn't named. No policy
// can allow a step the runner, or a Secret with an agent token.
package policy
