package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/operate"
)

func sizesCommand() *cli.Command {
	return &cli.Command{
		Name: "sizes", Usage: "suggest requests and limits from what jobs used", ArgsUsage: "[FILE…]",
		Description: `By pipeline, step and container: how many runs there were, what they used (the
median, nine of ten, the most), and what to ask for. It reads the Kubernetes Jobs
that still exist, or files that onejob jobs -o json wrote ("-" is standard input).

   onejob sizes
   onejob jobs -A -o json > monday.json
   onejob sizes monday.json tuesday.json`,
		Flags: append([]cli.Flag{
			outputFlag("table"),
			&cli.BoolFlag{Name: "all-namespaces", Aliases: []string{"A"}, Usage: "read those of all namespaces"},
		}, kubeFlags()...),
		Action: func(c *cli.Context) error {
			rows, err := usedRows(c)
			if err != nil {
				return err
			}
			sizes := operate.Sizes(rows)
			return print(c, sizes, func(w io.Writer, _ bool) { sizesTable(w, sizes) })
		},
	}
}

// usedRows are of the files that are named, or of the cluster.
func usedRows(c *cli.Context) (rows []operate.Row, err error) {
	for _, name := range c.Args().Slice() {
		more, err := readRows(name, c.App.Reader)
		if err != nil {
			return nil, usage(fmt.Errorf("%s: %w", name, err))
		}
		rows = append(rows, more...)
	}
	if c.NArg() > 0 {
		return rows, nil
	}
	kube, err := kubeClient(c)
	if err != nil {
		return nil, err
	}
	namespace := namespaceOf(c)
	if c.Bool("all-namespaces") {
		namespace = ""
	}
	return operate.List(c.Context, kube, namespace, "")
}

func readRows(name string, stdin io.Reader) ([]operate.Row, error) {
	if name == "-" {
		return operate.ReadRows(stdin)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	return operate.ReadRows(f)
}

func sizesTable(w io.Writer, sizes []operate.Size) {
	row(w, "PIPELINE", "STEP", "CONTAINER", "RUNS", "KILLED", "MEMORY p50/p90/max", "CPUS p50/p90/max", "THROTTLED", "DISK p50/p90/max", "REQUESTS", "LIMITS")
	memory := func(b float64) string { return decide.Bytes(int64(b)) }
	cpus := func(n float64) string { return strconv.FormatFloat(n, 'f', 2, 64) }
	three := func(q operate.Quantiles, as func(float64) string) string {
		if q == (operate.Quantiles{}) {
			return "-"
		}
		return as(q.P50) + " / " + as(q.P90) + " / " + as(q.Max)
	}
	for _, s := range sizes {
		to := operate.Suggestion{}
		if s.Suggest != nil {
			to = *s.Suggest
		}
		throttled := fmt.Sprintf("%.0f %%", s.Throttled.P90*100)
		row(w, or(s.Pipeline), or(s.Step), s.Container, strconv.Itoa(s.Runs), strconv.Itoa(s.OutOfMemory),
			three(s.Memory, memory), three(s.CPU, cpus), throttled, three(s.Disk, memory), resources("cpu", to.RequestCPU, "memory", to.RequestMemory, "ephemeral-storage", to.RequestDisk), resources("memory", to.LimitMemory))
	}
}

// resources are pairs of a name and an amount, without those that aren't known.
func resources(pairs ...string) string {
	var all []string
	for pair := range slices.Chunk(pairs, 2) {
		if text := strings.Join(pair, " "); !strings.HasSuffix(text, " ") {
			all = append(all, text)
		}
	}
	return or(strings.Join(all, ", "))
}
