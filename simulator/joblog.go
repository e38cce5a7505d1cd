package simulator

import (
	"bytes"
	"fmt"
	"slices"
)

// segment is the log's bytes from from to to. data is shorter if the log is longer than the
// limit of bytes that are kept.
type segment struct {
	from, to uint64
	data     []byte
}

// jobLog is a log assembled from chunks in any order: segments that neither
// touch nor overlap, in order.
type jobLog struct {
	segments []segment
	offered  uint64 // the end of the log by all chunks that were sent, accepted or not
}

func (l *jobLog) size() int64 {
	var n uint64
	for _, s := range l.segments {
		n += s.to - s.from
	}
	return int64(n)
}

// gapless reports whether no byte before the last is missing.
func (l *jobLog) gapless() bool {
	return len(l.segments) == 0 || len(l.segments) == 1 && l.segments[0].from == 0
}

// complete reports whether the log has every byte that the client ever sent. The Simulator
// can't see bytes that the client dropped before sending.
func (l *jobLog) complete() bool {
	end := uint64(0)
	if n := len(l.segments); n > 0 {
		end = l.segments[n-1].to
	}
	return l.gapless() && end >= l.offered
}

func (l *jobLog) ranges() string {
	var b bytes.Buffer
	for _, s := range l.segments {
		fmt.Fprintf(&b, "[%d,%d)", s.from, s.to)
	}
	return b.String()
}

// bytes returns the log without its gaps.
func (l *jobLog) bytes() []byte {
	var out []byte
	for _, s := range l.segments {
		out = append(out, s.data...)
	}
	return out
}

// has reports whether the log has the chunk's bytes already.
func (l *jobLog) has(c *chunk) bool {
	to := c.offset + uint64(len(c.data))
	for _, s := range l.segments {
		if s.from <= c.offset && to <= s.to {
			return agree(s, c.offset, c.data)
		}
	}
	return false
}

// agree reports whether data at offset equals the bytes that s keeps there.
func agree(s segment, offset uint64, data []byte) bool {
	from, to := max(s.from, offset), min(s.from+uint64(len(s.data)), offset+uint64(len(data)))
	if from >= to {
		return true
	}
	return bytes.Equal(s.data[from-s.from:to-s.from], data[from-offset:to-offset])
}

// add adds a chunk, and keeps no byte whose offset is keep or more. It returns an error if
// the chunk contradicts the log.
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

// Log returns a job's log as far as it arrived, without gaps. The bool reports whether the
// job exists.
func (s *Simulator) Log(jobID string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[jobID]
	if j == nil {
		return nil, false
	}
	return j.log.bytes(), true
}
