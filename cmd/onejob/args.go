package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// interspersed moves a command's flags in front of its arguments, where the cli
// package looks for them: people type `onejob reacquire ID --wait`.
func interspersed(app *cli.App, argv []string) []string {
	i := slices.IndexFunc(argv[min(1, len(argv)):], func(a string) bool { return !strings.HasPrefix(a, "-") }) + 1
	if i == 0 || argv[len(argv)-1] == completionFlag {
		return argv
	}
	cmd := app.Command(argv[i])
	if cmd == nil {
		return argv
	}
	takesValue := map[string]bool{}
	for _, f := range cmd.Flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, name := range f.Names() {
			takesValue[name] = !isBool
		}
	}
	var flags, args []string
	rest := argv[i+1:]
	for len(rest) > 0 {
		a := rest[0]
		rest = rest[1:]
		if a == "--" {
			args = append(append(args, a), rest...)
			break
		}
		if !strings.HasPrefix(a, "-") || a == "-" {
			args = append(args, a)
			continue
		}
		flags = append(flags, a)
		name := strings.TrimLeft(a, "-")
		if !strings.Contains(name, "=") && takesValue[name] && len(rest) > 0 {
			flags = append(flags, rest[0])
			rest = rest[1:]
		}
	}
	return slices.Concat(argv[:i+1], flags, args)
}

// noCommand is for a command line without a known command.
func noCommand(c *cli.Context) error {
	if c.NArg() == 0 {
		return cli.ShowAppHelp(c)
	}
	return usage(fmt.Errorf("there is no command %q. %s `onejob --help` lists them", c.Args().First(), cli.SuggestCommand(c.App.Commands, c.Args().First())))
}

// unknownFlag suggests the flag that may have been meant.
func unknownFlag(c *cli.Context, err error, _ bool) error {
	// The parser has no type for this error.
	_, name, ok := strings.Cut(err.Error(), "flag provided but not defined: -")
	if !ok {
		return usage(err)
	}
	flags := slices.Clone(c.App.Flags)
	if c.Command != nil {
		flags = append(flags, c.Command.Flags...)
	}
	return usage(fmt.Errorf("there is no flag --%s. Did you mean %q?", strings.TrimLeft(name, "-"), cli.SuggestFlag(flags, strings.TrimLeft(name, "-"), false)))
}
