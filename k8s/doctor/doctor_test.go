package doctor

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// examined is a report on a configuration that a simulator is asked about, without a
// cluster.
func examined(t *testing.T, sim *simulator.Simulator, token, file string) Report {
	t.Helper()
	t.Cleanup(sim.Close)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	cfg, err := config.Parse([]byte(strings.ReplaceAll(file, "ENDPOINT", server.URL+"/v3")), "builds")
	p := Patient{Config: cfg, ConfigError: err, Version: "test", ClusterError: errors.New("no cluster in this test"),
		Token: func(config.Queue) (stacks.TokenSource, error) {
			if token == "" {
				return nil, nil //nolint:nilnil // no token is no error
			}
			return stacks.Token(token), nil
		}}
	return p.Examine(t.Context())
}

// of is the finding of a check.
func (r Report) of(t *testing.T, check string) Finding {
	t.Helper()
	for _, f := range r {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("nothing was found of %s: %+v", check, r)
	return Finding{}
}

// What can be wrong at Buildkite's end, each with its own line and fix, and no stack left.
func TestBuildkite(t *testing.T) {
	const good = "endpoint: ENDPOINT\nqueues: [{name: default}]\n"
	for _, tt := range []struct {
		name        string
		sim         simulator.Config
		before      func(*simulator.Simulator)
		token, file string
		check       string
		result      Result
		found, fix  string
	}{
		{name: "a good token", check: "token", result: OK, found: "organization acme, cluster simulated"},
		{name: "an open queue", check: "queue", result: OK, found: "it exists and isn't paused"},
		{name: "no scheduler yet", check: "stack", result: Warn, found: "one more stack is allowed", fix: "start the scheduler"},
		{name: "a good endpoint", check: "endpoint", result: OK, found: "it answers, without a proxy"},
		{name: "the time", check: "clock", result: OK},
		{name: "another time", before: func(s *simulator.Simulator) { s.JumpClock(time.Hour) }, check: "clock", result: Warn, found: "ahead of this machine's", fix: "NTP"},
		{name: "paused", before: func(s *simulator.Simulator) { _ = s.SetQueuePaused("default", true) }, check: "queue", result: Warn, found: "it is paused", fix: "resume it"},
		{name: "no such queue", sim: simulator.Config{Queues: []string{"linux"}}, check: "queue", result: Fail, found: "no self-hosted queue of this key", fix: "Agents, Queues"},
		{name: "no more stacks", sim: simulator.Config{MaxStacks: 1}, before: func(s *simulator.Simulator) { register(s, "another") }, check: "stack", result: Fail, found: "limit of stacks", fix: "onejob deregister"},
		{name: "a stack that is there", before: func(s *simulator.Simulator) { register(s, "onejob-default") }, check: "stack", result: OK, found: "onejob-default is registered"},
		{name: "another token", token: "bkct_other", check: "token", result: Fail, fix: "Agent tokens"},
		{name: "no token", token: "-", check: "token", result: Skip, found: "there is none in /var/run/onejob/token/token", fix: "--token-file"},
		{name: "no endpoint", file: "endpoint: http://127.0.0.1:1/v3\nqueues: [{name: default}]\n", check: "endpoint", result: Fail, found: "connection refused", fix: "HTTPS_PROXY"},
		{name: "a wrong setting", file: "endpoint: ENDPOINT\nqueues: [{name: default, max-in-flight: -1}]\n", check: "config", result: Fail, found: "max-in-flight: -1"},
		{name: "no cluster", check: "kubernetes", result: Fail, found: "no cluster in this test", fix: "--context"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim := simulator.New(tt.sim)
			if tt.before != nil {
				tt.before(sim)
			}
			token, file := tt.token, tt.file
			switch token {
			case "":
				token = simulator.DefaultAgentToken
			case "-":
				token = ""
			}
			if file == "" {
				file = good
			}
			f := examined(t, sim, token, file).of(t, tt.check)
			if f.Result != tt.result || !strings.Contains(f.Found, tt.found) || !strings.Contains(f.Fix, tt.fix) {
				t.Errorf("got %+v, want %s, %q, %q", f, tt.result, tt.found, tt.fix)
			}
			for _, s := range sim.Stacks() {
				if strings.HasSuffix(s.Key, "-doctor") && s.State == "connected" {
					t.Errorf("it left the stack %s", s.Key)
				}
			}
		})
	}
}

// register registers a stack, as a scheduler does.
func register(s *simulator.Simulator, key string) {
	c, err := stacks.New(stacks.Config{Token: stacks.Token(simulator.DefaultAgentToken), Stack: key, Queue: "default", Transport: s.Transport()})
	if err == nil {
		_, err = c.Register(context.Background(), nil)
	}
	if err != nil {
		panic(err)
	}
}

// The rights that are asked for are those of the Roles that are installed.
func TestNeeds(t *testing.T) {
	b, err := os.ReadFile("../../deploy/base/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var installed []right
	for doc := range strings.SplitSeq(string(b), "\n---\n") {
		var role rbacv1.Role
		if err := yaml.UnmarshalStrict([]byte(doc), &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			for _, verb := range rule.Verbs {
				r := right{rule.APIGroups[0], rule.Resources[0], verb, ""}
				if len(rule.ResourceNames) > 0 {
					r.name = rule.ResourceNames[0]
				}
				installed = append(installed, r)
			}
		}
	}
	if diff := cmp.Diff(installed, append(needs(), leaseNeeds("onejob")...), cmp.AllowUnexported(right{})); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func TestOldestKubernetes(t *testing.T) {
	b, err := os.ReadFile("../../deploy/chart/Chart.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if want := `kubeVersion: ">=` + OldestKubernetes + `-0"`; !strings.Contains(string(b), want) {
		t.Errorf("the chart doesn't say %s", want)
	}
}
