package container

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/onejob-dev/onejob/contract"
)

// longestVariable is what Linux takes (MAX_ARG_STRLEN), with the name and the "=".
const longestVariable = 128 << 10

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// sshFile are the names that the stock agent's image knows for ssh's keys and hosts.
var sshFile = regexp.MustCompile(`^(SSH_PRIVATE_[A-Z0-9]+_KEY|SSH_KNOWN_HOSTS)(_B64)?$`)

// checkoutEnv adds to a job's environment the variables that a step has for its checkout,
// as far as the job doesn't have them. A key for ssh, by the names that the stock agent's
// image has for them, is copied to a file under keysDir: ssh refuses a key of its own user's
// that others may read, and one without a newline at its end. ssh asks nobody: a job that
// waits for a passphrase would wait for ever.
func checkoutEnv(job []string, folders []contract.CheckoutEnv, keysDir string) ([]string, error) {
	var more, options []string
	for _, f := range folders {
		entries, err := os.ReadDir(f.Dir)
		if err != nil {
			return nil, fmt.Errorf("reading the variables for the checkout: %w", err)
		}
		for _, e := range entries {
			name, path := f.Prefix+e.Name(), filepath.Join(f.Dir, e.Name())
			if !variableName.MatchString(name) {
				continue // as in a container: it is no variable's name
			}
			if contract.IsKept(name) {
				return nil, fmt.Errorf("the variables for the checkout (gitEnvFrom, checkout: {envFrom}) have %s, and names that begin with BUILDKITE, ONEJOB or KUBERNETES are settings of the agent: take it out of the Secret or the ConfigMap", contract.Line(name, 60))
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("reading the variables for the checkout: %w", err)
			}
			if len(name)+len(text)+2 > longestVariable || bytes.IndexByte(text, 0) >= 0 {
				return nil, fmt.Errorf("the variable %s for the checkout has more than 128 KiB, or a NUL character: no program can be given it", contract.Line(name, 60))
			}
			if of := sshFile.FindStringSubmatch(name); of != nil {
				option, err := sshOption(keysDir, of[1], of[2] != "", text)
				if err != nil {
					return nil, fmt.Errorf("the variable %s for the checkout: %w", name, err)
				}
				options = append(options, option)
			}
			more = with(more, name, string(text))
		}
	}
	if len(options) > 0 {
		more = with(more, "GIT_SSH_COMMAND", "ssh "+strings.Join(options, " ")+" -o BatchMode=yes")
	}
	return over(more, job), nil
}

// sshOption makes a file of a key or of known hosts, and returns ssh's option for it.
func sshOption(dir, name string, encoded bool, text []byte) (string, error) {
	if encoded {
		var err error
		if text, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(text)), "")); err != nil {
			return "", fmt.Errorf("it is not base64: %w", err)
		}
	}
	path, err := keyFile(dir, name, text)
	if err != nil {
		return "", err
	}
	if name == "SSH_KNOWN_HOSTS" {
		return "-o UserKnownHostsFile=" + path + " -o StrictHostKeyChecking=yes", nil
	}
	return "-i " + path, nil
}

// keysIn is where the checkout's keys are kept, in memory where the pod has such a folder.
func keysIn() string {
	if info, err := os.Stat(contract.CheckoutKeysDir); err == nil && info.IsDir() {
		return contract.CheckoutKeysDir
	}
	return ""
}

// keyFile makes a file of a key that only its user may read.
func keyFile(dir, name string, key []byte) (path string, err error) {
	file, err := os.CreateTemp(dir, name+"-*")
	if err == nil {
		path = file.Name()
		_, err = file.Write(append(bytes.TrimRight(key, "\n"), '\n'))
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return "", fmt.Errorf("writing its file: %w", err)
	}
	return path, nil
}

// over is an environment with another over it: of two variables of one name the latter's.
func over(base, top []string) []string {
	for _, e := range top {
		name, v, _ := strings.Cut(e, "=")
		base = with(base, name, v)
	}
	return base
}
