package operate

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

const mib = 1 << 20

// ran is a row of a job whose command's container used that.
func ran(pipeline, step, kjob string, u decide.Used) Row {
	return Row{Namespace: "builds", Pipeline: pipeline, Step: step, KJob: kjob, Pod: kjob + "-x", Used: []decide.Used{u}}
}

func TestSizes(t *testing.T) {
	var rows []Row
	for i := range 10 {
		rows = append(rows, ran("app", "test", "t"+string(rune('0'+i)), decide.Used{
			Container: "agent", Seconds: 100, Use: contract.Use{MemoryPeak: int64(100+100*i) * mib, MemoryLimit: 2048 * mib, CPUSeconds: float64(10 + 10*i), CPULimit: 1, ThrottledSeconds: float64(i), Disk: int64(i) * 100 * mib},
		}))
	}
	rows = append(rows, rows[0], // two files may have one run
		ran("app", "build", "b1", decide.Used{Container: "command", Seconds: 10, OutOfMemory: true, Use: contract.Use{MemoryLimit: 512 * mib}}),
		ran("app", "build", "b2", decide.Used{Container: "command", Use: contract.Use{MemoryPeak: 100 * mib, CPUSeconds: 9}}),
		ran("app", "", "n1", decide.Used{Container: "agent", Seconds: 5}),
		Row{KJob: "runs"},
	)
	b, err := json.Marshal(rows) // as `onejob jobs -o json` writes them
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadRows(strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	got, want := Sizes(read), []Size{
		{Pipeline: "app", Container: "agent", Runs: 1},
		{
			Pipeline: "app", Step: "build", Container: "command", Runs: 2, OutOfMemory: 1, Memory: Quantiles{100 * mib, 100 * mib, 100 * mib},
			Suggest: &Suggestion{RequestMemory: "512Mi", LimitMemory: "1024Mi"},
		},
		{
			Pipeline: "app", Step: "test", Container: "agent", Runs: 10,
			Memory: Quantiles{500 * mib, 900 * mib, 1000 * mib}, CPU: Quantiles{.5, .9, 1}, Throttled: Quantiles{.04, .08, .09}, Disk: Quantiles{500 * mib, 900 * mib, 900 * mib},
			Suggest: &Suggestion{RequestCPU: "900m", RequestMemory: "912Mi", RequestDisk: "912Mi", LimitMemory: "1264Mi"},
		},
	}
	same := func(a, b Size) bool {
		sa, sb := a.Suggest, b.Suggest
		a.Suggest, b.Suggest = nil, nil
		return a == b && (sa == nil) == (sb == nil) && (sa == nil || *sa == *sb)
	}
	if !slices.EqualFunc(got, want, same) {
		g, _ := json.MarshalIndent(got, "", " ")
		w, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("got %s\nwant %s", g, w)
	}
}

// A file that somebody wrote by hand does no harm.
func TestReadRowsOfNonsense(t *testing.T) {
	for _, text := range []string{"", "{}", "[1]", "JOB  ATTEMPT", `[{"used":[{"seconds":"x"}]}]`, strings.Repeat("[", 1<<20)} {
		if rows, err := ReadRows(strings.NewReader(text)); err == nil {
			t.Errorf("%.20s: %d rows", text, len(rows))
		}
	}
	rows, err := ReadRows(strings.NewReader(`[{"used":[{"container":"a","seconds":-1e300,"use":{"memory_peak":-7,"memory_limit":9e99,"cpu_seconds":1e308}},{"container":"\u001b[31m","seconds":1e-300,"use":{"cpu_seconds":1e308}}]}]`))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Sizes(rows) {
		if s.Memory.Max != 0 || strings.Contains(s.Container, "\x1b") || s.Suggest != nil {
			t.Errorf("%+v", s)
		}
	}
}
