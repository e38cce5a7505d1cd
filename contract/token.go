package contract

import (
	"fmt"
	"strings"
)

// ParseToken returns the agent token in the text of a file or a variable, which
// from names for errors. White space around it is cut: a Secret made with echo
// ends in a newline.
func ParseToken(text, from string) (string, error) {
	token := strings.TrimSpace(text)
	switch {
	case token == "":
		return "", fmt.Errorf("%s is empty, want an agent token", from)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", fmt.Errorf("the agent token in %s has a space or an unprintable character in it", from)
	}
	return token, nil
}
