package decide

import (
	"encoding/json"
	"math"

	"github.com/onejob-dev/onejob/contract"
)

// maxUsedNote bounds the annotation that is read: whoever may change a kjob can write it.
const maxUsedNote = 16 << 10

// UsedNote is what contract.AnnotationUsed is to say of containers; empty if there is
// nothing to say.
func UsedNote(used []Used) string {
	if len(used) == 0 {
		return ""
	}
	b, err := json.Marshal(used)
	if err != nil || len(b) > maxUsedNote {
		return "" // a number that is none; nobody would read more
	}
	return string(b)
}

// ParseUsedNote reads a UsedNote. Of another text it takes nothing.
func ParseUsedNote(annotation string) (used []Used) {
	if annotation == "" || len(annotation) > maxUsedNote || json.Unmarshal([]byte(annotation), &used) != nil {
		return nil
	}
	used = used[:min(len(used), maxUsed)]
	for i := range used {
		u := &used[i]
		u.Container, u.Seconds = contract.Word(u.Container), min(max(u.Seconds, 0), math.MaxInt32)
	}
	return used
}

// Matters: a container had too little of something.
func Matters(used []Used) bool {
	for _, u := range used {
		if _, text := u.verdict(); text != "" || u.OutOfMemory {
			return true
		}
	}
	return false
}
