package simulator_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buildkite/stacksapi"
	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/simulator"
)

func registration(key string) stacksapi.RegisterStackRequest {
	return stacksapi.RegisterStackRequest{Key: key, Type: stacksapi.StackTypeCustom, QueueKey: "_default", Metadata: map[string]string{"version": "1"}}
}

func (l *lab) stack(key string) *stacksapi.Client {
	l.Helper()
	client := l.stacks(simulator.DefaultAgentToken)
	if _, _, err := client.RegisterStack(l.Context(), registration(key)); err != nil {
		l.Fatalf("RegisterStack: %v", err)
	}
	return client
}

func list(l *lab, client *stacksapi.Client, key string, size int, cursor string) *stacksapi.ListScheduledJobsResponse {
	l.Helper()
	page, _, err := client.ListScheduledJobs(l.Context(), stacksapi.ListScheduledJobsRequest{
		StackKey: key, ClusterQueueKey: stacksapi.DefaultQueue, PageSize: size, StartCursor: cursor})
	if err != nil {
		l.Fatalf("ListScheduledJobs: %v", err)
	}
	return page
}

func idsOf(jobs []stacksapi.ScheduledJob) []string {
	ids := []string{}
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	return ids
}

func TestStackRegister(t *testing.T) {
	l := newLab(t, simulator.Config{MaxStacks: 2, Queues: []string{"default", "big"}})
	client := l.stacks(simulator.DefaultAgentToken)
	tests := []struct {
		name   string
		change func(*stacksapi.RegisterStackRequest)
		want   int
	}{
		{"good", func(*stacksapi.RegisterStackRequest) {}, 200},
		{"again", func(*stacksapi.RegisterStackRequest) {}, 200},
		{"no queue", func(r *stacksapi.RegisterStackRequest) { r.QueueKey = "" }, 422},
		{"unknown queue", func(r *stacksapi.RegisterStackRequest) { r.QueueKey = "nope" }, 404},
		{"the docs' default queue", func(r *stacksapi.RegisterStackRequest) { r.QueueKey = "__default__" }, 200},
		{"bad key", func(r *stacksapi.RegisterStackRequest) { r.Key = "a.b" }, 422},
		{"long key", func(r *stacksapi.RegisterStackRequest) { r.Key = strings.Repeat("a", 81) }, 422},
		{"bad type", func(r *stacksapi.RegisterStackRequest) { r.Type = "nomad" }, 422},
		{"no metadata", func(r *stacksapi.RegisterStackRequest) { r.Metadata = nil }, 422},
		{"long metadata", func(r *stacksapi.RegisterStackRequest) { r.Metadata = map[string]string{"a": strings.Repeat("b", 257)} }, 422},
		{"second", func(r *stacksapi.RegisterStackRequest) { r.Key = "second" }, 200},
		{"one too many", func(r *stacksapi.RegisterStackRequest) { r.Key = "third" }, 403},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := registration("stack_1")
			tt.change(&req)
			reply, _, err := client.RegisterStack(t.Context(), req)
			if got := stackStatus(t, err); got != tt.want {
				t.Errorf("status = %d, want %d", got, tt.want)
			}
			if err == nil && (reply.ClusterQueueKey != "default" || reply.State != stacksapi.StackStateConnected || reply.LastConnectedOn == nil) {
				t.Errorf("reply = %+v", reply)
			}
		})
	}
	_, _, err := l.stacks("nonsense").RegisterStack(t.Context(), registration("x"))
	if got := stackStatus(t, err); got != http.StatusUnauthorized {
		t.Errorf("wrong token: %d, want 401", got)
	}
	if _, err := client.DeregisterStack(t.Context(), "second"); err != nil {
		t.Errorf("DeregisterStack: %v", err)
	}
	_, _, err = client.GetJobStates(t.Context(), stacksapi.GetJobStatesRequest{StackKey: "second", JobUUIDs: []string{}})
	if got := stackStatus(t, err); got != http.StatusNotFound {
		t.Errorf("after deregister: %d, want 404", got)
	}
}

func TestStackListsInPages(t *testing.T) {
	l := newLab(t, simulator.Config{RateLimits: simulator.RateLimits{Disabled: true}})
	_, ids := l.build(`steps: [{command: a, parallelism: 7, priority: 5, key: p, agents: {queue: default, size: big}}, {command: other, agents: ["queue=other"]}]`)
	ids = ids[:7]
	client := l.stack("s")

	var got []string
	cursor := ""
	for range 10 {
		page := list(l, client, "s", 3, cursor)
		got = append(got, idsOf(page.Jobs)...)
		cursor = page.PageInfo.EndCursor
		if !page.PageInfo.HasNextPage {
			break
		}
	}
	if diff := cmp.Diff(ids, got); diff != "" {
		t.Errorf("pages differ from the order of scheduling (-want +got):\n%s", diff)
	}
	page := list(l, client, "s", 1, "")
	j := page.Jobs[0]
	if j.Priority != 5 || j.Step.Key != "p" || j.Build.Number != 1 || j.Pipeline.Slug != "demo" || j.ScheduledAt.IsZero() {
		t.Errorf("job = %+v", j)
	}
	if want := []string{"queue=default", "size=big"}; !slices.Equal(j.AgentQueryRules, want) {
		t.Errorf("rules = %v, want %v", j.AgentQueryRules, want)
	}

	// A job that names no queue is in the default queue, and its rules may lack the queue.
	// The rules are never null.
	_, named := l.build(`steps: [{command: a}, {command: b, agents: {gpu: "", arch: null}}]`)
	for _, j := range list(l, client, "s", 100, "").Jobs {
		want := map[string][]string{named[0]: {}, named[1]: {"arch=", "gpu="}}[j.ID]
		if slices.Contains(named, j.ID) && (j.AgentQueryRules == nil || !slices.Equal(j.AgentQueryRules, want)) {
			t.Errorf("rules without a queue = %#v, want %#v", j.AgentQueryRules, want)
		}
	}

	// A cursor names a place, so it stays valid when its job goes.
	first := list(l, client, "s", 2, "")
	l.run(ids[1], "0")
	second := list(l, client, "s", 2, first.PageInfo.EndCursor)
	if want := ids[2:4]; !slices.Equal(idsOf(second.Jobs), want) {
		t.Errorf("behind the cursor: %v, want %v", idsOf(second.Jobs), want)
	}

	if err := l.SetQueuePaused("default", true); err != nil {
		t.Fatal(err)
	}
	if page := list(l, client, "s", 1, ""); !page.ClusterQueue.Paused {
		t.Error("paused is false on a paused queue")
	}
	if body := get(t, l, "/v3/stacks/s/scheduled-jobs?queue_key=__default__"); !strings.Contains(body, `"dispatch_paused":true`) {
		t.Errorf("no dispatch_paused in %s", body)
	}
	for _, query := range []string{"limit=0&queue_key=default", "limit=x&queue_key=default", "after=%21&queue_key=default", "after=djE6enp6&limit=1", ""} {
		if resp := do(t, l, http.MethodGet, "/v3/stacks/s/scheduled-jobs?"+query, ""); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("?%s: %d, want 400", query, resp.StatusCode)
		}
	}
}

func do(t *testing.T, l *lab, method, path, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, l.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+simulator.DefaultAgentToken)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func get(t *testing.T, l *lab, path string) string {
	t.Helper()
	resp := do(t, l, http.MethodGet, path, "")
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestStackReserves(t *testing.T) {
	l := newLab(t, simulator.Config{})
	_, ids := l.build(`steps: [{command: a}, {command: b}, {command: c}, wait, {command: d}]`)
	client, rival := l.stack("s"), l.stack("rival")
	reserve := func(client *stacksapi.Client, key string, seconds int, ids ...string) *stacksapi.BatchReserveJobsResponse {
		t.Helper()
		reply, _, err := client.BatchReserveJobs(t.Context(), stacksapi.BatchReserveJobsRequest{StackKey: key, JobUUIDs: ids, ReservationExpirySeconds: seconds})
		if err != nil {
			t.Fatalf("BatchReserveJobs: %v", err)
		}
		return reply
	}
	got := reserve(client, "s", 600, ids[0], ids[1], ids[3], "018f0000-0000-7000-8000-000000000001")
	want := &stacksapi.BatchReserveJobsResponse{Reserved: ids[:2], NotReserved: []string{ids[3], "018f0000-0000-7000-8000-000000000001"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reserve (-want +got):\n%s", diff)
	}
	if got := reserve(rival, "rival", 0, ids[0]); len(got.Reserved) != 0 {
		t.Error("two stacks reserved one job")
	}
	if got := reserve(client, "s", 600, ids[0]); len(got.Reserved) != 1 {
		t.Error("a reservation can't be extended")
	}
	if got := idsOf(list(l, client, "s", 0, "").Jobs); !slices.Equal(got, ids[2:3]) {
		t.Errorf("listed %v, want only the job that isn't reserved", got)
	}
	states, _, err := client.GetJobStates(t.Context(), stacksapi.GetJobStatesRequest{StackKey: "s", JobUUIDs: ids})
	if err != nil {
		t.Fatal(err)
	}
	wantStates := map[string]string{ids[0]: "reserved", ids[1]: "reserved", ids[2]: "scheduled", ids[3]: "waiting"}
	if diff := cmp.Diff(wantStates, states.States); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	// Any agent can acquire a reserved job by its ID.
	l.run(ids[0], "0")

	job, _, err := client.GetJob(t.Context(), stacksapi.GetJobRequest{StackKey: "s", JobUUID: ids[1]})
	if err != nil || job.Command != "b" || job.Env["BUILDKITE_JOB_ID"] != ids[1] {
		t.Errorf("GetJob = %+v, %v", job, err)
	}
	_, _, err = client.BatchReserveJobs(t.Context(), stacksapi.BatchReserveJobsRequest{StackKey: "s", JobUUIDs: ids, ReservationExpirySeconds: 3601})
	if got := stackStatus(t, err); got != http.StatusBadRequest {
		t.Errorf("an hour and a second: %d, want 400", got)
	}
	_, _, err = client.BatchReserveJobs(t.Context(), stacksapi.BatchReserveJobsRequest{StackKey: "s", JobUUIDs: make([]string, 1001)})
	if got := stackStatus(t, err); got != http.StatusBadRequest {
		t.Errorf("1001 jobs: %d, want 400", got)
	}
}

// A scheduler's jobs may change without any call of the scheduler.
func TestStackIsSurprised(t *testing.T) {
	l := newLab(t, simulator.Config{})
	b, ids := l.build(`steps: [{command: a}, {command: b, retry: {automatic: true}}, {command: c}]`)
	client := l.stack("s")
	lapsed, expired, again := ids[0], ids[1], ids[2]
	if _, _, err := client.BatchReserveJobs(t.Context(), stacksapi.BatchReserveJobsRequest{StackKey: "s", JobUUIDs: ids}); err != nil {
		t.Fatal(err)
	}
	l.run(again, "0")
	for _, err := range []error{l.LapseReservation(lapsed), l.TimeOutJob(expired), l.OfferAgain(again)} {
		if err != nil {
			t.Error(err)
		}
	}
	if got := idsOf(list(l, client, "s", 0, "").Jobs); !slices.Equal(got, []string{lapsed, again}) {
		t.Errorf("listed %v, want %v", got, []string{lapsed, again})
	}
	l.wantState(expired, simulator.StateExpired)
	for _, err := range []error{l.LapseReservation(lapsed), l.TimeOutJob(expired), l.OfferAgain(again)} {
		if err == nil {
			t.Error("a second time is accepted")
		}
	}
	l.wantNoViolations()
	l.run(lapsed, "0")
	l.run(again, "0")
	l.wantViolation(simulator.AcquiredTwice)
	if b, _ := l.Build(b.Number); b.State != simulator.BuildFailed {
		t.Errorf("the build is %s with an expired job, want failed", b.State)
	}
}

func TestStackFinishes(t *testing.T) {
	l := newLab(t, simulator.Config{})
	_, ids := l.build(`steps: [{command: a, retry: {automatic: {signal_reason: stack_error}}}, {command: b}, wait, {command: c}]`)
	client := l.stack("s")
	finish := func(id string, exit int, detail string) int {
		t.Helper()
		_, err := client.FinishJob(t.Context(), stacksapi.FinishJobRequest{StackKey: "s", JobUUID: id, ExitStatus: exit, Detail: detail})
		return stackStatus(t, err)
	}
	l.start(ids[1])
	tests := []struct {
		name   string
		id     string
		exit   int
		detail string
		want   int
	}{
		{"no detail", ids[0], -1, "", 422},
		{"running", ids[1], -1, "no", 422},
		{"waiting", ids[2], -1, "no", 422},
		{"unknown", "018f0000-0000-7000-8000-000000000001", -1, "no", 404},
		{"omitted status", ids[0], 0, "image pull failed", 200},
		{"twice", ids[0], 0, "image pull failed", 422},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := finish(tt.id, tt.exit, tt.detail); got != tt.want {
				t.Errorf("status = %d, want %d", got, tt.want)
			}
		})
	}
	j := l.job(ids[0])
	if j.ExitStatus != "-1" || j.SignalReason != "stack_error" || j.StackFinish == nil || j.StackFinish.Detail != "image pull failed" {
		t.Errorf("job = %+v", j)
	}
	if j.RetriedBy == "" {
		t.Error("not retried by its rule for stack_error")
	}
	if resp := do(t, l, http.MethodPost, "/v3/stacks/s/jobs/"+j.RetriedBy+"/finish", `{"exit_status":0,"detail":"nothing to do"}`); resp.StatusCode != 200 {
		t.Errorf("finish with 0: %d", resp.StatusCode)
	}
	if j := l.job(j.RetriedBy); !j.Passed {
		t.Errorf("job = %+v, want it passed", j)
	}
}

func TestStackNotifies(t *testing.T) {
	l := newLab(t, simulator.Config{})
	_, ids := l.build(`steps: [{command: a}, {command: b}]`)
	client := l.stack("s")
	var batch []stacksapi.StackNotification
	for i := range 101 {
		batch = append(batch, stacksapi.StackNotification{JobUUID: ids[0], Detail: fmt.Sprint("note ", i)})
	}
	batch = append(batch,
		stacksapi.StackNotification{JobUUID: ids[1], Detail: ""},
		stacksapi.StackNotification{JobUUID: ids[1], Detail: strings.Repeat("é", 257)},
		stacksapi.StackNotification{JobUUID: ids[1], Detail: strings.Repeat("é", 256)},
		stacksapi.StackNotification{JobUUID: ids[1], Detail: "later", Timestamp: time.Now().Add(time.Hour)},
		stacksapi.StackNotification{JobUUID: "nobody", Detail: "x"},
		stacksapi.StackNotification{JobUUID: "nobody", Detail: "y"},
	)
	reply, _, err := client.CreateStackNotifications(t.Context(), stacksapi.CreateStackNotificationsRequest{StackKey: "s", Notifications: batch})
	if err != nil {
		t.Fatal(err)
	}
	want := []stacksapi.StackNotificationError{
		{Error: "job stack notification count exceeded", Indexes: []int{100}},
		{Error: "detail is required", Indexes: []int{101}},
		{Error: "detail is too long (maximum is 256 characters)", Indexes: []int{102}},
		{Error: "timestamp can't be in the future", Indexes: []int{104}},
		{Error: "job not found", Indexes: []int{105, 106}},
	}
	if diff := cmp.Diff(want, reply.Errors); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	if got := len(l.job(ids[0]).Notifications); got != 100 {
		t.Errorf("%d notifications, want 100", got)
	}
	_, _, err = client.CreateStackNotifications(t.Context(), stacksapi.CreateStackNotificationsRequest{StackKey: "s", Notifications: make([]stacksapi.StackNotification, 1001)})
	if got := stackStatus(t, err); got != http.StatusBadRequest {
		t.Errorf("1001 notifications: %d, want 400", got)
	}
}

func TestRateLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Config{})
		defer sim.Close()
		client := &http.Client{Transport: sim.Transport()}
		call := func(method, path, body string) *http.Response {
			req, _ := http.NewRequest(method, "http://sim/v3/stacks/"+path, strings.NewReader(body))
			req.Header.Set("Authorization", "Token "+simulator.DefaultAgentToken)
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		for _, key := range []string{"a", "b"} {
			call("POST", "register", `{"key":"`+key+`","type":"custom","queue_key":"default","metadata":{}}`)
		}
		for i := range 10 {
			resp := call("GET", "a/scheduled-jobs?queue_key=default", "")
			got := []string{resp.Header.Get("RateLimit-Scope"), resp.Header.Get("RateLimit-Limit"), resp.Header.Get("RateLimit-Remaining"), resp.Header.Get("RateLimit-Reset")}
			if diff := cmp.Diff([]string{"list-scheduled-jobs", "10", fmt.Sprint(9 - i), "1"}, got); diff != "" || resp.StatusCode != 200 {
				t.Errorf("call %d: %d (-want +got):\n%s", i, resp.StatusCode, diff)
			}
			time.Sleep(50 * time.Millisecond)
		}
		resp := call("GET", "a/scheduled-jobs?queue_key=default", "")
		body, _ := io.ReadAll(resp.Body)
		want := `{"current":11,"limit":10,"message":"You have exceeded your API rate limit. Please wait 1 seconds before making more requests.","reset":1,"scope":"list-scheduled-jobs"}`
		if resp.StatusCode != 429 || string(body) != want {
			t.Errorf("call 11: %d %s", resp.StatusCode, body)
		}
		if resp := call("GET", "b/scheduled-jobs?queue_key=default", ""); resp.StatusCode != 200 {
			t.Errorf("another stack: %d, want 200", resp.StatusCode)
		}
		if resp := call("POST", "a/jobs/get-states", `{"job_uuids":[]}`); resp.StatusCode != 200 || resp.Header.Get("RateLimit-Limit") != "20" {
			t.Errorf("another endpoint: %d, limit %s", resp.StatusCode, resp.Header.Get("RateLimit-Limit"))
		}
		time.Sleep(500 * time.Millisecond) // a second after the first call
		if resp := call("GET", "a/scheduled-jobs?queue_key=default", ""); resp.StatusCode != 200 {
			t.Errorf("when the window has moved on: %d, want 200", resp.StatusCode)
		}
	})
}
