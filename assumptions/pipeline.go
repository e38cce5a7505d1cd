package assumptions

// AnyValueRule answers: How does the list write a rule that asks for any value?
type AnyValueRule string

// The sides of AnyValueRule.
const (
	AnyValueRuleAsWritten AnyValueRule = "as-written"
	AnyValueRuleStar      AnyValueRule = "star"
)

// DefaultQueueRule answers: Has a step that names no queue a rule on it?
type DefaultQueueRule string

// The sides of DefaultQueueRule.
const (
	DefaultQueueRuleAbsent DefaultQueueRule = "absent"
	DefaultQueueRuleNamed  DefaultQueueRule = "named"
)

// StarLostAgent answers: Does exit_status "*", or automatic: true, match the -1 of a lost agent?
type StarLostAgent string

// The sides of StarLostAgent.
const (
	StarLostAgentMatches StarLostAgent = "matches"
	StarLostAgentSpares  StarLostAgent = "spares"
)

// StarStackFinish answers: Does exit_status "*", or automatic: true, match the -1 of a stack's finish?
type StarStackFinish string

// The sides of StarStackFinish.
const (
	StarStackFinishMatches StarStackFinish = "matches"
	StarStackFinishSpares  StarStackFinish = "spares"
)

// ExhaustedRule answers: Does a retry rule that has spent its limit let the next one match?
type ExhaustedRule string

// The sides of ExhaustedRule.
const (
	ExhaustedRuleStops  ExhaustedRule = "stops"
	ExhaustedRulePasses ExhaustedRule = "passes"
)
