package simulator_test

import (
	"testing"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/simulator"
)

// TestCacheRegistry finds caches with the real client; TestStockAgentRunsJobs runs the agent's
// commands.
func TestCacheRegistry(t *testing.T) {
	l := newLab(t, simulator.Config{})
	_, ids := l.build(`steps: [{command: a}]`)
	_, c := l.start(ids[0])
	ctx := t.Context()
	key := func(values ...string) (parts []api.CacheKeyPart) { // the first is mandatory
		for i, v := range values {
			parts = append(parts, api.CacheKeyPart{Value: v, Mandatory: i == 0})
		}
		return parts
	}
	save := func(digest string, paths []string, k []api.CacheKeyPart) {
		t.Helper()
		e, _, err := c.CacheEntryCreate(ctx, "~", api.CacheEntryCreateReq{TargetPaths: paths, CacheKey: k, Blobs: []api.CacheBlob{{Digest: api.CacheDigest{Algorithm: "sha256", Value: digest}}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, exists, _, err := c.CacheEntryPeekExists(ctx, "~", api.CacheEntryPeekReq{TargetPaths: paths, CacheKey: k}); exists || err != nil {
			t.Errorf("before its commit it exists: %v, %v", exists, err)
		}
		if _, _, err := c.CacheEntryCommit(ctx, "~", api.CacheEntryCommitReq{UploadID: e.UploadID}); err != nil {
			t.Fatal(err)
		}
	}
	paths := []string{"a", "b"}
	save("old", paths, key("go", "linux", "1"))
	save("new", paths, key("go", "linux", "2"))
	save("mac", paths, key("go", "darwin", "1"))

	for _, tt := range []struct {
		name     string
		paths    []string
		key      []api.CacheKeyPart
		want     string // empty: a miss
		fallback bool
	}{
		{"exact", paths, key("go", "linux", "1"), "old", false},
		{"paths in another order", []string{"b", "a"}, key("go", "linux", "1"), "old", false},
		{"the newest of the longest beginning", paths, key("go", "linux", "3"), "new", true},
		{"a shorter beginning", paths, key("go", "plan9", "1"), "mac", true},
		{"the mandatory part is another", paths, key("node", "linux", "1"), "", false},
		{"other paths", []string{"a"}, key("go", "linux", "1"), "", false},
	} {
		got, exists, _, err := c.CacheEntryRetrieve(ctx, "~", api.CacheEntryRetrieveReq{TargetPaths: tt.paths, CacheKey: tt.key})
		if err != nil || exists != (tt.want != "") || got.Fallback != tt.fallback || exists && (got.Blobs[0].Digest.Value != tt.want || time.Until(got.ExpiresAt) < time.Hour) {
			t.Errorf("%s: %+v, %v, want %q", tt.name, got, err, tt.want)
		}
		_, exists, _, err = c.CacheEntryPeekExists(ctx, "~", api.CacheEntryPeekReq{TargetPaths: tt.paths, CacheKey: tt.key})
		if err != nil || exists != (tt.want != "" && !tt.fallback) {
			t.Errorf("%s: a peek says %v, %v", tt.name, exists, err)
		}
	}

	if _, err := c.CacheEntryExpire(ctx, "~", api.CacheEntryExpireReq{TargetPaths: paths, CacheKey: key("go", "linux", "2")}); err != nil {
		t.Error(err)
	}
	if got, _, _, err := c.CacheEntryRetrieve(ctx, "~", api.CacheEntryRetrieveReq{TargetPaths: paths, CacheKey: key("go", "linux", "2")}); err != nil || got.Blobs[0].Digest.Value != "old" {
		t.Errorf("after it expired: %+v, %v", got, err)
	}
	if _, _, err := c.CacheEntryCommit(ctx, "~", api.CacheEntryCommitReq{UploadID: "nothing"}); err == nil {
		t.Error("what was never begun is committed")
	}
	if _, _, err := c.CacheRegistry(ctx, "another"); err == nil {
		t.Error("there is another registry")
	}
	l.wantNoViolations()
}
