package contract

import (
	"strings"
)

// Command is a container in which a command of the job runs.
type Command struct {
	// Name is the step's own for it, and Image what it runs: both for words.
	Name, Image string
}

// CommandName is the name that the command container of a step gets in its pod; several
// is set if it has more than one.
func CommandName(step string, several bool) string {
	if !several {
		return CommandContainer
	}
	return CommandContainer + "-" + step
}

// IsCommand reports whether a container's name is that of a command container.
func IsCommand(container string) bool {
	return container == CommandContainer || strings.HasPrefix(container, CommandContainer+"-")
}

// CommandsValue is EnvCommands for these. Names and images have no spaces, and names no "=".
func CommandsValue(commands []Command) string {
	words := make([]string, len(commands))
	for i, c := range commands {
		words[i] = c.Name + "=" + c.Image
	}
	return strings.Join(words, " ")
}

// ParseCommands reads EnvCommands back, none if it is empty.
func ParseCommands(value string) (commands []Command) {
	for word := range strings.FieldsSeq(value) {
		name, image, _ := strings.Cut(word, "=")
		commands = append(commands, Command{Name: name, Image: image})
	}
	return commands
}
