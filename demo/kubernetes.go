package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/fixture"
)

// schedulerConfig is what a user writes for the demo's cluster.
var schedulerConfig = fixture.QueueConfig(8, 600)

// trouble is what happens to two of the jobs before they are acquired. The simulator
// keeps them locked until then, so that it can be seen.
var trouble = map[string]string{
	"lint":       "evicted",
	"more steps": "reacquired",
}

// kubeDemo is the main job on Kubernetes: a scheduler, and a pod for each job.
type kubeDemo struct {
	out     io.Writer
	bin     string
	dir     string
	fixture *fixture.Installation

	keep       bool              // the pages stay up at the end
	screenshot string            // the file of the status page's picture, empty for none
	locked     map[string]string // job ID to the fault that locks it
	done       map[string]bool   // the trouble that came, by its word
}

func (d *kubeDemo) run(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "onejob-demo-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir)
	if err := d.publish(ctx); err != nil {
		return err
	}
	fmt.Fprintln(d.out, "Starting a real Kubernetes on this machine (the first time it is built, which takes some minutes) …")
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	d.fixture, err = fixture.Up(ctx, fixture.Options{Root: root, Nodes: 1, Config: d.config(), Repository: d.dir, Logf: func(format string, a ...any) {
		fmt.Fprintf(d.out, "  "+format+"\n", a...)
	}})
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(d.out, "\nTaking everything down …")
		if closing := d.fixture.Close(); err == nil {
			err = closing
		}
	}()
	sim := d.fixture.Simulator
	page, err := d.statusPage(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nA local Buildkite: %s\nonejob's status:   %s\nKubernetes:        export KUBECONFIG=%s\n\n", d.fixture.URL, page, d.fixture.Cluster.KubeconfigPath)

	build, err := sim.CreateBuild(demoBuild(d.fixture.URL+"git/demo.git", d.fixture.URL+"git/"+pluginName+".git"))
	if err != nil {
		return err
	}
	d.lock()
	if err := d.follow(ctx, build.Number); err != nil {
		return err
	}
	if err := d.slowest(ctx); err != nil {
		return err
	}
	if d.screenshot != "" {
		if err := d.picture(ctx, page); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "onejob's status page: %s", page)
	if !d.keep {
		fmt.Fprintln(d.out, " (it ends now; make demo DEMOFLAGS=--keep leaves it up)")
		return nil
	}
	fmt.Fprintln(d.out, "\nBoth pages stay up until Ctrl-C.")
	<-ctx.Done()
	return nil
}

// follow shows the jobs and makes the trouble until the build is done, and then reports
// the result.
func (d *kubeDemo) follow(ctx context.Context, build int) error {
	b, someone := newBoard(d.out), &person{}
	for {
		rows, err := d.rows(ctx)
		if err != nil {
			return err
		}
		b.show(rows)
		if now, _ := d.fixture.Simulator.Build(build); now.Done() {
			return d.verdict(ctx, build)
		}
		if err := d.trouble(ctx); err != nil {
			return err
		}
		someone.click(d.fixture.Simulator, d.fixture.URL, build)
		if !jitter.Sleep(ctx, 300*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// publish makes the git repositories that the simulator's machine serves.
func (d *kubeDemo) publish(ctx context.Context) error {
	work, plugin := filepath.Join(d.dir, "work"), filepath.Join(d.dir, "plugin")
	if err := makeRepositories(ctx, work, plugin); err != nil {
		return err
	}
	return errors.Join(fixture.PublishGit(ctx, work, d.dir, "demo"), fixture.PublishGit(ctx, plugin, d.dir, pluginName))
}

// lock keeps the jobs that get trouble from being acquired.
func (d *kubeDemo) lock() {
	d.locked, d.done = map[string]string{}, map[string]bool{}
	for _, job := range d.fixture.Simulator.Jobs() {
		if trouble[job.Label] != "" {
			d.locked[job.ID] = d.fixture.Simulator.AddFault(simulator.Fault{Endpoint: "acquire", JobID: job.ID, Status: 423})
		}
	}
}

// trouble evicts one pod and has another job reacquired, each once its runner
// waits for the lock.
func (d *kubeDemo) trouble(ctx context.Context) error {
	sim := d.fixture.Simulator
	for id, fault := range d.locked {
		job, _ := sim.Job(id)
		if sim.FaultCount(fault) == 0 {
			continue
		}
		word := trouble[job.Label]
		switch {
		case d.done[word]: // unlocked once the first attempt's runner has left
			if agents := d.attempts(ctx, id); agents > 1 {
				sim.RemoveFault(fault)
				delete(d.locked, id)
			}
		case word == "evicted":
			pods := d.fixture.Cluster.Client().CoreV1().Pods(fixture.Namespace)
			list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: contract.LabelJobID + "=" + id})
			if err != nil || len(list.Items) == 0 {
				return err
			}
			err = pods.EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: list.Items[0].Name}})
			if err != nil {
				return fmt.Errorf("evicting a pod: %w", err)
			}
			d.done[word] = true
		default:
			if err := d.reacquire(ctx, id); err != nil {
				return err
			}
			d.done[word] = true
		}
	}
	return nil
}

// reacquire is what an operator does: `onejob reacquire --force JOB_ID`.
func (d *kubeDemo) reacquire(ctx context.Context, id string) error {
	_, err := d.onejob(ctx, "reacquire", "--force", id)
	return err
}

// onejob runs one of its commands, and returns what it printed.
func (d *kubeDemo) onejob(ctx context.Context, command string, args ...string) ([]byte, error) {
	config := filepath.Join(d.dir, "onejob.yaml")
	token := filepath.Join(d.dir, "token")
	text := "endpoint: " + d.fixture.URL + "v3\n" + d.config()
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(token, []byte(simulator.DefaultAgentToken), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "onejob"), append([]string{command,
		"--config", config, "--token-file", token, "--kubeconfig", d.fixture.Cluster.KubeconfigPath, "--namespace", fixture.Namespace}, args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("onejob %s: %w: %s%s", command, err, out, said.Bytes())
	}
	return out, nil
}

// attempts is the highest attempt that a kjob of the job has.
func (d *kubeDemo) attempts(ctx context.Context, id string) int {
	list, err := d.fixture.Cluster.Client().BatchV1().Jobs(fixture.Namespace).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelJobID + "=" + id})
	if err != nil {
		return 0
	}
	most := 0
	for _, k := range list.Items {
		n := 0
		fmt.Sscan(k.Labels[contract.LabelAttempt], &n)
		most = max(most, n)
	}
	return most
}

func (d *kubeDemo) rows(ctx context.Context) ([]row, error) {
	pods, err := d.fixture.Cluster.Client().CoreV1().Pods(fixture.Namespace).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelJobID})
	if err != nil {
		return nil, err
	}
	newest := map[string]corev1.Pod{}
	for _, p := range pods.Items {
		id := p.Labels[contract.LabelJobID]
		if old, ok := newest[id]; !ok || old.CreationTimestamp.Before(&p.CreationTimestamp) {
			newest[id] = p
		}
	}
	var rows []row
	for _, job := range d.fixture.Simulator.Jobs() {
		r := jobRow(job)
		if p, ok := newest[job.ID]; ok {
			r.runner = "pod " + strings.ToLower(string(p.Status.Phase))
			if n := p.Labels[contract.LabelAttempt]; n != "1" {
				r.runner += ", attempt " + n
			}
		}
		if word := trouble[job.Label]; d.done[word] && r.result == "" {
			r.result = "was " + word
		}
		rows = append(rows, r)
	}
	return append(rows, stepRows(d.fixture.Simulator)...), nil
}

func (d *kubeDemo) verdict(ctx context.Context, build int) error {
	v := &verdict{out: d.out}
	fmt.Fprintln(d.out)
	v.build(d.fixture.Simulator, build)
	for _, job := range d.fixture.Simulator.Jobs() {
		if word := trouble[job.Label]; word != "" {
			n := d.attempts(ctx, job.ID)
			v.check(n == 2 && job.Passed, "%q was %s before it was acquired, and passed at attempt %d", job.Label, word, n)
		}
	}
	kjobs, err := d.fixture.Cluster.Client().BatchV1().Jobs(fixture.Namespace).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelJobID})
	if err != nil {
		return err
	}
	v.check(len(kjobs.Items) <= 14 && len(kjobs.Items) >= 12, "%d of 14 Kubernetes Jobs are left, of 12 jobs and two further attempts: one that is replaced is deleted", len(kjobs.Items))
	return v.err()
}
