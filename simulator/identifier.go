package simulator

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/google/uuid"
)

// newID returns a version 7 UUID: milliseconds, then seeded random bits.
// Callers hold s.mu, or are New.
func (s *Simulator) newID() string {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[0:8], uint64(time.Now().UnixMilli())<<16|s.rng.Uint64()&0xffff)
	binary.BigEndian.PutUint64(id[8:16], s.rng.Uint64())
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// newToken returns a token. Its prefix shows its kind to readers of logs.
func (s *Simulator) newToken(prefix string) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[0:8], s.rng.Uint64())
	binary.BigEndian.PutUint64(b[8:16], s.rng.Uint64())
	return prefix + hex.EncodeToString(b[:])
}

func isUUID(s string) bool {
	return len(s) == 36 && uuid.Validate(s) == nil
}
