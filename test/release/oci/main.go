package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "oci:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("images or push?")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	switch args[0] {
	case "images":
		from, out := flags.String("spec", "", "what to pack"), flags.String("out", "", "folder of the layouts")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return images(*from, *out)
	case "push":
		from, to := flags.String("from", "", "folder of the layouts"), flags.String("to", "", "HOST/PATH of a registry")
		dry := flags.Bool("dry-run", false, "push to a registry of our own, which ends with this program")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		if (*to != "") == *dry {
			return errors.New("either --to or --dry-run")
		}
		if *dry {
			address, stop, err := serve()
			if err != nil {
				return err
			}
			defer stop()
			*to = address
		}
		return publish(ctx, *from, *to, flags.Args())
	}
	return fmt.Errorf("images or push, not %q", args[0])
}

// report is the file in the layouts' folder that says what is in it.
const report = "images.json"

func images(from, out string) error {
	s, err := readSpec(from)
	if err != nil {
		return err
	}
	var all []packed
	for _, i := range s.Images {
		p, err := s.pack(i, out)
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, report), append(b, '\n'), 0o644)
}

// publish pushes all layouts to a registry, and runs a command, in which {} is the
// registry, while it is there.
func publish(ctx context.Context, from, to string, command []string) error {
	b, err := os.ReadFile(filepath.Join(from, report))
	if err != nil {
		return err
	}
	var all []packed
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("%s: %w", report, err)
	}
	for _, p := range all {
		if err := push(ctx, filepath.Join(from, p.Name), to, p); err != nil {
			return err
		}
	}
	if len(command) == 0 {
		return nil
	}
	for i := range command {
		command[i] = strings.ReplaceAll(command[i], "{}", to)
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
