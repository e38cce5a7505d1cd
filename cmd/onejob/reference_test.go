package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/test/reference"
)

const commandsPage = "docs/commands.md"

// The page of commands has each with its flags, as the program takes them.
func TestCommandsPage(t *testing.T) {
	var index, shared [][]string
	var each strings.Builder
	head := []string{"flag", "variable", "default", ""}
	for _, c := range newApp().Commands {
		own, connection := flagRows(c.Flags)
		index = append(index, []string{"[`" + c.Name + "`](#" + c.Name + ")", c.Usage})
		each.WriteString("## " + c.Name + "\n\n`onejob " + strings.TrimSpace(c.Name+" "+strings.ReplaceAll(c.ArgsUsage, "|", " or ")) + "`: " + c.Usage + ".\n")
		if len(connection) > 0 {
			shared = connection
			each.WriteString("It takes the [flags of the connection](#the-connection), too.\n")
		}
		if len(own) > 0 {
			each.WriteString("\n" + reference.Table(head, own))
		}
		each.WriteString("\n")
	}
	reference.Block(t, commandsPage, "commands", reference.Table([]string{"command", ""}, index))
	reference.Block(t, commandsPage, "connection", reference.Table(head, shared))
	reference.Block(t, commandsPage, "flags", each.String())
}

// flagRows are a command's flags as rows, those about the connection apart.
func flagRows(flags []cli.Flag) (own, connection [][]string) {
	for _, f := range flags {
		doc, isDocumented := f.(cli.DocGenerationFlag)
		if !isDocumented {
			continue
		}
		row := []string{named(f.Names()), words(doc.GetEnvVars()), usual(f, doc), doc.GetUsage()}
		if of, ok := f.(cli.CategorizableFlag); ok && of.GetCategory() == categoryKube {
			connection = append(connection, row)
			continue
		}
		own = append(own, row)
	}
	return own, connection
}

// named is a flag by all its names, the longest first.
func named(names []string) string {
	var out []string
	for _, n := range names {
		out = append(out, strings.Repeat("-", min(len(n), 2))+n)
	}
	return words(out)
}

// usual is a flag's default.
func usual(f cli.Flag, doc cli.DocGenerationFlag) string {
	if _, isBool := f.(*cli.BoolFlag); isBool || doc.GetValue() == "" {
		return ""
	}
	return words([]string{regexp.MustCompile(`([hm])0s$`).ReplaceAllString(doc.GetValue(), "$1")})
}

func words(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return "`" + strings.Join(list, "`, `") + "`"
}
