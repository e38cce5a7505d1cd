package simulator

import (
	"net/http"
	"slices"
	"time"
)

// The only cache registry, by the agent's name for the cluster's own one.
const (
	cacheRegistry = "~"
	cacheStore    = "agent_managed"
	cacheLife     = 14 * 24 * time.Hour
)

// cacheEntry is the record of a cache. The cache's blobs are in the agents' own store
// (BUILDKITE_AGENT_CACHE_STORE_URL).
type cacheEntry struct {
	cacheAddress
	Blobs     []any     `json:"blobs"`
	Store     string    `json:"store"`
	ExpiresAt time.Time `json:"expires_at"`
}

// cacheAddress identifies an entry: a set of paths, and a key of parts.
type cacheAddress struct {
	TargetPaths []string  `json:"target_paths"`
	Key         []keyPart `json:"cache_key"`
}

type keyPart struct {
	Value     string `json:"value"`
	Mandatory bool   `json:"mandatory"`
}

func (a cacheAddress) samePaths(b cacheAddress) bool {
	return slices.Equal(slices.Sorted(slices.Values(a.TargetPaths)), slices.Sorted(slices.Values(b.TargetPaths)))
}

// agree is the number of equal parts at the beginning of both keys.
func (a cacheAddress) agree(b cacheAddress) (n int) {
	for n < min(len(a.Key), len(b.Key)) && a.Key[n].Value == b.Key[n].Value {
		n++
	}
	return n
}

// findCache is the entry at an address, or the newest of those that share the
// longest beginning of its key, all mandatory parts included; nil if there is
// none.
func (s *Simulator) findCache(a cacheAddress, now time.Time) (found *cacheEntry, exact bool) {
	best := 1
	for i, p := range a.Key {
		if p.Mandatory {
			best = i + 1
		}
	}
	for _, e := range s.caches {
		if n := a.agree(e.cacheAddress); a.samePaths(e.cacheAddress) && n >= best && now.Before(e.ExpiresAt) {
			found, best = e, n
		}
	}
	return found, found != nil && found.at(a)
}

func (e *cacheEntry) at(a cacheAddress) bool {
	return e.samePaths(a) && len(e.Key) == len(a.Key) && e.agree(a) == len(a.Key)
}

// dropCaches deletes the entry at an address, and all expired entries.
func (s *Simulator) dropCaches(a cacheAddress, now time.Time) {
	s.caches = slices.DeleteFunc(s.caches, func(e *cacheEntry) bool { return e.at(a) || !now.Before(e.ExpiresAt) })
}

func (s *Simulator) showCacheRegistry(c *call) reply {
	if rep := knownRegistry(c); rep != nil {
		return *rep
	}
	return ok(map[string]any{"uuid": s.cluster, "name": cacheRegistry, "store": cacheStore})
}

func knownRegistry(c *call) *reply {
	if c.params["registry"] != cacheRegistry {
		return failure(http.StatusNotFound, "Cache registry not found")
	}
	return nil
}

// address reads a call's body into into, which contains a, and checks the registry and a.
func (c *call) address(a *cacheAddress, into any) *reply {
	if rep := knownRegistry(c); rep != nil {
		return rep
	}
	if rep := c.decode(into); rep != nil {
		return rep
	}
	if len(a.TargetPaths) == 0 || len(a.Key) == 0 {
		return failure(http.StatusBadRequest, "target_paths and cache_key can't be empty")
	}
	return nil
}

func (s *Simulator) peekCache(c *call) reply {
	var a cacheAddress
	if rep := c.address(&a, &a); rep != nil {
		return *rep
	}
	e, exact := s.findCache(a, c.now)
	if !exact {
		return *failure(http.StatusNotFound, "Cache entry not found")
	}
	return ok(e)
}

func (s *Simulator) retrieveCache(c *call) reply {
	var a cacheAddress
	if rep := c.address(&a, &a); rep != nil {
		return *rep
	}
	e, exact := s.findCache(a, c.now)
	if e == nil {
		return *failure(http.StatusNotFound, "Cache entry not found")
	}
	return ok(struct {
		*cacheEntry
		Fallback bool `json:"fallback"`
	}{e, !exact})
}

func (s *Simulator) expireCache(c *call) reply {
	var a cacheAddress
	if rep := c.address(&a, &a); rep != nil {
		return *rep
	}
	s.dropCaches(a, c.now)
	return ok(map[string]any{})
}

// storeCache begins an entry. The agent puts the entry's blobs into the store and then calls
// commitCache.
func (s *Simulator) storeCache(c *call) reply {
	e := new(cacheEntry)
	if rep := c.address(&e.cacheAddress, e); rep != nil {
		return *rep
	}
	if len(e.Blobs) == 0 {
		return *failure(http.StatusBadRequest, "blobs can't be empty")
	}
	id := s.newID()
	e.Store = cacheStore
	s.cacheUploads[id] = e
	return ok(map[string]any{"upload_id": id, "multipart": false, "upload_instructions": []string{}})
}

func (s *Simulator) commitCache(c *call) reply {
	if rep := knownRegistry(c); rep != nil {
		return *rep
	}
	var req struct {
		UploadID string `json:"upload_id"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	e := s.cacheUploads[req.UploadID]
	if e == nil {
		return *failure(http.StatusNotFound, "Cache entry not found")
	}
	delete(s.cacheUploads, req.UploadID)
	s.dropCaches(e.cacheAddress, c.now)
	e.ExpiresAt = c.now.Add(cacheLife)
	s.caches = append(s.caches, e)
	return ok(map[string]any{"message": "Cache entry committed"})
}
