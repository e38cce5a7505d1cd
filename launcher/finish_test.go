package launcher

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/acquire"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// The explanation hangs: the result must get through all the same, whether the
// signal came before or while the explanation was being sent.
func TestFinishIsNotHeldUpByItsText(t *testing.T) {
	for name, after := range map[string]time.Duration{"before": 0, "while": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := roundTripper(func(req *http.Request) (*http.Response, error) {
					if strings.HasSuffix(req.URL.Path, "/chunks") {
						<-req.Context().Done()
						return nil, errors.New("torn")
					}
					return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("")), Request: req}, nil
				})
				log := slog.New(slog.DiscardHandler)
				j := &api.Job{ID: job, Token: "job"}
				client := JobClient("http://buildkite.test/v3", "session", "", nil, j, rt, log)
				ctx, cancel := context.WithTimeout(t.Context(), after+9*time.Second)
				defer cancel()
				hurry, due := context.WithCancelCause(t.Context())
				defer due(nil)
				signal := func() { due(acquire.Due{By: time.Now().Add(9 * time.Second)}) }
				if after == 0 {
					signal()
				} else {
					time.AfterFunc(after, signal)
				}
				begin := time.Now()
				d := finish(ctx, hurry, client, j, Finish{ExitStatus: "-1", Text: "why"}, acquire.NewRand(1), log, nil)
				if !d.Delivered {
					t.Errorf("the result didn't get through: %+v", d)
				}
				if took := time.Since(begin); took != after+3*time.Second {
					t.Errorf("it took %v, want a third of the nine seconds after the signal", took)
				}
			})
		})
	}
}
