package container

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// own are the variables that the command's container keeps, as in the stock agent's
// kubernetes-bootstrap. environment sets three more: phases, sockets and programs.
var own = []string{"HOME", "HOSTNAME", "PATH", "PWD", "SHLVL", "TERM", "BUILDKITE_COMMAND", "BUILDKITE_CONTAINER_ID"}

// environment is the bootstrap's environment in the command's container: the job's
// variables over the container's, except those in own.
func environment(container, job []string, dir string) []string {
	env := slices.DeleteFunc(slices.Clone(container), func(e string) bool { return strings.HasPrefix(e, "ONEJOB_") })
	for _, e := range job {
		name, v, _ := strings.Cut(e, "=")
		kept := name == "BUILDKITE_COMMAND" && value(env, name) == ""
		if strings.HasPrefix(name, "KUBERNETES_") || slices.Contains(own, name) && !kept {
			continue
		}
		env = with(env, name, v)
	}
	env = with(env, "BUILDKITE_BOOTSTRAP_PHASES", "plugin,command")
	env = with(env, "BUILDKITE_BIN_PATH", filepath.Join(dir, binFolder))
	// The runner's sockets have the names of processes that this container doesn't see.
	// A folder for each user, because the agent lets nobody else into its own.
	env = with(env, "BUILDKITE_SOCKETS_PATH", filepath.Join(dir, "sockets", strconv.Itoa(os.Getuid())))
	env = hooks(env, dir)
	for _, name := range []string{"BUILDKITE_SHELL", "BUILDKITE_HOOKS_SHELL"} {
		if set := value(env, name); set != "" {
			env = with(env, name, shell(set, dir))
		}
	}
	return env
}

// hooks sets the variables by which the bootstrap finds the agent's own hooks, in the
// folders into which CopyHooks put them.
func hooks(env []string, dir string) []string {
	env = with(env, "BUILDKITE_HOOKS_PATH", hooksAt(dir, 0))
	var more []string
	for i := 1; ; i++ {
		if _, err := os.Stat(hooksAt(dir, i)); err != nil {
			break
		}
		more = append(more, hooksAt(dir, i))
	}
	if value(env, "BUILDKITE_ADDITIONAL_HOOKS_PATHS") != "" {
		env = with(env, "BUILDKITE_ADDITIONAL_HOOKS_PATHS", strings.Join(more, ","))
	}
	return env
}

// there reports whether the program of a shell's command line exists and can be run. A
// relative name counts as existing.
func there(shell string) bool {
	program, _, _ := strings.Cut(shell, " ")
	info, err := os.Stat(program)
	return !filepath.IsAbs(program) || err == nil && info.Mode()&0o111 != 0
}

// value is a variable's last value, empty if it isn't set.
func value(env []string, name string) string {
	for _, e := range slices.Backward(env) {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// cancelSignal is the signal that cancels the job, SIGTERM by default and for SIGKILL. As in
// the stock agent, nothing kills the bootstrap itself: the bootstrap kills the command and
// reports how it ended.
func cancelSignal(env []string) syscall.Signal {
	switch value(env, "BUILDKITE_CANCEL_SIGNAL") {
	case "SIGHUP":
		return syscall.SIGHUP
	case "SIGINT":
		return syscall.SIGINT
	case "SIGQUIT":
		return syscall.SIGQUIT
	case "SIGUSR1":
		return syscall.SIGUSR1
	case "SIGUSR2":
		return syscall.SIGUSR2
	}
	return syscall.SIGTERM
}
