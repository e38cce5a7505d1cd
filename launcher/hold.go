package launcher

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
)

// Hold says whether a job's container stays when the job is over, so that people can look
// into it. Its zero value is for a queue that allows that for no time.
type Hold struct {
	// Most is how long the queue allows.
	Most time.Duration
	// Asked is the step's wish, for a job that fails.
	Asked time.Duration
	// File has what people ask for while the job runs: a pod's annotation, which the
	// kubelet writes there (contract.AnnotationHold). It wins over Asked.
	File string
	// Exec is the command that shows the container.
	Exec string
}

// NewHold reads a pod's hold from its environment. name is the container to look into.
func NewHold(getenv func(string) string, name string) (Hold, error) {
	most := getenv(contract.EnvHold)
	if most == "" {
		return Hold{}, nil
	}
	d, err := time.ParseDuration(most)
	if err != nil || d < 0 {
		return Hold{}, fmt.Errorf("%s is %q, and no duration", contract.EnvHold, most)
	}
	host, _ := os.Hostname() // the pod's name, unless its spec has another
	return Hold{Most: d, File: filepath.Join(contract.HoldDir, contract.HoldFile), Exec: fmt.Sprintf("kubectl exec -it -n %s %s -c %s -- sh", getenv(contract.EnvPodNamespace), host, name)}, nil
}

// envHold is what a step sets.
const envHold = "ONEJOB_HOLD"

// of is the hold for a job's own wish, and what its log says of a wish that isn't granted.
func (h Hold) of(env map[string]string) (Hold, string) {
	text := env[envHold]
	if text == "" {
		return h, ""
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil || d < 0:
		return h, fmt.Sprintf("%s is %q, which is no duration such as 30m: the container won't stay if the job fails.", envHold, contract.Line(text, 55))
	case h.Most == 0:
		return h, fmt.Sprintf("%s has no effect: this queue's setting hold allows no time.", envHold)
	}
	h.Asked = d
	return h, ""
}

// For is how long the container of a job that ended so is to stay. A job that was
// cancelled or stopped (signalReason) didn't fail by itself, and whoever cancels one wants
// it over, whatever was asked before.
func (h Hold) For(exitStatus, signalReason string) time.Duration {
	if signalReason == "cancel" {
		return 0
	}
	d := h.Asked
	if exitStatus == "0" || exitStatus == "" || signalReason != "" {
		d = 0
	}
	if asked, ok := h.asked(); ok {
		d = asked
	}
	return min(d, h.Most)
}

// asked is what people ask for; a job can't write it.
func (h Hold) asked() (time.Duration, bool) {
	if h.File == "" {
		return 0, false
	}
	b, err := os.ReadFile(h.File)
	if err != nil {
		return 0, false
	}
	d, err := time.ParseDuration(strings.TrimSpace(string(b)))
	return max(d, 0), err == nil
}

// Text is what the job's log says before its end.
func (h Hold) Text(d time.Duration, id contract.JobID) string {
	return fmt.Sprintf("+++ onejob: the container stays for %s\nTo look into it:  %s\nTo end it:        onejob release %s\nUntil then it holds a slot of its queue.\n", d.Round(time.Second), h.Exec, id)
}

// looks is how often people's wish is read while a container stays.
const looks = time.Second

// stay waits for as long as the container is to stay. The result is reported and the
// session is over. A signal ends it at once, and so does a release.
func (r *run) stay() (seconds float64) {
	exit := ""
	if r.msg.ExitStatus != nil {
		exit = fmt.Sprint(*r.msg.ExitStatus)
	}
	stays := func() time.Duration { return r.hold.For(exit, r.msg.SignalReason) }
	began := time.Now()
	if r.msg.Outcome != contract.OutcomeFinished || stays() <= 0 {
		return 0
	}
	r.Token, r.session, r.client = "", nil, nil
	if r.Forget != nil {
		if err := r.Forget(); err != nil {
			r.Log.Warn("couldn't delete all credentials before the container stays", "err", err)
		}
	}
	r.Log.Info("the container stays for people to look into it", "for", stays().String())
	for r.watch.Stop.Err() == nil && time.Since(began) < stays() {
		jitter.Sleep(r.watch.Stop, looks)
	}
	return contract.Millis(time.Since(began).Seconds())
}
