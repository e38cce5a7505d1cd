package kjob

import (
	"fmt"
	"hash/fnv"
)

// Hash8 is the 32-bit FNV-1a hash of a text, in eight hexadecimal digits. Two texts may
// share a hash.
func Hash8(s string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	return fmt.Sprintf("%08x", h.Sum32())
}
