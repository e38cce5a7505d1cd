package decide

import (
	"errors"
	"testing"
	"time"
)

// What is decided of a job that has no kjob, or whose kjob Kubernetes doesn't take.
func TestVerdicts(t *testing.T) {
	const limit = time.Minute
	why, quota := errors.New("exceeded quota"), errors.New("exceeded quota: q")
	p := Policy{MaxAttempts: 3, PendingTimeout: limit}
	told := ParseHistory("attempt 1 was lost\nattempt 2 was stopped")
	suspended := History{{Reason: leftOut, Attempt: 29}}
	for _, tt := range []struct {
		name string
		got  Decision
		want Decision
	}{
		{"the first attempt", NextAttempt(0, nil, p), Decision{Action: Attempt}},
		{"the last attempt", NextAttempt(2, told, p), Decision{Action: Attempt}},
		{"no more attempts", NextAttempt(3, told, p), finish(ReasonGaveUp, "gave up after 3 attempts, none of which acquired the job: attempt 1 was lost; attempt 2 was stopped")},
		{"no more, and nothing is known of them", NextAttempt(3, nil, p), finish(ReasonGaveUp, "gave up after 3 attempts, none of which acquired the job")},
		{"as many, of which one was suspended", NextAttempt(3, History{{Reason: ReasonLost}, {Reason: ReasonSuspended}, {Reason: ReasonLost}}, p), Decision{Action: Attempt}},
		{"suspended time and again", NextAttempt(29, suspended, p), Decision{Action: Attempt}},
		{"suspended for ever", NextAttempt(30, suspended, p), finish(ReasonGaveUp, "gave up after 30 attempts, none of which acquired the job")},
		{"the template makes no kjob", NotMade(errors.New("env.X is not set")), finish(ReasonConfig, "env.X is not set")},
		{"refused", CreateRefused(why), finish(ReasonAdmission, "Kubernetes refused the Job that the queue's template makes: exceeded quota")},
		{"not let in yet", NotLetIn(limit, p, why), Decision{Action: None, Reason: ReasonAdmission}},
		{"a quota is used up", NotLetIn(24*time.Hour, p, quota), Decision{Action: None, Reason: ReasonAdmission}},
		{"a quota is used up, which has its time", NotLetIn(time.Hour, Policy{PendingTimeout: limit, SuspendedTimeout: time.Hour}, quota), Decision{Action: None, Reason: ReasonAdmission}},
		{"a quota is used up for long", NotLetIn(time.Hour+1, Policy{PendingTimeout: limit, SuspendedTimeout: time.Hour}, quota), finish(ReasonAdmission, "Kubernetes did not accept the Job within 1h0m0s: exceeded quota: q")},
		{"not let in", NotLetIn(limit+1, p, why), finish(ReasonAdmission, "Kubernetes did not accept the Job within 1m0s: exceeded quota")},
		{"its name is taken", NameTaken("onejob-x", "builds", errors.New("not ours")), finish(ReasonAdmission, "onejob-x in namespace builds: not ours")},
		{"its tags are nobody's", Unmatched("no queue has gpu=1"), finish(ReasonUnmatched, "no queue has gpu=1")},
		{"its queue is gone, and there is no pod", Retired(nil), Decision{Action: Delete, Reason: ReasonLeft, Unplaced: true}},
		{"its queue is gone, and its pod has no node", Retired([]Pod{{Phase: "Pending"}}), Decision{Action: Delete, Reason: ReasonLeft, Unplaced: true}},
		{"its queue is gone, and only a helper is left of its pod", Retired([]Pod{{Phase: "Running", Node: "n", Ended: true, Helper: "proxy"}}), Decision{Action: Delete, Reason: ReasonLeft}},
		{"its queue is gone, and its pod has a node", Retired([]Pod{{Phase: "Pending"}, {Phase: "Pending", Node: "n"}}), Decision{Action: None}},
		{"the end of what no runner had", finish(ReasonImage, "x"), Decision{Action: Finish, Reason: ReasonImage, ExitStatus: -1, Text: "x"}},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, tt.got, tt.want)
		}
	}
}
