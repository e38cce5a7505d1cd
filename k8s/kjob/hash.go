package kjob

import (
	"fmt"
	"hash/fnv"
)

// Hash8 is eight hexadecimal digits that stand for a text.
func Hash8(s string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	return fmt.Sprintf("%08x", h.Sum32())
}
