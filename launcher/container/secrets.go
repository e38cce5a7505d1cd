package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/signals"
)

// BringSecrets writes the agent token, and the files of each folder in from, into the folder
// to, where the runner can delete them (contract.SecretsInit).
func BringSecrets(from, to, token string) error {
	if err := os.WriteFile(filepath.Join(to, filepath.Base(contract.SecretsToken)), []byte(token), 0o600); err != nil {
		return fmt.Errorf("writing the agent token for the runner: %w", err)
	}
	folders, err := os.ReadDir(from)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading the Secrets for the checkout: %w", err)
	}
	for _, f := range folders {
		if err := copySecret(filepath.Join(from, f.Name()), filepath.Join(to, f.Name())); err != nil {
			return fmt.Errorf("writing a Secret for the checkout: %w", err)
		}
	}
	return nil
}

// copySecret copies the files of a Secret's or a ConfigMap's volume. Those are links; the
// kubelet's own names there begin with two dots.
func copySecret(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "..") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, f.Name()), text, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// written are the files, and folders of files, with credentials that our programs and the
// agent's write for a job and delete themselves, unless they are killed: the job's
// environment, for its hooks and around each of them, and keys for ssh. They are in the
// folder for temporary files, in the one that the containers share, and in that for builds.
var written = []string{"job-env-*", "buildkite-agent-hook-wrapper*", "onejob-keys-*", "*/*/.buildkite-ssh-key-*"}

// Forget takes a job's credentials out of a container that stays: processes that the job
// left and that have them among their variables, and files that would have been deleted,
// had nobody been killed. What the job itself wrote stays.
func Forget(job string, folders ...string) error {
	if job != "" {
		signals.KillByEnv("BUILDKITE_JOB_ID=" + job)
	}
	errs := []error{empty(contract.SecretsDir), empty(contract.CheckoutKeysDir)}
	for _, folder := range folders {
		if folder == "" {
			continue
		}
		for _, pattern := range written {
			found, _ := filepath.Glob(filepath.Join(folder, pattern)) //nolint:errcheck // the patterns are good
			for _, path := range found {
				errs = append(errs, os.RemoveAll(path))
			}
		}
	}
	return errors.Join(errs...)
}

// empty deletes what is in a folder, which is a volume and stays.
func empty(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(folder, e.Name())))
	}
	return errors.Join(errs...)
}
