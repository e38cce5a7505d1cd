package cgroup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/onejob-dev/onejob/contract"
)

// The trees are a container's view: testdata/v2 with a cgroup namespace, testdata/v1
// without one, so that the path is the node's and the mount is the container's.
func TestUse(t *testing.T) {
	for version, want := range map[string]contract.Use{
		"v2": {
			MemoryPeak: 2040109466, MemoryLimit: 2 << 30, OOMKills: 2, CPUSeconds: 61.5, CPULimit: .5, ThrottledSeconds: 40,
			MemoryStalled: 7.25, CPUStalled: 1.5, IOStalled: .25,
		},
		"v1": {MemoryPeak: 128 << 20, MemoryLimit: 128 << 20, OOMKills: 1, CPUSeconds: 2.5, CPULimit: .1, ThrottledSeconds: 23},
	} {
		t.Run(version, func(t *testing.T) {
			if got := read(os.DirFS(filepath.Join("testdata", version))); got == nil || *got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestUseOfOddTrees(t *testing.T) {
	const v1 = "sys/fs/cgroup/"
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  *contract.Use
	}{
		{"none", nil, nil},
		{"a node's own root", map[string]string{"proc/self/cgroup": "0::/\n", v1 + "cgroup.controllers": "memory\n", v1 + "cpu.stat": "usage_usec 5000000\n"}, nil},
		{"the node's tree", map[string]string{
			"proc/self/cgroup": "0::/kubepods/c1\n", v1 + "cgroup.controllers": "memory\n", v1 + "cpu.stat": "usage_usec 9000000\n",
			v1 + "kubepods/c1/memory.max": "max\n", v1 + "kubepods/c1/memory.peak": "4096\n", v1 + "kubepods/c1/cpu.stat": "usage_usec 5000000\nnr_throttled 7\n", v1 + "kubepods/c1/cpu.max": "max 100000\n",
		}, &contract.Use{MemoryPeak: 4096, CPUSeconds: 5}},
		{"no limits, controllers apart", map[string]string{
			v1 + "memory/memory.limit_in_bytes": "9223372036854771712\n", v1 + "memory/memory.max_usage_in_bytes": "4096\n",
			v1 + "cpu/cpu.cfs_quota_us": "-1\n", v1 + "cpu/cpu.cfs_period_us": "100000\n", v1 + "cpuacct/cpuacct.usage": "5000000000\n",
		}, &contract.Use{MemoryPeak: 4096, CPUSeconds: 5}},
		{"nonsense", map[string]string{
			"proc/self/cgroup": "::::\n\n0\n", v1 + "cgroup.controllers": "", v1 + "memory.max": "much", v1 + "memory.peak": "-5", v1 + "cpu.stat": "usage_usec x\n\nusage_usec",
			v1 + "cpu.max": "1 0", v1 + "memory.pressure": "some total", v1 + "memory.events": strings.Repeat("x", 1<<20),
		}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range tt.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got := read(root)
			if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A pod's message has room for it beside the longest reason.
func TestUseIsSmall(t *testing.T) {
	u := read(os.DirFS("testdata/v2"))
	b, err := json.Marshal(contract.UseMessage{Contract: contract.Version, Use: u})
	if err != nil || len(b) > 400 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if got, ok := contract.ParseUse(string(b)); !ok || got != *u {
		t.Errorf("read back as %+v, %v", got, ok)
	}
}
