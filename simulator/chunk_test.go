package simulator

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

func squeeze(data []byte) []byte {
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	_, _ = zw.Write(data)
	_ = zw.Close()
	return b.Bytes()
}

func TestParseChunk(t *testing.T) {
	good := squeeze([]byte("hello"))
	tests := []struct {
		name, query, encoding string
		body                  []byte
		ok                    bool
	}{
		{"good", "sequence=1&offset=0&size=5", "gzip", good, true},
		{"plain", "sequence=1&offset=0&size=5", "", []byte("hello"), true},
		{"size too small", "sequence=1&offset=0&size=4", "gzip", good, false},
		{"size too big", "sequence=1&offset=0&size=6", "gzip", good, false},
		{"size above the maximum", "sequence=1&offset=0&size=101", "gzip", good, false},
		{"a bomb", "sequence=1&offset=0&size=5", "gzip", squeeze(make([]byte, 1<<20)), false},
		{"no gzip", "sequence=1&offset=0&size=5", "gzip", []byte("hello"), false},
		{"cut gzip", "sequence=1&offset=0&size=5", "gzip", good[:len(good)-9], false},
		{"no offset", "sequence=1&size=5", "gzip", good, false},
		{"negative offset", "sequence=1&offset=-1&size=5", "gzip", good, false},
		{"absurd offset", "sequence=1&offset=18446744073709551615&size=5", "gzip", good, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			query, _ := url.ParseQuery(tt.query)
			c, err := parseChunk(query, tt.encoding, tt.body, 100)
			if (err == nil) != tt.ok {
				t.Fatalf("parseChunk: %v, want ok: %v", err, tt.ok)
			}
			if tt.ok && string(c.data) != "hello" {
				t.Errorf("data = %q", c.data)
			}
		})
	}
}

func TestLogFromChunksInAnyOrder(t *testing.T) {
	text := make([]byte, 1000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range text {
		text[i] = byte(rng.Uint32())
	}
	for round := range 200 {
		var chunks []*chunk
		for at := 0; at < len(text); {
			end := min(at+1+rng.IntN(90), len(text))
			chunks = append(chunks, &chunk{offset: uint64(at), data: text[at:end]})
			// Some chunks overlap the next one, like a retry that was cut differently.
			at = max(end-rng.IntN(5), at+1)
			if end == len(text) {
				break
			}
		}
		chunks = append(chunks, chunks[rng.IntN(len(chunks))]) // one comes twice
		rng.Shuffle(len(chunks), func(i, j int) { chunks[i], chunks[j] = chunks[j], chunks[i] })
		var l jobLog
		for _, c := range chunks {
			if l.has(c) {
				continue
			}
			if err := l.add(c, 1<<20); err != nil {
				t.Fatalf("round %d: add: %v", round, err)
			}
		}
		if !l.complete() || l.size() != int64(len(text)) || !bytes.Equal(l.bytes(), text) {
			t.Fatalf("round %d: complete %v, %d bytes, ranges %s", round, l.complete(), l.size(), l.ranges())
		}
	}
}

func TestLogContradiction(t *testing.T) {
	tests := []struct {
		offset uint64
		data   string
		ok     bool
	}{
		{0, "abcdef", true},
		{3, "def", true},
		{3, "dexx", false},
		{0, "b", false},
		{6, "zz", true},
		{20, "far", true},
		{18, "??f", true},
		{18, "??x", false},
	}
	for i, tt := range tests {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			var l jobLog
			_ = l.add(&chunk{offset: 0, data: []byte("abcdef")}, 100)
			_ = l.add(&chunk{offset: 20, data: []byte("far")}, 100)
			if err := l.add(&chunk{offset: tt.offset, data: []byte(tt.data)}, 100); (err == nil) != tt.ok {
				t.Errorf("add %q at %d: %v, want ok: %v", tt.data, tt.offset, err, tt.ok)
			}
		})
	}
}

func TestLogKeepsNoMoreThanItsMaximum(t *testing.T) {
	var l jobLog
	for i := range 100 {
		if err := l.add(&chunk{offset: uint64(i * 10), data: bytes.Repeat([]byte{byte(i)}, 10)}, 55); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(l.bytes()); got != 55 {
		t.Errorf("%d bytes kept, want 55", got)
	}
	if l.size() != 1000 || !l.complete() {
		t.Errorf("size %d, complete %v; want 1000, true", l.size(), l.complete())
	}
}

func TestCursor(t *testing.T) {
	for _, want := range []uint64{0, 1, 35, 36, 1 << 40} {
		got, err := decodeCursor(encodeCursor(want))
		if err != nil || got != want {
			t.Errorf("cursor of %d = %d, %v", want, got, err)
		}
	}
	for _, bad := range []string{"x", "!", "djI6MQ==", "djE6", "djE6LTE="} {
		if got, err := decodeCursor(bad); err == nil {
			t.Errorf("decodeCursor(%q) = %d, want an error", bad, got)
		}
	}
}

func FuzzCursor(f *testing.F) {
	f.Add("djE6MQ==")
	f.Add(encodeCursor(1 << 60))
	f.Fuzz(func(t *testing.T, cursor string) {
		order, err := decodeCursor(cursor)
		if err != nil || cursor == "" {
			return
		}
		again, err := decodeCursor(encodeCursor(order))
		if err != nil || again != order {
			t.Errorf("%q is %d, again %d, %v", cursor, order, again, err)
		}
	})
}

func FuzzChunk(f *testing.F) {
	f.Add("sequence=1&offset=0&size=5", squeeze([]byte("hello")))
	f.Add("sequence=1&offset=99&size=0", squeeze(nil))
	f.Fuzz(func(t *testing.T, rawQuery string, body []byte) {
		query, err := url.ParseQuery(rawQuery)
		if err != nil {
			return
		}
		c, err := parseChunk(query, "gzip", body, 1<<10)
		if err != nil {
			return
		}
		var l jobLog
		if err := l.add(c, 1<<10); err != nil {
			t.Errorf("the first chunk contradicts nothing: %v", err)
		}
		if len(c.data) > 0 && !l.has(c) {
			t.Error("a chunk that was added is not there")
		}
	})
}

func FuzzPipeline(f *testing.F) {
	f.Add([]byte("steps: [{command: a, retry: {automatic: [{exit_status: [1, 2], signal: kill}]}}, wait]"))
	f.Add([]byte("steps: [{group: g, steps: [{command: a, matrix: [1, 2], depends_on: x}]}]"))
	paths, err := filepath.Glob("testdata/pipelines/*.yml")
	if err != nil || len(paths) == 0 {
		f.Fatal("no pipelines", err)
	}
	for _, path := range paths {
		source, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		sim := New(Config{Downstream: map[string][]byte{"deploy": source}})
		defer sim.Close()
		if _, err := sim.CreateBuild(BuildRequest{Pipeline: source, Interpolate: map[string]string{}, ChangedFiles: []string{"a"}}); err != nil && len(sim.Jobs()) > 0 {
			t.Errorf("a refused build left jobs behind: %v", err)
		}
	})
}

func FuzzPath(f *testing.F) {
	f.Add("/v3/jobs/a%2Eb/annotations/c%2Fd")
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.Parse("http://sim/" + path)
		if err != nil {
			return
		}
		segments, err := splitPath(u)
		if err != nil {
			return
		}
		for _, seg := range segments {
			if seg == "" {
				t.Errorf("%q has an empty segment", path)
			}
		}
	})
}
