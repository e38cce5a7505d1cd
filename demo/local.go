package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// demo is one run: a simulator, a build, and a process for each job.
type demo struct {
	out    io.Writer
	bin    string
	atOnce int
	keep   bool

	dir  string // of everything that the run leaves
	sim  *simulator.Simulator
	page string

	mu      sync.Mutex
	runners map[string]*runner // by job ID
}

// runner is one onejob-agent.
type runner struct {
	pid  int
	code int // −1 while it runs
	msg  contract.Message
}

func (d *demo) run(ctx context.Context) error {
	var err error
	if d.dir, err = os.MkdirTemp("", "onejob-demo-"); err != nil {
		return err
	}
	repo := filepath.Join(d.dir, "repository")
	plugin := filepath.Join(d.dir, pluginName)
	if err := makeRepositories(ctx, repo, plugin); err != nil {
		return err
	}
	d.sim = simulator.New(simulator.Config{})
	defer d.sim.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: d.sim, ReadHeaderTimeout: time.Minute}
	defer server.Close()
	go server.Serve(listener) //nolint:errcheck // it ends with Close
	d.page = "http://" + listener.Addr().String() + "/"

	build, err := d.sim.CreateBuild(demoBuild(repo, plugin))
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "A local Buildkite with one build: %s\nEach job gets a process: %s JOB_ID\n\n", d.page, filepath.Join(d.bin, "onejob-agent"))

	d.runners = map[string]*runner{}
	b, someone := newBoard(d.out), &person{}
	var wg sync.WaitGroup
	changed := make(chan struct{}, 1)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		d.start(ctx, &wg, changed)
		b.show(d.rows())
		now, _ := d.sim.Build(build.Number)
		if now.Done() && d.running() == 0 || ctx.Err() != nil {
			break
		}
		someone.click(d.sim, d.page, build.Number)
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	wg.Wait()
	b.show(d.rows())
	err = d.verdict(build.Number)
	if d.keep && ctx.Err() == nil {
		fmt.Fprintf(d.out, "\nThe page stays up at %s until Ctrl-C.\n", d.page)
		<-ctx.Done()
	}
	return errors.Join(err, context.Cause(ctx))
}

// start gives each scheduled job a process, as far as there is room.
func (d *demo) start(ctx context.Context, wg *sync.WaitGroup, changed chan<- struct{}) {
	for _, job := range d.sim.Jobs() {
		d.mu.Lock()
		_, started := d.runners[job.ID]
		d.mu.Unlock()
		if started || job.State != simulator.StateScheduled || d.running() >= d.atOnce || ctx.Err() != nil {
			continue
		}
		r := &runner{code: -1}
		d.mu.Lock()
		d.runners[job.ID] = r
		d.mu.Unlock()
		wg.Go(func() {
			d.agent(ctx, job.ID, r)
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}
}

// agent runs onejob-agent for one job, with its log in a file.
func (d *demo) agent(ctx context.Context, id string, r *runner) {
	message := filepath.Join(d.dir, id+".message.json")
	log, err := os.Create(filepath.Join(d.dir, id+".log"))
	if err != nil {
		return
	}
	defer log.Close() //nolint:errcheck // a log of a demo
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, "onejob-agent"), id)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches it as a SIGTERM from us, once
	cmd.Env = append(os.Environ(),
		contract.EnvToken+"="+simulator.DefaultAgentToken,
		contract.EnvEndpoint+"="+d.page+"v3",
		contract.EnvTerminationMessagePath+"="+message,
		"BUILDKITE_BUILD_PATH="+filepath.Join(d.dir, "builds", id),
		"BUILDKITE_PLUGINS_PATH="+filepath.Join(d.dir, "plugins"),
		"BUILDKITE_SOCKETS_PATH="+filepath.Join(d.dir, "sockets"),
		"PATH="+d.bin+":"+os.Getenv("PATH"),
	)
	code := -2
	if err = cmd.Start(); err == nil {
		d.mu.Lock()
		r.pid = cmd.Process.Pid
		d.mu.Unlock()
		cmd.Wait() //nolint:errcheck // the code says it
		code = cmd.ProcessState.ExitCode()
	}
	text, _ := os.ReadFile(message)               //nolint:errcheck // an empty message is said below
	msg, _ := contract.ParseMessage(string(text)) //nolint:errcheck // likewise
	d.mu.Lock()
	defer d.mu.Unlock()
	r.code, r.msg = code, msg
}

func (d *demo) running() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, r := range d.runners {
		if r.code == -1 {
			n++
		}
	}
	return n
}

func (d *demo) rows() []row {
	d.mu.Lock()
	defer d.mu.Unlock()
	var rows []row
	for _, job := range d.sim.Jobs() {
		rw := jobRow(job)
		if r := d.runners[job.ID]; r != nil {
			switch {
			case r.code >= 0:
				rw.runner = fmt.Sprintf("exit %d", r.code)
			case r.pid > 0:
				rw.runner = fmt.Sprintf("pid %d", r.pid)
			}
		}
		rows = append(rows, rw)
	}
	return append(rows, stepRows(d.sim)...)
}
