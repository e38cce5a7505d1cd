package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/logging"
)

func outputFlag(usual string) cli.Flag {
	return &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: usual, Usage: "`FORMAT`: table, wide, json or yaml",
		Action: func(_ *cli.Context, o string) error { // before anything is done
			if !slices.Contains([]string{"table", "wide", "json", "yaml"}, o) {
				return usage(fmt.Errorf("output is %q: it must be table, wide, json or yaml", o))
			}
			return nil
		}}
}

// onScreen reports whether the output is a table on a terminal.
func onScreen(c *cli.Context) bool {
	f, ok := c.App.Writer.(*os.File)
	return ok && table(c) && logging.Terminal(f)
}

// table reports whether the output is for people.
func table(c *cli.Context) bool {
	o := c.String("output")
	return o != "json" && o != "yaml"
}

// printed is a key of the app's metadata: a YAML document was printed already.
const printed = "printed"

// print writes v as --output says; table writes the human form.
func print(c *cli.Context, v any, table func(w io.Writer, wide bool)) error {
	switch o := c.String("output"); o {
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
		w := tabwriter.NewWriter(c.App.Writer, 0, 4, 2, ' ', 0)
		table(w, o == "wide")
		return w.Flush()
	}
}

// maxCell is the most of one text that is shown.
const maxCell = 16 << 10

func row(w io.Writer, cells ...string) {
	for i, cell := range cells {
		// A line break would break the table, and control characters could steer the
		// terminal.
		cells[i] = contract.Line(cell, maxCell)
	}
	_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// sayTo prints lines for people, mostly to a terminal. Two spaces separate columns or
// lines.
func sayTo(w io.Writer, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		columns := strings.Split(line, "  ")
		for i := range columns {
			columns[i] = contract.Line(columns[i], maxCell)
		}
		_, _ = fmt.Fprintln(w, strings.Join(columns, "  "))
	}
}

func age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(time.Since(t))
}
