package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"
)

func outputFlag(usual string) cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: usual, Usage: "`FORMAT`: table, wide, json or yaml"}
}

// printed is in the app's metadata once there is a YAML document before the next.
const printed = "printed"

// print writes v as --output says; table writes the human form.
func print(c *cli.Context, v any, table func(w io.Writer, wide bool)) error {
	switch o := c.String("output"); o {
	case "table", "wide", "":
		w := tabwriter.NewWriter(c.App.Writer, 0, 4, 2, ' ', 0)
		table(w, o == "wide")
		return w.Flush()
	case "json":
		e := json.NewEncoder(c.App.Writer)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	case "yaml":
		b, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		if c.App.Metadata[printed] != nil {
			b = append([]byte("---\n"), b...)
		}
		c.App.Metadata[printed] = true
		_, err = c.App.Writer.Write(b)
		return err
	default:
		return usage(fmt.Errorf("output is %q: it must be table, wide, json or yaml", o))
	}
}

func row(w io.Writer, cells ...string) {
	for i, cell := range cells {
		// A line break in a message would break the table.
		cells[i] = strings.Join(strings.Fields(cell), " ")
	}
	_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
}

func age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(time.Since(t))
}
