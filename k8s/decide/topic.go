package decide

import "github.com/onejob-dev/onejob/contract"

// Topic tells texts with the same reason apart, or says that texts with two reasons
// mean the same. A job's page gets each topic once for an attempt, whatever the words;
// without a topic the reason counts. After a slash comes Kubernetes' own word.
type Topic string

// The topics.
const (
	topicStopped      Topic = "stopped"
	topicOutOfMemory  Topic = "out_of_memory"
	topicMemory       Topic = "memory"
	topicThrottled    Topic = "throttled"
	topicSessionLost  Topic = "session_lost"
	TopicMaybeGranted Topic = "maybe_granted"
	topicUnseen       Topic = "unseen"
	topicIdle         Topic = "idle"
	topicPreparing    Topic = "preparing"
	topicNoNode       Topic = "no_node"
	TopicSlowStart    Topic = "slow_start"
)

func (t Topic) of(kubernetes string) Topic {
	if kubernetes == "" {
		return t
	}
	return t + "/" + Topic(kubernetes)
}

// About is the decision's topic, or its reason.
func (d Decision) About() Topic {
	if d.Topic != "" {
		return d.Topic
	}
	return Topic(d.Reason)
}

// maybeGranted is the topic of a message whose runner doesn't know whether it had the
// job.
func maybeGranted(m *contract.Message) Topic {
	if m.MaybeGranted || m.Outcome == contract.OutcomeAmbiguous {
		return TopicMaybeGranted
	}
	return ""
}

// pendingTopic tells apart the different waits with the same reason.
func pendingTopic(f Facts) Topic {
	switch p := f.Pod; {
	case p.Phase == "":
		return ""
	case p.Unschedulable != "":
		return topicNoNode
	case p.Waiting != "":
		return Topic(FailureKind(p.Waiting))
	case f.obstacle().Reason != "":
		return topicPreparing.of(f.obstacle().Reason)
	default:
		return topicPreparing
	}
}
