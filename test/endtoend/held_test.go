package endtoend

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/simulator"
)

// leaves is the command of a job that leaves a process with its variables, writes its token
// down in a form of its own, and keeps the agent's, if it finds that where its runner did.
const leaves = `cp ` + contract.SecretsToken + ` /builds/found 2>/dev/null || :; echo begun; printf %s "$BUILDKITE_AGENT_ACCESS_TOKEN" | base64 -w0 > /builds/own; (setsid sleep 3600 >/dev/null 2>&1 &); exit 3`

// stays: the containers of a job that failed stay until they are released, without its
// credentials. shown is the one that the log names.
func (s *scene) stays(shown string, containers ...string) {
	s.Helper()
	s.happens("the build ends", s.done)
	s.until("the gauge counts it", func() bool { return s.measured("onejob_jobs_held", "queue", s.name) })
	p := s.running(1)
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Running == nil {
			s.Errorf("container %s doesn't stay: %+v", c.Name, c.State)
		}
	}
	log, _ := on.Simulator.Log(s.id)
	if want := "kubectl exec -it -n " + s.namespace + " " + p.Name + " -c " + shown + " -- sh"; !strings.Contains(string(log), want) {
		s.Errorf("the job's log doesn't say %q:\n%s", want, log)
	}
	firsts := map[string]int{contract.AgentContainer: s.firstOf(p, "onejob-agent")}
	if len(containers) > 1 {
		firsts[contract.CommandContainer] = s.firstOf(p, "onejob-step")
	}
	own, err := os.ReadFile(fmt.Sprintf("/proc/%d/root/builds/own", firsts[shown]))
	must(s, err)
	token, err := base64.StdEncoding.DecodeString(string(own))
	must(s, err)
	if !bytes.HasPrefix(token, []byte("sim-job-")) {
		s.Fatalf("the job's token is %q", token)
	}
	for _, c := range containers {
		s.forgotten(p, c, firsts[c], simulator.DefaultAgentToken, "sim-session-", string(token))
	}
	names, err := operate.Hold(s.ctx, on.Cluster.Client(), s.namespace, contract.JobID(s.id), 0)
	must(s, err)
	if len(names) != 1 || names[0] != p.Name {
		s.Errorf("released %q, want %s", names, p.Name)
	}
	s.over(1)
}

// forgotten wants no secret where somebody in a container finds one: among the variables,
// which kubectl exec gives a shell as it gave them to PID 1, among those of other processes,
// and in files. This machine's root sees more than they do.
func (s *scene) forgotten(p corev1.Pod, container string, first int, secrets ...string) {
	s.Helper()
	has := func(b []byte) string {
		for _, secret := range secrets {
			if bytes.Contains(b, []byte(secret)) {
				return secret[:8] + "…"
			}
		}
		return ""
	}
	s.until("no process in "+container+" has a secret", func() bool {
		for _, pid := range processes(s, string(p.UID)) {
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err == nil && has(b) != "" {
				return false
			}
		}
		return true
	})
	// The result is reported before that, and the processes go before the files.
	leak, looked := "", 0
	defer func() {
		if leak != "" {
			s.Logf("in %s the file %s", container, leak)
		}
	}()
	s.until("no file in "+container+" has a secret", func() bool {
		leak, looked = leakIn(s, fmt.Sprintf("/proc/%d/root", first), has)
		return leak == ""
	})
	if looked == 0 {
		s.Errorf("no file of %s can be read", container)
	}
}

// leakIn is a small file below a container's root that has a secret, and which; empty for
// none. looked is how many files were read.
func leakIn(s *scene, root string, has func([]byte) string) (leak string, looked int) {
	s.Helper()
	err := filepath.WalkDir(root+"/", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it has gone meanwhile
		}
		switch inside := strings.TrimPrefix(path, root); {
		case inside == "/proc", inside == "/sys", inside == "/dev":
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		if info, err := d.Info(); err != nil || info.Size() > 1<<20 {
			return nil //nolint:nilerr // a program
		}
		if b, err := os.ReadFile(path); err == nil {
			looked++
			if secret := has(b); secret != "" {
				leak = strings.TrimPrefix(path, root) + " has " + secret
				return fs.SkipAll
			}
		}
		return nil
	})
	must(s, err)
	return leak, looked
}
