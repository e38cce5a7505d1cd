package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// buildkite is a simulator's process, with a build that agents have begun.
type buildkite struct {
	url    string
	logged string // the ID of a job with a log of many colours
	stop   func()
}

const (
	bright = "\x1b_bk;t=1767323045000\x07~~~ Preparing working directory\n\x1b_bk;t=1767323046000\x07\x1b[90m$\x1b[0m git clone …\n" +
		"\x1b_bk;t=1767323047000\x07--- make build\n\x1b[32mok\x1b[0m  \x1b[31mred\x1b[0m \x1b[33myellow\x1b[0m \x1b[34mblue\x1b[0m \x1b[35mmagenta\x1b[0m \x1b[36mcyan\x1b[0m \x1b[1mbold\x1b[0m\n" +
		"\x1b[40mblack\x1b[0m \x1b[41mred\x1b[0m \x1b[42mgreen\x1b[0m \x1b[43myellow\x1b[0m \x1b[44mblue\x1b[0m \x1b[45mmagenta\x1b[0m \x1b[46mcyan\x1b[0m \x1b[47mwhite\x1b[0m\n" +
		"\x1b_bk;t=1767323049000\x07+++ result\n\x1b[92mPASS\x1b[0m 212 tests in 4 s\n"
	brief = "$ make\nworking …\n"
)

// play starts the simulator, and is the agents of some of its jobs.
func play(ctx context.Context, program string) (*buildkite, error) {
	dir, err := os.MkdirTemp("", "onejob-page-")
	if err != nil {
		return nil, err
	}
	ready := filepath.Join(dir, "ready")
	cmd := exec.CommandContext(ctx, program, "--pipeline", "pipeline.yml", "--listen", "127.0.0.1:0", "--ready-file", ready)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the simulator: %w", err)
	}
	b := &buildkite{stop: func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}}
	for began := time.Now(); b.url == ""; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(ready)
		if err == nil {
			b.url = strings.TrimRight(strings.TrimSpace(string(text)), "/") + "/"
		} else if ctx.Err() != nil || time.Since(began) > guard || !errors.Is(err, os.ErrNotExist) {
			b.stop()
			return nil, fmt.Errorf("the simulator doesn't begin: %w", errors.Join(err, ctx.Err()))
		}
	}
	if err := b.agents(); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

// agents run some of the jobs: one passes and one fails, then one runs, one has passed,
// and one waits.
func (b *buildkite) agents() error {
	id, err := b.job("build", bright, `{"exit_status":"0"}`)
	if err != nil {
		return err
	}
	b.logged = id
	for _, j := range []struct{ label, log, end string }{{"lint", brief, `{"exit_status":"7"}`}, {"test", bright, `{"exit_status":"0"}`}, {"test", brief, ""}} {
		if _, err := b.job(j.label, j.log, j.end); err != nil {
			return err
		}
	}
	return nil
}

// job acquires the first scheduled job with that label, sends its log, and ends it, unless
// end is empty.
func (b *buildkite) job(label, log, end string) (id string, err error) {
	var jobs []struct{ ID, Label, State string }
	if err := b.call("GET", "_sim/jobs", "", "", &jobs); err != nil {
		return "", err
	}
	for _, j := range jobs {
		if j.Label == label && j.State == "scheduled" && id == "" {
			id = j.ID
		}
	}
	var agent struct {
		Token string `json:"access_token"`
	}
	var acquired struct{ Token string }
	err = b.call("POST", "v3/register", "bkct_simulator", `{"name":"agent-1","ignore_in_dispatches":true}`, &agent)
	for _, c := range []struct {
		method, path, body string
		into               any
	}{
		{"POST", "v3/connect", "", nil}, {"PUT", "v3/jobs/" + id + "/acquire", "", &acquired}, {"PUT", "v3/jobs/" + id + "/start", "", nil},
		{"POST", fmt.Sprintf("v3/jobs/%s/chunks?sequence=1&offset=0&size=%d", id, len(log)), log, nil}, {"PUT", "v3/jobs/" + id + "/finish", end, nil},
	} {
		if err != nil || strings.HasSuffix(c.path, "/finish") && end == "" {
			break
		}
		token := acquired.Token
		if token == "" {
			token = agent.Token
		}
		err = b.call(c.method, c.path, token, c.body, c.into)
	}
	return id, err
}

// unboxed serves the page of the log without its sandbox, in which axe-core's timers
// don't run.
func (b *buildkite) unboxed() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		resp, err := http.Get(b.url + "_sim/jobs/" + b.logged + "/log.html")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		_, _ = io.Copy(w, resp.Body)
	}))
}

func (b *buildkite) call(method, path, token, body string, into any) error {
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Token "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, raw)
	}
	if err != nil || into == nil {
		return err
	}
	return json.NewDecoder(bytes.NewReader(raw)).Decode(into)
}
