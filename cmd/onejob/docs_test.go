package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/test/pages"
)

// Each onejob command of the pages is one that the program takes: the command, its
// flags, and arguments only where it has some.
func TestDocumentedCommands(t *testing.T) {
	for _, c := range pages.Commands(t, "onejob") {
		if err := takes(append([]string{"onejob"}, c.Words[1:]...)); err != nil {
			t.Errorf("%s: %v", c, err)
		}
	}
}

// takes is why the program doesn't take a command line. Nothing is carried out.
func takes(argv []string) error {
	app := newApp()
	app.Writer, app.ErrWriter = io.Discard, io.Discard
	for _, cmd := range app.Commands {
		cmd.Before = nil
		cmd.Action = func(ctx *cli.Context) error {
			if ctx.Args().Present() && cmd.ArgsUsage == "" {
				return fmt.Errorf("it takes no argument %q", ctx.Args().First())
			}
			return nil
		}
	}
	return app.Run(interspersed(app, argv))
}

// forPipelines is the configuration for a page's pipelines if the page has none.
const forPipelines = "queues:\n- name: default\n  steps: pod\n"

// Each YAML of the pages is what it is shown as: a configuration, a part of one, or a
// pipeline for the configuration before it. What is for Helm is tested in deploy.
func TestDocumentedYAML(t *testing.T) {
	config, page, found := forPipelines, "", 0
	for _, b := range pages.Blocks(t) {
		if b.Language != "yaml" {
			continue
		}
		if b.Page != page {
			page, config = b.Page, forPipelines
		}
		found++
		var top map[string]any
		if err := yaml.UnmarshalStrict([]byte(b.Text), &top); err != nil {
			t.Errorf("%s: %v in\n%s", b.Page, err, b.Text)
			continue
		}
		var args []string
		has := func(key string) bool { return top[key] != nil }
		switch {
		case has("steps"):
			args = []string{write(t, b.Text), "-f", write(t, config)}
		case has("retry"):
			args = []string{write(t, "steps:\n- command: x\n"+indented(b.Text, "  ")), "-f", write(t, forPipelines)}
		case has("queues"):
			config = b.Text
			args = []string{"-f", write(t, config)}
		case has("template-defaults"):
			args = []string{"-f", write(t, b.Text+forPipelines)}
		case top["kind"] == "CronJob":
			if err := yaml.UnmarshalStrict([]byte(b.Text), new(batchv1.CronJob)); err != nil {
				t.Errorf("%s: %v in\n%s", b.Page, err, b.Text)
			}
			continue
		case has("spec"):
			args = []string{"-f", write(t, forPipelines+"  template:\n    inline:\n"+indented(b.Text, "      "))}
		case has("config") || has("images"):
			continue // deploy's tests
		default:
			t.Errorf("%s: nobody knows what this is:\n%s", b.Page, b.Text)
			continue
		}
		if r := run(t, append([]string{"lint"}, args...)...); r.code != 0 || strings.Contains(r.err, "isn't in this configuration") {
			t.Errorf("%s: exit code %d\n%s%s\n%s", b.Page, r.code, r.out, r.err, b.Text)
		}
	}
	if found < 25 {
		t.Errorf("found %d blocks", found)
	}
}

func indented(text, by string) string {
	var out bytes.Buffer
	for line := range strings.Lines(text) {
		out.WriteString(by + line)
	}
	return out.String()
}
