package operate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// Size is what the runs of a step used, and what they suggest. Steps without a key share
// their pipeline's.
type Size struct {
	Pipeline  string `json:"pipeline,omitempty"`
	Step      string `json:"step,omitempty"`
	Container string `json:"container"`
	// Runs counts the containers that had ended.
	Runs int `json:"runs"`
	// OutOfMemory are those of them of which a process was killed for memory: their peak
	// is their limit, or isn't known.
	OutOfMemory int       `json:"out_of_memory,omitempty"`
	Memory      Quantiles `json:"memory_peak_bytes"`
	// CPU is the average of each run, in CPUs.
	CPU       Quantiles `json:"cpus"`
	Throttled Quantiles `json:"throttled_ratio"`
	// Disk is what the pod's volumes had on the node's disk at the end.
	Disk Quantiles `json:"disk_bytes"`
	// Suggest is nil if too little is known.
	Suggest *Suggestion `json:"suggest,omitempty"`
}

// Quantiles are those of a step's runs, by nearest rank.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	Max float64 `json:"max"`
}

// Suggestion is for a container's resources, in Kubernetes' notation. There is none for
// limits.cpu: without one a container takes what its node has left.
type Suggestion struct {
	RequestCPU    string `json:"requests_cpu,omitempty"`
	RequestMemory string `json:"requests_memory,omitempty"`
	RequestDisk   string `json:"requests_ephemeral_storage,omitempty"`
	LimitMemory   string `json:"limits_memory,omitempty"`
}

// maxRows bounds what is read of a file that `onejob jobs -o json` wrote.
const maxRows = 256 << 20

// ReadRows reads what `onejob jobs -o json` wrote.
func ReadRows(in io.Reader) ([]Row, error) {
	b, err := io.ReadAll(io.LimitReader(in, maxRows+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxRows {
		return nil, fmt.Errorf("it is larger than %s", decide.Bytes(maxRows))
	}
	var rows []Row
	if err := json.Unmarshal(b, &rows); err != nil {
		return nil, fmt.Errorf("it is not what `onejob jobs -o json` writes: %w", err)
	}
	return rows, nil
}

// sizeKey is what runs are counted by.
type sizeKey struct{ pipeline, step, container string }

// run is a container of a pod, which several lists may have.
type run struct{ namespace, kjob, pod, container string }

// samples are what the runs of a step used.
type samples struct {
	runs, killed                 int
	memory, cpu, throttled, disk []float64
	killedAt                     float64
}

// Sizes are by pipeline, step and container.
func Sizes(rows []Row) []Size {
	of, seen := map[sizeKey]*samples{}, map[run]bool{}
	for _, r := range rows {
		for _, u := range r.Used {
			one := run{r.Namespace, r.KJob, r.Pod, u.Container}
			if seen[one] {
				continue
			}
			seen[one] = true
			key := sizeKey{contract.Word(r.Pipeline), contract.Word(r.Step), contract.Word(u.Container)}
			if of[key] == nil {
				of[key] = &samples{}
			}
			of[key].add(u)
		}
	}
	sizes := []Size{}
	for key, s := range of {
		sizes = append(sizes, Size{
			Pipeline: key.pipeline, Step: key.step, Container: key.container, Runs: s.runs, OutOfMemory: s.killed,
			Memory: quantiles(s.memory), CPU: quantiles(s.cpu), Throttled: quantiles(s.throttled), Disk: quantiles(s.disk), Suggest: s.suggest(),
		})
	}
	slices.SortFunc(sizes, func(a, b Size) int {
		return cmp.Or(cmp.Compare(a.Pipeline, b.Pipeline), cmp.Compare(a.Step, b.Step), cmp.Compare(a.Container, b.Container))
	})
	return sizes
}

// add leaves out what isn't known. The average of a run of less than a second is none:
// the node's clock tells whole seconds.
func (s *samples) add(u decide.Used) {
	s.runs++
	if u.OutOfMemory || u.Use.OOMKills > 0 {
		s.killed++
		s.killedAt = max(s.killedAt, float64(u.Use.MemoryLimit))
	}
	if u.Use.MemoryPeak > 0 {
		s.memory = append(s.memory, float64(u.Use.MemoryPeak))
	}
	if u.Use.Disk > 0 {
		s.disk = append(s.disk, float64(u.Use.Disk))
	}
	if u.Seconds < 1 {
		return
	}
	if u.Use.CPUSeconds > 0 {
		s.cpu = append(s.cpu, u.Use.CPUSeconds/u.Seconds)
	}
	if u.Use.CPULimit > 0 {
		s.throttled = append(s.throttled, u.Throttled())
	}
}

// suggest asks for what nine of ten runs needed, and lets the largest have a quarter more.
// A run that was killed needed more than its limit; nobody knows how much.
func (s *samples) suggest() *Suggestion {
	var to Suggestion
	if q := quantiles(s.memory); q.Max > 0 || s.killedAt > 0 {
		to.RequestMemory = mebibytes(max(q.P90, s.killedAt))
		to.LimitMemory = mebibytes(max(q.Max*1.25, s.killedAt*2))
	}
	if q := quantiles(s.disk); q.Max > 0 {
		to.RequestDisk = mebibytes(q.P90)
	}
	if q := quantiles(s.cpu); q.Max > 0 {
		to.RequestCPU = strconv.Itoa(max(10, int(math.Ceil(q.P90*100))*10)) + "m"
	}
	if to == (Suggestion{}) {
		return nil
	}
	return &to
}

// mebibytes rounds up to the next 16 MiB.
func mebibytes(bytes float64) string {
	const step = 16 << 20
	return strconv.FormatInt(int64(math.Ceil(bytes/step))*16, 10) + "Mi"
}

func quantiles(of []float64) Quantiles {
	if len(of) == 0 {
		return Quantiles{}
	}
	slices.Sort(of)
	at := func(q float64) float64 {
		rank := int(math.Ceil(q * float64(len(of))))
		return math.Round(of[max(rank, 1)-1]*1000) / 1000
	}
	return Quantiles{P50: at(.5), P90: at(.9), Max: at(1)}
}
