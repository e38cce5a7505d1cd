package assumptions

// pipelineTable has the questions about a pipeline's steps.
var pipelineTable = []Assumption{
	{
		Name: "any-value-rule", Question: "How does the list write a rule that asks for any value?",
		Sides: []Side{
			{string(AnyValueRuleAsWritten), "As the step does: gpu= or gpu=*.",
				"Both mean any value of the key."},
			{string(AnyValueRuleStar), "Always gpu=*.",
				"The same."},
		},
		Settles: "A step with agents: gpu=; read its agent_query_rules.",
	},
	{
		Name: "default-queue-rule", Question: "Has a step that names no queue a rule on it?",
		Sides: []Side{
			{string(DefaultQueueRuleAbsent), "No.",
				"The list is the queue's own: a rule on it is met, whatever it says."},
			{string(DefaultQueueRuleNamed), "Yes, with the queue's key.",
				"The same."},
		},
		Settles: "A step without agents; read its agent_query_rules.",
	},
	{
		Name: "star-lost-agent", Question: "Does exit_status \"*\", or automatic: true, match the -1 of a lost agent?",
		Sides: []Side{
			{string(StarLostAgentMatches), "Yes.",
				"Nothing: it is Buildkite's decision. A rule for exit_status -1 matches under both, and the documentation says to write one."},
			{string(StarLostAgentSpares), "No: it means 1 to 255.",
				"The same; without such a rule the build fails."},
		},
		Settles: "Such a step; lose its agent.",
	},
	{
		Name: "star-stack-finish", Question: "Does exit_status \"*\", or automatic: true, match the -1 of a stack's finish?",
		Sides: []Side{
			{string(StarStackFinishMatches), "Yes.",
				"Nothing: it is Buildkite's decision. A rule for exit_status -1, or for signal_reason stack_error, matches under both."},
			{string(StarStackFinishSpares), "No: it means 1 to 255.",
				"The same; without such a rule the build fails."},
		},
		Settles: "Such a step; finish it as a stack.",
	},
	{
		Name: "exhausted-rule", Question: "Does a retry rule that has spent its limit let the next one match?",
		Sides: []Side{
			{string(ExhaustedRuleStops), "No.",
				"Nothing: each retry is a new job of its own."},
			{string(ExhaustedRulePasses), "Yes.",
				"The same."},
		},
		Settles: "Two rules that match, the first with limit 1.",
	},
}
