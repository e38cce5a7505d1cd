package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/buildkite/agent/v3/api"
	"github.com/buildkite/agent/v3/core"
	"github.com/buildkite/agent/v3/logger"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/contract"
)

const endpoint = "http://buildkite.test/v3"

// policy is how one runner of a herd gets its job.
type policy struct {
	name string
	// take acquires job id, or gives it up with an error.
	take func(ctx context.Context, rt http.RoundTripper, id contract.JobID, seed uint64) error
}

// patient is the policy for fleets that start in herds: more attempts, closer
// together and further spread.
//
// Its arithmetic: waits of 1, 2, 4, 8 and then seven of 16 s are 127 s, with
// the mean jitter (11 × 9.5 s) 231 s of the deadline's 330.
var patient = func() acquire.Backoff {
	b := acquire.DefaultAcquire
	b.Attempts, b.Cap, b.JitterMax = 12, 16*time.Second, 20*time.Second
	return b
}()

var (
	onejob        = policy{"onejob", ours(acquire.DefaultAcquire)}
	onejobPatient = policy{"onejob, patient", ours(patient)}
	stock         = policy{"stock", theirs}
	policies      = []policy{onejob, onejobPatient, stock}
)

// reaches reports whether p must reach the bar in s: the patient policy in all
// cases; the default in all but the first, where an outage without Retry-After
// lasts about as long as its attempts do.
func (p policy) reaches(s scenario) bool {
	return p.name == onejobPatient.name || p.name == onejob.name && s.name != "1"
}

// ours acquires as onejob-agent does, with b.
func ours(b acquire.Backoff) func(context.Context, http.RoundTripper, contract.JobID, uint64) error {
	return func(ctx context.Context, rt http.RoundTripper, id contract.JobID, seed uint64) error {
		client := acquire.NewClient(acquire.Config{
			Endpoint: endpoint, Token: "token", Transport: rt,
			Acquire: b, Register: acquire.DefaultRegister,
			Log: slog.New(slog.DiscardHandler), Rand: acquire.NewRand(seed),
		})
		session, err := client.Register(ctx, acquire.Registration{Name: "herd"})
		if err != nil {
			return err
		}
		_, err = session.Acquire(ctx, id)
		return err
	}
}

// theirs acquires as the pinned buildkite-agent does. Its jitter comes from
// math/rand's global source, so the seed is of no use to it.
func theirs(ctx context.Context, rt http.RoundTripper, id contract.JobID, _ uint64) error {
	client := &core.Client{
		APIClient: api.NewClient(logger.Discard, api.Config{
			Endpoint: endpoint, Token: "token", HTTPClient: &http.Client{Transport: rt},
		}),
		Logger: logger.Discard,
	}
	_, err := client.AcquireJob(ctx, id.String())
	return err
}

// jobID is the ID of runner i's job.
func jobID(i int) contract.JobID {
	return contract.JobID(fmt.Sprintf("01906f6e-7a3c-4a51-9d6a-%012x", i))
}
