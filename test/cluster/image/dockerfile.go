package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// instruction of a Dockerfile: its keyword and what follows, with continued
// lines joined and comments dropped.
type instruction struct {
	line int
	name string
	args string
}

func (i instruction) errorf(format string, args ...any) error {
	return fmt.Errorf("line %d: %s: %w", i.line, i.name, fmt.Errorf(format, args...))
}

// stage of a Dockerfile: what follows a FROM, up to the next.
type stage struct {
	name         string // of AS
	from         string
	instructions []instruction
}

// errNotUnderstood is wrapped where a Dockerfile says something that docker
// build may know but this package doesn't: to go on would be to drift.
var errNotUnderstood = errors.New("not understood")

// parse reads a Dockerfile into its stages. Only the form is looked at.
func parse(text string) ([]stage, error) {
	instructions, err := split(text)
	if err != nil {
		return nil, err
	}
	var stages []stage
	for _, i := range instructions {
		if i.name != "FROM" {
			if len(stages) == 0 {
				return nil, i.errorf("before the first FROM: %w", errNotUnderstood)
			}
			last := &stages[len(stages)-1]
			last.instructions = append(last.instructions, i)
			continue
		}
		fields := strings.Fields(i.args)
		if len(fields) != 3 || !strings.EqualFold(fields[1], "AS") {
			return nil, i.errorf("%q isn't IMAGE AS NAME: %w", i.args, errNotUnderstood)
		}
		stages = append(stages, stage{name: fields[2], from: fields[0]})
	}
	if len(stages) == 0 {
		return nil, errors.New("no FROM")
	}
	return stages, nil
}

func split(text string) ([]instruction, error) {
	var all []instruction
	var open *instruction // continued on the next line
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue // in the middle of a continued instruction too
		}
		rest, continued := strings.CutSuffix(line, "\\")
		rest = strings.TrimSpace(rest)
		if open != nil {
			open.args = strings.TrimSpace(open.args + " " + rest)
		} else {
			name, args, _ := strings.Cut(rest, " ")
			if name == "" {
				return nil, fmt.Errorf("line %d: %w", number, errNotUnderstood)
			}
			open = &instruction{line: number, name: strings.ToUpper(name), args: strings.TrimSpace(args)}
		}
		if !continued {
			all = append(all, *open)
			open = nil
		}
	}
	if open != nil {
		return nil, open.errorf("ends in a continued line")
	}
	return all, nil
}

// words splits a shell command as sh does, for the plain ones: quotes are
// understood; what needs a shell is not.
func words(command string) ([]string, error) {
	var all []string
	var word strings.Builder
	in := false // a word
	var quote rune
	for _, r := range command {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, in = r, true
		case r == ' ' || r == '\t':
			if in {
				all = append(all, word.String())
				word.Reset()
				in = false
			}
		case strings.ContainsRune("|&;<>()`\\*?[]~", r):
			return nil, fmt.Errorf("%q in %q: %w", r, command, errNotUnderstood)
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("%q ends within quotes", command)
	}
	if in {
		all = append(all, word.String())
	}
	return all, nil
}

// assignments reads the KEY=VALUE pairs of ENV and ARG.
func assignments(i instruction, values variables) ([][2]string, error) {
	all, err := words(i.args)
	if err != nil {
		return nil, i.errorf("%w", err)
	}
	var pairs [][2]string
	for _, word := range all {
		key, value, found := strings.Cut(word, "=")
		if !found || key == "" {
			return nil, i.errorf("%q isn't KEY=VALUE: %w", word, errNotUnderstood)
		}
		if value, err = values.expand(value); err != nil {
			return nil, i.errorf("%w", err)
		}
		pairs = append(pairs, [2]string{key, value})
	}
	if len(pairs) == 0 {
		return nil, i.errorf("says nothing")
	}
	return pairs, nil
}

// execForm reads ["program", "argument"].
func execForm(i instruction) ([]string, error) {
	var all []string
	if err := json.Unmarshal([]byte(i.args), &all); err != nil || len(all) == 0 {
		return nil, i.errorf("%s isn't a JSON array of words: %w", i.args, errNotUnderstood)
	}
	return all, nil
}

// variables are the values of ARG and ENV so far.
type variables map[string]string

// expand replaces ${NAME}, which must have a value. $NAME is not taken for a
// variable but for a mistake.
func (v variables) expand(text string) (string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, rest, closed := strings.Cut(strings.TrimPrefix(after, "{"), "}")
		value, known := v[name]
		if !strings.HasPrefix(after, "{") || !closed || !known {
			return "", fmt.Errorf("variable in %q: %w", "$"+after, errNotUnderstood)
		}
		out.WriteString(value)
		text = rest
	}
}
