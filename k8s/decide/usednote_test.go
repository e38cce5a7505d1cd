package decide

import (
	"reflect"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/contract"
)

func TestUsedNote(t *testing.T) {
	used := []Used{
		{Container: "command", Seconds: 61.5, Use: contract.Use{MemoryPeak: 1 << 30, MemoryLimit: 2 << 30, CPUSeconds: 12.25, Disk: 7}},
		{Container: "command-2", OutOfMemory: true},
	}
	if got := ParseUsedNote(UsedNote(used)); !reflect.DeepEqual(got, used) {
		t.Errorf("read %+v, want %+v", got, used)
	}
	if got := UsedNote(nil); got != "" {
		t.Errorf("nothing is %q", got)
	}
	for i, most := 0, 3*maxUsed; i < most; i++ {
		used = append(used, Used{Container: "c"})
	}
	if got := ParseUsedNote(UsedNote(used)); len(got) != maxUsed {
		t.Errorf("%d containers are read, want %d", len(got), maxUsed)
	}
	for _, text := range []string{"", "{}", "null", "[", `[{"seconds":"x"}]`, `[{"seconds":1e400}]`, strings.Repeat("[", maxUsedNote), "[" + strings.Repeat("{},", maxUsedNote) + "{}]"} {
		if got := ParseUsedNote(text); got != nil {
			t.Errorf("%.20s: %+v", text, got)
		}
	}
}

// Whoever may change a kjob may write the annotation.
func FuzzUsedNote(f *testing.F) {
	f.Add(UsedNote([]Used{{Container: "agent", Seconds: 1, Use: contract.Use{MemoryPeak: 5}}}))
	f.Add(`[{"container":"\u001b[2J","seconds":-1e300,"use":{"memory_peak":-7,"memory_limit":9e99,"cpu_seconds":1e308}}]`)
	f.Add(`[{"use":[]},{"use":null},null]`)
	f.Fuzz(func(t *testing.T, text string) {
		used := ParseUsedNote(text)
		if len(used) > maxUsed {
			t.Errorf("%d containers", len(used))
		}
		for _, u := range used {
			if u.Seconds < 0 || u.Use.MemoryPeak < 0 || u.Throttled() > 1 || u.Container != contract.Word(u.Container) {
				t.Errorf("%+v", u)
			}
			if said := u.String(); said != contract.Sentence(said) {
				t.Errorf("%q", said)
			}
		}
		Matters(used)
	})
}

func TestMatters(t *testing.T) {
	for _, tt := range []struct {
		name string
		used Used
		want bool
	}{
		{"nothing", Used{}, false},
		{"little", Used{Seconds: 60, Use: contract.Use{MemoryPeak: 1, MemoryLimit: 9}}, false},
		{"killed as a whole", Used{OutOfMemory: true}, true},
		{"a process was killed", Used{Use: contract.Use{OOMKills: 1, MemoryLimit: 9}}, true},
		{"throttled", Used{Seconds: 60, Use: contract.Use{CPULimit: 1, ThrottledSeconds: 30}}, true},
		{"near its limit, and waited", Used{Seconds: 60, Use: contract.Use{MemoryPeak: 9, MemoryLimit: 9, MemoryStalled: 30}}, true},
	} {
		if got := Matters([]Used{{}, tt.used}); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}
