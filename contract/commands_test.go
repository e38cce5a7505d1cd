package contract

import (
	"slices"
	"testing"
)

func TestCommands(t *testing.T) {
	for _, want := range [][]Command{nil, {{"lint", "node:22"}, {"container-1", "registry.example:5000/a@sha256:0"}}} {
		if got := ParseCommands(CommandsValue(want)); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func TestIsCommand(t *testing.T) {
	for name, want := range map[string]bool{
		CommandName("lint", false): true, CommandName("lint", true): true,
		AgentContainer: false, StepInit: false, "commander": false, "": false,
	} {
		if got := IsCommand(name); got != want {
			t.Errorf("%q: got %v", name, got)
		}
	}
}
