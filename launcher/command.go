package launcher

import (
	"cmp"
	"context"
	"fmt"

	"github.com/buildkite/shellwords"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/launcher/container"
	"github.com/onejob-dev/onejob/signals"
)

// HoldStep tells the command's container, where there is one, that its runner is there
// until this process ends, and finds the programs that it needs: onejob-step, and the agent.
// Where a volume has the programs, mounted, there is no agent to copy, and nobody has made
// the folder for sockets yet.
func HoldStep(dir string, mounted bool) (step, agent string, err error) {
	if dir == "" {
		return "", "", nil
	}
	if mounted {
		err = container.MakeSockets(dir)
	}
	if err == nil {
		err = container.HoldRunner(dir)
	}
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrUnready, err)
	}
	if step, err = Beside(contract.StepProgram); err == nil && !mounted {
		agent, err = Beside("buildkite-agent")
	}
	return step, agent, err
}

// awaitCommand returns true when the job may be taken: at once where it runs in this
// container, else when the container of its command is there. Until then the pod is one
// that starts, and the scheduler is who says for how long it may.
func (r *run) awaitCommand(work context.Context) bool {
	if r.StepDir == "" {
		return true
	}
	if err := r.prepareCommand(); err != nil {
		r.ended(contract.OutcomeUnready, "preparing the command's container: %v", err)
		return false
	}
	if err := container.AwaitCommands(work, r.StepDir, len(contract.ParseCommands(r.Commands))); err != nil {
		r.failed(work, err)
		if sig, signalled := signals.From(work); signalled {
			r.ended(contract.OutcomeStopped, "stopped by %v while the container of the command (image %s) was not there", sig, cmp.Or(r.Commands, r.Image))
		}
		return false
	}
	return true
}

// prepareCommand brings the command's container what it needs beyond the program that it
// begins with, while it is started.
func (r *run) prepareCommand() error {
	if r.StepAgent != "" {
		if err := container.CopyAgent(r.StepDir, r.StepAgent); err != nil {
			return err
		}
	}
	return container.CopyHooks(r.StepDir, append([]string{r.Options.HooksPath}, r.Options.AdditionalHooksPaths...)...)
}

// mirrored are the options of a job with git mirrors that it may update: what a killed job
// left in them is repaired before the bootstrap begins (package mirror).
func mirrored(o Options) Options {
	if o.GitMirrorsPath == "" || o.GitMirrorsSkipUpdate {
		return o
	}
	if step, err := Beside(contract.StepProgram); err == nil {
		o.BootstrapScript = quoted([]string{step, "mirror", "--"}) + " " + o.BootstrapScript
	}
	return o
}

// inCommand are the options of a job whose command has a container of its own.
func (r *run) inCommand(o Options) Options {
	if r.StepDir == "" {
		return o
	}
	serve := []string{r.Step, "serve", "--dir", r.StepDir, "--image", r.Image}
	if r.Commands != "" {
		serve = append(serve, "--commands", r.Commands)
	}
	if r.CheckoutEnv != "" {
		serve = append(serve, "--checkout-env", r.CheckoutEnv)
	}
	serve = append(serve, "--")
	o.BootstrapScript = fmt.Sprintf("%s %s", quoted(serve), o.BootstrapScript)
	o.JobContextDir = r.StepDir // the job's files are for both containers
	return o
}

func quoted(words []string) (line string) {
	for i, w := range words {
		if i > 0 {
			line += " "
		}
		line += shellwords.Quote(w)
	}
	return line
}
