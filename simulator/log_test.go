package simulator_test

import (
	"testing"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/simulator"
)

func TestLogAtFinish(t *testing.T) {
	put := func(l *lab, client *api.Client, id string, offset uint64, data string) int {
		l.Helper()
		resp, err := client.UploadChunk(l.Context(), id, &api.Chunk{Sequence: 1, Offset: offset, Size: uint64(len(data)), Data: []byte(data)})
		return status(l.T, resp, err)
	}
	finish := func(l *lab, client *api.Client, job *api.Job) {
		l.Helper()
		job.ExitStatus = "0"
		if _, err := client.FinishJob(l.Context(), job, nil); err != nil {
			l.Fatal(err)
		}
	}
	tests := []struct {
		name string
		act  func(l *lab, client *api.Client, job *api.Job)
		want string // a violation, or none
	}{
		{"whole", func(l *lab, client *api.Client, job *api.Job) {
			put(l, client, job.ID, 3, "def")
			put(l, client, job.ID, 0, "abc")
			finish(l, client, job)
		}, ""},
		{"none at all", finish, ""},
		{"a gap", func(l *lab, client *api.Client, job *api.Job) {
			put(l, client, job.ID, 0, "abc")
			put(l, client, job.ID, 4, "def")
			finish(l, client, job)
		}, simulator.LogMissing},
		{"the beginning is missing", func(l *lab, client *api.Client, job *api.Job) {
			put(l, client, job.ID, 1, "abc")
			finish(l, client, job)
		}, simulator.LogMissing},
		{"a gap that is owned up to", func(l *lab, client *api.Client, job *api.Job) {
			put(l, client, job.ID, 4, "def")
			job.ChunksFailedCount = 1
			finish(l, client, job)
		}, ""},
		{"the end is missing", func(l *lab, client *api.Client, job *api.Job) {
			put(l, client, job.ID, 0, "abc")
			l.AddFault(simulator.Fault{Endpoint: "chunks", Status: 503, Times: 1})
			put(l, client, job.ID, 3, "def")
			finish(l, client, job)
		}, simulator.LogMissing},
		{"all of it is missing", func(l *lab, client *api.Client, job *api.Job) {
			l.AddFault(simulator.Fault{Endpoint: "chunks", Status: 503, Times: 1})
			put(l, client, job.ID, 0, "abc")
			finish(l, client, job)
		}, simulator.LogMissing},
		{"a last remark is missing", func(l *lab, client *api.Client, job *api.Job) {
			put(l, client, job.ID, 0, "abc")
			l.AddFault(simulator.Fault{Endpoint: "chunks", Status: 503, Times: 1})
			put(l, client, job.ID, 3, "def")
			job.SignalReason = "agent_stop"
			finish(l, client, job)
		}, ""},
		{"an end that came at last", func(l *lab, client *api.Client, job *api.Job) {
			l.AddFault(simulator.Fault{Endpoint: "chunks", Status: 503, Times: 1})
			put(l, client, job.ID, 0, "abc")
			put(l, client, job.ID, 0, "abc")
			finish(l, client, job)
		}, ""},
		{"two truths", func(l *lab, client *api.Client, job *api.Job) {
			put(l, client, job.ID, 0, "abc")
			if got := put(l, client, job.ID, 0, "abd"); got != 422 {
				l.Errorf("chunk that contradicts: %d, want 422", got)
			}
			finish(l, client, job)
		}, simulator.LogContradiction},
		{"after the end", func(l *lab, client *api.Client, job *api.Job) {
			finish(l, client, job)
			if got := put(l, client, job.ID, 0, "abc"); got != 401 {
				l.Errorf("chunk after finish: %d, want 401", got)
			}
		}, simulator.ChunkAfterFinish},
		{"a repeat after the end", func(l *lab, client *api.Client, job *api.Job) {
			put(l, client, job.ID, 0, "abc")
			finish(l, client, job)
			put(l, client, job.ID, 0, "abc")
		}, ""},
		{"a lost reply", func(l *lab, client *api.Client, job *api.Job) {
			l.AddFault(simulator.Fault{Endpoint: "chunks", Reset: "after", Times: 1})
			_, _ = client.UploadChunk(l.Context(), job.ID, &api.Chunk{Size: 3, Data: []byte("abc")})
			put(l, client, job.ID, 0, "abc")
			finish(l, client, job)
			if all, provoked := l.Repeats(); all != 1 || provoked != 1 {
				l.Errorf("repeats = %d, %d provoked; want 1, 1", all, provoked)
			}
		}, ""},
		{"too big a chunk", func(l *lab, client *api.Client, job *api.Job) {
			if got := put(l, client, job.ID, 0, string(make([]byte, 200_000))); got != 400 {
				l.Errorf("chunk above the maximum: %d, want 400", got)
			}
			finish(l, client, job)
		}, simulator.LogMissing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, simulator.Config{})
			_, ids := l.build(`steps: [{command: a}]`)
			job, client := l.start(ids[0])
			tt.act(l, client, job)
			if tt.want != "" {
				l.wantViolation(tt.want)
				return
			}
			l.wantNoViolations()
		})
	}
}

func TestHeaderTimes(t *testing.T) {
	l := newLab(t, simulator.Config{})
	_, ids := l.build(`steps: [{command: a}]`)
	_, client := l.start(ids[0])
	for _, times := range []map[string]string{{"0": "2026-01-01T00:00:00Z"}, {"1": "2026-01-01T00:00:01Z"}} {
		if _, err := client.SaveHeaderTimes(t.Context(), ids[0], &api.HeaderTimes{Times: times}); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(l.job(ids[0]).HeaderTimes); got != 2 {
		t.Errorf("%d header times, want 2", got)
	}
}
