package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/fixture"
)

// atOnce (b): many jobs with an image, and as many bare Jobs of that image. The rate is
// that from the first one created to the last one over. A node with few processors works as
// fast as it can all the while, so that the rate is what the pods of one kind cost it: those
// with two containers that do nothing show how much of that is the second container.
func (b *bench) atOnce(ctx context.Context) error {
	k, err := b.warm(ctx)
	if err != nil {
		return err
	}
	ours, err := b.burstOf(ctx, "jobs with image:", func() (names []string, err error) {
		ids, err := b.step(b.burst, "", image.BusyboxName, "true")
		for _, id := range ids {
			names = append(names, contract.KjobName(contract.JobID(id), 1))
		}
		return names, err
	})
	if err != nil {
		return err
	}
	bare := func(what string, containers ...string) (float64, error) {
		return b.burstOf(ctx, what, func() (names []string, err error) {
			for range b.burst {
				name, err := b.bare(ctx, k, "true", containers...)
				if err != nil {
					return nil, err
				}
				names = append(names, name)
			}
			return names, nil
		})
	}
	one, err := bare("bare Jobs of that image", contract.CommandContainer)
	if err != nil {
		return err
	}
	b.report.add("b", "  ratio", ours/one, "×", atLeast(0.8))
	two, err := bare("bare Jobs with both containers", contract.AgentContainer, contract.CommandContainer)
	if err == nil {
		b.report.add("b", "  ratio", ours/two, "×", noBar)
	}
	return err
}

// warm runs one job, so that none of those that count is the first to read a program, and
// returns its kjob.
func (b *bench) warm(ctx context.Context) (*batchv1.Job, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	ids, err := b.step(1, "", image.BusyboxName, "true")
	if err != nil {
		return nil, err
	}
	if _, err := b.rate(ctx, []string{contract.KjobName(contract.JobID(ids[0]), 1)}); err != nil {
		return nil, err
	}
	return b.kjob(ctx, ids[0])
}

// burstOf starts many Jobs and returns how many a second were done. It reports that, and
// beside it what the whole machine did meanwhile.
func (b *bench) burstOf(ctx context.Context, what string, start func() ([]string, error)) (float64, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	load, machine, pods := loads(), machineCPU(), podsCPU()
	names, err := start()
	if err != nil {
		return 0, err
	}
	rate, err := b.rate(ctx, names)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	b.report.add("b", fmt.Sprintf("%d %s at once", len(names), what), rate, "a second", noBar)
	b.report.add("b", "  CPU in the pods, each", (podsCPU()-pods).Seconds()/float64(len(names)), "s", noBar)
	b.report.add("b", "  CPU of the machine, each", (machineCPU()-machine).Seconds()/float64(len(names)), "s", noBar)
	deleted := 0
	for _, name := range names {
		if b.seen.of(name).deleted {
			deleted++
		}
	}
	b.report.note("%s: %d of %d deleted before they were complete; load before %s, after %s", what, deleted, len(names), load, loads())
	return rate, nil
}

// rate is how many Jobs a second were done, when all are over.
func (b *bench) rate(ctx context.Context, names []string) (float64, error) {
	var first, last time.Time
	for i, name := range names {
		if err := b.seen.wait(ctx, func() bool { return !b.seen.of(name).over.IsZero() }); err != nil {
			return 0, fmt.Errorf("waiting for the end of %s, after %d: %w; the pods: %s; its page: %s", name, i, err, b.podStates(), b.page(name))
		}
		s := b.seen.of(name)
		if first.IsZero() || s.created.Before(first) {
			first = s.created
		}
		if s.over.After(last) {
			last = s.over
		}
	}
	return float64(len(names)) / last.Sub(first).Seconds(), nil
}

// page is what Buildkite has of the job of a kjob that isn't over, for an error.
func (b *bench) page(kjob string) string {
	id, _, ours := contract.ParseKjobName(kjob)
	if !ours {
		return "none"
	}
	job, _ := b.on.Simulator.Job(id.String())
	text := fmt.Sprintf("%s %s/%s", job.State, job.ExitStatus, job.SignalReason)
	for _, n := range job.Notifications {
		text += "; " + n.Detail
	}
	if job.StackFinish != nil {
		text += "; " + job.StackFinish.Detail
	}
	return text
}

// podStates counts what the pods are doing, for an error.
func (b *bench) podStates() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	list, err := b.on.Cluster.Client().CoreV1().Pods(fixture.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	states := map[string]int{}
	for _, p := range list.Items {
		state := string(p.Status.Phase)
		for _, c := range p.Status.ContainerStatuses {
			state += " " + c.Name + stateOf(c.State)
		}
		states[state]++
	}
	return fmt.Sprint(states)
}

func stateOf(s corev1.ContainerState) string {
	switch {
	case s.Waiting != nil:
		return "=" + s.Waiting.Reason
	case s.Terminated != nil:
		return fmt.Sprintf("=%d", s.Terminated.ExitCode)
	}
	return "=runs"
}

// loads are the machine's load averages.
func loads() string {
	load, _ := os.ReadFile("/proc/loadavg") //nolint:errcheck // only told
	return strings.Join(strings.Fields(string(load))[:3], " ")
}

// podsCPU is the processor time that was used so far by all pods of the cluster.
func podsCPU() (used time.Duration) {
	v1, _ := filepath.Glob("/sys/fs/cgroup/cpuacct/onejob-*/cpuacct.usage") //nolint:errcheck // a constant
	for _, path := range v1 {
		text, _ := os.ReadFile(path)                                      //nolint:errcheck // only told
		n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) //nolint:errcheck // only told
		used += time.Duration(n)
	}
	v2, _ := filepath.Glob("/sys/fs/cgroup/onejob-*/cpu.stat") //nolint:errcheck // a constant
	for _, path := range v2 {
		stat, _ := numbersIn(path) //nolint:errcheck // only told
		used += time.Duration(stat["usage_usec"]) * time.Microsecond
	}
	return used
}

// machineCPU is the processor time that was used so far by all that runs.
func machineCPU() (used time.Duration) {
	stat, _ := os.ReadFile("/proc/stat") //nolint:errcheck // only told
	line, _, _ := strings.Cut(string(stat), "\n")
	for i, field := range strings.Fields(line) {
		n, _ := strconv.ParseInt(field, 10, 64) //nolint:errcheck // the first is a name
		switch i {
		case 1, 2, 3, 6, 7: // user, nice, system, irq, softirq: neither idle nor stolen
			used += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return used
}
