package simulator

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/onejob-dev/onejob/assumptions"
)

// maxLogOffset is the largest offset or size, in bytes, so that their sum can't overflow.
const maxLogOffset = 1 << 40

// keptLog is how much of a job's log the Simulator keeps, in bytes.
const keptLog = 16 << 20

// chunk is one piece of a job's log. offset counts uncompressed bytes.
type chunk struct {
	sequence, offset uint64
	data             []byte
}

// parseChunk reads a chunk from its query and body. maxSize bounds the uncompressed bytes, so
// that a small body can't fill the memory.
func parseChunk(query url.Values, encoding string, body []byte, maxSize uint64) (*chunk, error) {
	sequence, err := chunkNumber(query, "sequence")
	if err != nil {
		return nil, err
	}
	offset, err := chunkNumber(query, "offset")
	if err != nil {
		return nil, err
	}
	size, err := chunkNumber(query, "size")
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

func chunkNumber(query url.Values, name string) (uint64, error) {
	n, err := strconv.ParseUint(query.Get(name), 10, 64)
	if err != nil || n > maxLogOffset {
		return 0, fmt.Errorf("%s must be a number of bytes", name)
	}
	return n, nil
}

// chunkEnd is the offset behind a chunk's last byte, by its query.
func chunkEnd(query url.Values) (uint64, error) {
	offset, err := chunkNumber(query, "offset")
	if err != nil {
		return 0, err
	}
	size, err := chunkNumber(query, "size")
	return offset + size, err
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

// readChunk decompresses a chunk, without the lock.
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
	play := s.conf.Profile
	if j.startedAt.IsZero() && j.state == StateAccepted && play.ChunkUnstarted == assumptions.ChunkUnstartedRefused {
		return *failure(http.StatusUnprocessableEntity, "The job has not started")
	}
	end := c.chunk.offset + uint64(len(c.chunk.data))
	if end > s.conf.LogMaxSizeBytes && play.LogBeyondLimit == assumptions.LogBeyondLimitRefused {
		return *failure(http.StatusUnprocessableEntity, "The log is larger than log_max_size_bytes")
	}
	book := s.ledger.book(j.id)
	if j.log.has(c.chunk) {
		s.ledger.repeat(c, j.id, opChunk)
	} else if err := j.log.add(c.chunk, min(s.conf.LogMaxSizeBytes, keptLog)); err != nil {
		s.ledger.accuse(c, LogContradiction, j.id, "%v", err)
		return *failure(http.StatusUnprocessableEntity, err.Error())
	}
	book.mark(opChunk, c.withheld)
	return ok(map[string]any{})
}

// checkLog checks the log at finish. The log must have no gap. If the job ran to its own end,
// the log must also reach the end of all chunks that were sent. (A client may add a remark
// about a job that was cut short, and this remark may get lost.) A client that reports failed
// chunks is excused.
func (s *Simulator) checkLog(c *call, j *job, res result) {
	switch {
	case j.failed > 0:
		s.ledger.write(c.now, Entry{JobID: j.id, Event: "log incomplete", Detail: fmt.Sprintf("%d chunks failed", j.failed)}, c)
	case !j.log.gapless() || res.ofRun() && !j.log.complete():
		s.ledger.accuse(c, LogMissing, j.id, "have %s of %d bytes", j.log.ranges(), j.log.offered)
	}
}

// saveHeaderTimes serves header_times, which agents without ANSI timestamps send.
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
