package contract

import (
	"regexp"
	"strings"
)

// CheckoutEnv is a folder with variables for the checkout: a file for each.
type CheckoutEnv struct {
	// Prefix begins the variables' names.
	Prefix, Dir string
}

// CheckoutKeysDir is a folder in memory for the keys among them. A pod of an older
// scheduler has none.
const CheckoutKeysDir = "/buildkite/checkout-keys" //nolint:gosec // a folder

// GitCredentials is the credential.helper that answers from a file of .git-credentials.
// git's own helper (store) would write there, too, and its complaint that it can't begins
// with "fatal:" in the log of a job whose checkout is well.
func GitCredentials(file string) string {
	return `!f() { test "$1" != get || git credential-store --file ` + file + ` get; }; f`
}

// CheckoutEnvValue is EnvCheckoutEnv for these. Prefixes and folders have no spaces, and
// prefixes no "=".
func CheckoutEnvValue(folders []CheckoutEnv) string {
	words := make([]string, len(folders))
	for i, f := range folders {
		words[i] = f.Prefix + "=" + f.Dir
	}
	return strings.Join(words, " ")
}

// ParseCheckoutEnv reads EnvCheckoutEnv back.
func ParseCheckoutEnv(value string) (folders []CheckoutEnv) {
	for word := range strings.FieldsSeq(value) {
		prefix, dir, _ := strings.Cut(word, "=")
		folders = append(folders, CheckoutEnv{Prefix: prefix, Dir: dir})
	}
	return folders
}

// kept begins the names of variables that are settings of the runner or the agent.
var kept = regexp.MustCompile(`^(BUILDKITE|ONEJOB|KUBERNETES)`)

// IsKept reports whether a variable's name, or its beginning, is one by which somebody who
// may not would set something of the agent.
func IsKept(name string) bool { return kept.MatchString(name) }
