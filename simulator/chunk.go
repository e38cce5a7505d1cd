package simulator

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// maxLogOffset keeps sums of offset and size far from overflow.
const maxLogOffset = 1 << 40

// chunk is one piece of a job's log. offset counts uncompressed bytes.
type chunk struct {
	sequence, offset uint64
	data             []byte
}

// parseChunk reads a chunk from its query and body. maxSize bounds what is
// decompressed, so that a small body can't fill the memory.
func parseChunk(query url.Values, encoding string, body []byte, maxSize uint64) (*chunk, error) {
	number := func(name string) (uint64, error) {
		n, err := strconv.ParseUint(query.Get(name), 10, 64)
		if err != nil || n > maxLogOffset {
			return 0, fmt.Errorf("%s must be a number of bytes", name)
		}
		return n, nil
	}
	sequence, err := number("sequence")
	if err != nil {
		return nil, err
	}
	offset, err := number("offset")
	if err != nil {
		return nil, err
	}
	size, err := number("size")
	if err != nil {
		return nil, err
	}
	if size > maxSize {
		return nil, fmt.Errorf("size %d is above the maximum of %d", size, maxSize)
	}
	data := body
	if encoding == "gzip" {
		if data, err = gunzip(body, size); err != nil {
			return nil, err
		}
	}
	if uint64(len(data)) != size {
		return nil, fmt.Errorf("size is %d, the body holds %d", size, len(data))
	}
	return &chunk{sequence, offset, data}, nil
}

func gunzip(body []byte, size uint64) ([]byte, error) {
	zr, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("the body is not gzip: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(zr, int64(size)+1))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("unpacking the body: %w", err)
	}
	return data, nil
}

// readChunk unpacks outside the lock.
func (s *Simulator) readChunk(c *call) *reply {
	chunk, err := parseChunk(c.r.URL.Query(), c.r.Header.Get("Content-Encoding"), c.body, s.conf.ChunksMaxSizeBytes)
	if err != nil {
		return failure(http.StatusBadRequest, err.Error())
	}
	c.chunk, c.body = chunk, nil
	return nil
}

func (s *Simulator) saveChunk(c *call) reply {
	j := c.job
	if j.startedAt.IsZero() && j.state == StateAccepted {
		return *failure(http.StatusUnprocessableEntity, "The job has not started")
	}
	book := s.ledger.book(j.id)
	if j.log.has(c.chunk) {
		s.ledger.repeat(c, j.id, opChunk)
	} else if err := j.log.add(c.chunk, s.conf.LogMaxSizeBytes); err != nil {
		s.ledger.accuse(c, LogContradiction, j.id, "%v", err)
		return *failure(http.StatusUnprocessableEntity, err.Error())
	}
	book.mark(opChunk, c.withheld)
	return ok(map[string]any{})
}

// checkLog is done at finish: what arrived must reach from 0 to the end.
func (s *Simulator) checkLog(c *call, j *job) {
	switch {
	case j.failed > 0:
		s.ledger.write(c.now, Entry{JobID: j.id, Event: "log incomplete", Detail: fmt.Sprintf("%d chunks failed", j.failed)}, c)
	case !j.log.complete():
		s.ledger.accuse(c, LogMissing, j.id, "have %s", j.log.ranges())
	}
}

// segment is a run of log bytes. data may be shorter than its extent when the
// log outgrew what is kept.
type segment struct {
	from, to uint64
	data     []byte
}

// jobLog is a log assembled from chunks in any order: segments that neither
// touch nor overlap, in order.
type jobLog struct{ segments []segment }

func (l *jobLog) size() int64 {
	var n uint64
	for _, s := range l.segments {
		n += s.to - s.from
	}
	return int64(n)
}

// complete reports that no byte before the last is missing. What was lost off
// the end can't be seen from here.
func (l *jobLog) complete() bool {
	return len(l.segments) == 0 || len(l.segments) == 1 && l.segments[0].from == 0
}

func (l *jobLog) ranges() string {
	var b bytes.Buffer
	for _, s := range l.segments {
		fmt.Fprintf(&b, "[%d,%d)", s.from, s.to)
	}
	return b.String()
}

// bytes returns the log; gaps are left out.
func (l *jobLog) bytes() []byte {
	var out []byte
	for _, s := range l.segments {
		out = append(out, s.data...)
	}
	return out
}

// has reports whether the very same bytes are there already.
func (l *jobLog) has(c *chunk) bool {
	to := c.offset + uint64(len(c.data))
	for _, s := range l.segments {
		if s.from <= c.offset && to <= s.to {
			return agree(s, c.offset, c.data)
		}
	}
	return false
}

// agree compares data at offset with the part of it that s keeps.
func agree(s segment, offset uint64, data []byte) bool {
	from, to := max(s.from, offset), min(s.from+uint64(len(s.data)), offset+uint64(len(data)))
	if from >= to {
		return true
	}
	return bytes.Equal(s.data[from-s.from:to-s.from], data[from-offset:to-offset])
}

// add takes a chunk in, or returns an error if it contradicts what is there.
func (l *jobLog) add(c *chunk, keep uint64) error {
	from, to := c.offset, c.offset+uint64(len(c.data))
	if from == to {
		return nil
	}
	first := len(l.segments)
	for i, s := range l.segments {
		if s.to >= from {
			first = i
			break
		}
	}
	last := first
	for last < len(l.segments) && l.segments[last].from <= to {
		if s := l.segments[last]; !agree(s, from, c.data) {
			return fmt.Errorf("chunk [%d,%d) contradicts what came before in [%d,%d)", from, to, s.from, s.to)
		}
		last++
	}
	// The usual case appends to the only segment, in place.
	if last == first+1 && l.segments[first].from <= from {
		l.segments[first] = l.segments[first].extend(from, c.data, keep)
		return nil
	}
	merged := segment{from: from, to: from}
	if first < last {
		merged.from = min(from, l.segments[first].from)
		merged.to = merged.from
	}
	pieces := append(slices.Clone(l.segments[first:last]), segment{from, to, c.data})
	slices.SortStableFunc(pieces, func(a, b segment) int {
		switch {
		case a.from < b.from:
			return -1
		case a.from > b.from:
			return 1
		}
		return 0
	})
	for _, p := range pieces {
		merged = merged.extend(p.from, p.data, keep)
		merged.to = max(merged.to, p.to)
	}
	l.segments = slices.Replace(l.segments, first, last, merged)
	return nil
}

// extend appends the part of data that lies beyond s, keeping no byte whose
// offset is keep or more.
func (s segment) extend(offset uint64, data []byte, keep uint64) segment {
	end := offset + uint64(len(data))
	if kept := s.from + uint64(len(s.data)); kept == s.to && end > s.to && s.to < keep {
		s.data = append(s.data, data[s.to-offset:min(end, keep)-offset]...)
	}
	s.to = max(s.to, end)
	return s
}

// Log returns a job's log as far as it arrived.
func (s *Simulator) Log(jobID string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[jobID]
	if j == nil {
		return nil, false
	}
	return j.log.bytes(), true
}

// saveHeaderTimes is sent by agents without ANSI timestamps.
func (s *Simulator) saveHeaderTimes(c *call) reply {
	var req struct {
		Times map[string]string `json:"header_times"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	if c.job.headerTimes == nil {
		c.job.headerTimes = map[string]string{}
	}
	for line, at := range req.Times {
		c.job.headerTimes[line] = at
	}
	return ok(map[string]any{})
}
