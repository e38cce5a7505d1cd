package endtoend

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/fixture"
	"github.com/onejob-dev/onejob/test/gobuild"
	"github.com/onejob-dev/onejob/test/pages"
)

// kubectlPath is kubectl's, which run has built.
var kubectlPath string

// typedQueue is the queue of the job that commands are about: like a row's, on the node that
// stays.
const typedQueue = "typed"

// notTyped are the kubectl commands of the pages that aren't run as they stand, and why.
var notTyped = map[string]string{
	"kubectl exec":                  "a part: the log of a held job has the whole, which rows of besideRows want",
	"kubectl apply":                 "its name alone",
	"kubectl describe":              "its name alone",
	"kubectl describe job":          "a part: no object is named",
	"kubectl drain":                 "its name alone: drainRows evict as it does",
	"kubectl delete --grace-period": "a part: no object is named",
	"kubectl delete node":           "a part: no object is named",
	"kubectl -n onejob logs":        "a part: the whole is above it",
	"kubectl -n onejob logs deploy/onejob --previous":                                    "there is a container before this one only after a restart",
	"kubectl -n onejob wait --for=condition=complete job/onejob-deregister --timeout=2m": "the Job is there only while onejob is uninstalled: TestUninstall waits for it",
	"kubectl -n onejob port-forward deploy/onejob 8080":                                  "portForward types it, with another port",
}

// own are the namespaces in which commands may change things. What the pages do in
// onejob's, but for looking, is done in the first; the second is made in its place.
var own = []string{"as-documented", "made-as-documented", "ci", "release", "images"}

// TestDocumentedKubectl: each kubectl command of the pages, the runbooks of the alerts among
// them, does what it says on a cluster with onejob and a job. Where one would change what
// others use, the API server is asked for a dry run.
func TestDocumentedKubectl(t *testing.T) {
	commands := pages.Commands(t, "kubectl", "onejob")
	slices.SortStableFunc(commands, func(a, b pages.Command) int { return makesNamespace(b) - makesNamespace(a) })
	r := &reader{T: t, ctx: t.Context(), dir: t.TempDir(), names: strings.NewReplacer()}
	typed, left := map[string]bool{}, map[string]bool{}
	if i := slices.IndexFunc(commands, func(c pages.Command) bool { return strings.Join(c.Words, " ") == rollout }); i >= 0 {
		typed[rollout] = true
		r.kubectl(commands[i], nil)
	}
	t.Parallel()

	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	r.ctx = ctx
	r.settle()
	var said []byte // by the command before
	looks := errgroup.Group{}
	looks.SetLimit(3)
	for i, c := range commands {
		line := strings.Join(c.Words, " ")
		isPiped := i+1 < len(commands) && strings.Join(commands[i+1].Words, " ") == appliesInput
		switch {
		case notTyped[line] != "":
			left[line] = true
		case typed[line] && !isPiped && line != appliesInput:
		case c.Program() == "onejob":
			if isPiped {
				said = r.onejob(c)
			}
		case r.onlyLooks(c) && !isPiped:
			typed[line] = true
			looks.Go(func() error { r.kubectl(c, nil); return nil })
		default:
			typed[line] = true
			said = r.kubectl(c, said)
		}
	}
	_ = looks.Wait() // they tell the test
	for line, why := range notTyped {
		if !left[line] {
			t.Errorf("no page has %q, which isn't typed: %s", line, why)
		}
	}
	if len(typed) < 60 {
		t.Errorf("%d commands were typed", len(typed))
	}
	r.portForward()
}

// rollout is a command that ends only while each replica has a node, and rows take nodes away.
const rollout = "kubectl -n onejob rollout status deployment/onejob"

// appliesInput is a command that takes what the one before it says.
const appliesInput = "kubectl apply -f -"

func makesNamespace(c pages.Command) int {
	if len(c.Words) > 2 && c.Words[1] == "create" && c.Words[2] == "namespace" {
		return 1
	}
	return 0
}

// reader is somebody who reads the pages and types what they say.
type reader struct {
	*testing.T
	ctx    context.Context
	dir    string
	plugin string            // onejob, by the name by which kubectl finds it
	names  *strings.Replacer // for what stands for something
}

// settle makes what the commands are about.
func (r *reader) settle() {
	r.Helper()
	t, ctx := r.T, r.ctx
	root, err := filepath.Abs(options.Root)
	ok(t, err)
	ok(t, os.Symlink(filepath.Join(root, "deploy"), filepath.Join(r.dir, "deploy")))
	for name, text := range map[string]string{
		"token": simulator.DefaultAgentToken, "id_ed25519": "a key", "known_hosts": "a host", ".git-credentials": "https://user:password@git.example\n",
		"EdDSA-ci-1-public.json": "{}", "onejob.yaml": "queues: [{name: default, steps: pod}]\n",
	} {
		ok(t, os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600))
	}
	r.plugin = filepath.Join(r.dir, "kubectl-onejob")
	ok(t, gobuild.Program(ctx, "", r.plugin, "../../cmd/onejob"))

	// Pages take it for granted that a cluster with such storage has VolumeSnapshots.
	if said, err := r.command(kubectlPath, "apply", "-f", "deploy/testdata/volumesnapshots.yaml").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}

	core := on.Cluster.Client().CoreV1()
	for _, name := range own {
		t.Cleanup(func() { _ = core.Namespaces().Delete(context.WithoutCancel(ctx), name, metav1.DeleteOptions{}) })
	}
	for _, name := range []string{own[0], "release"} { // the chart makes this one (queueNamespaces)
		_, err = core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		ok(t, err)
	}

	// To be restarted, which has no dry run. It makes no pods.
	labels, none := map[string]string{"app": "documented"}, int32(0)
	_, err = on.Cluster.Client().AppsV1().Deployments(own[0]).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "onejob"},
		Spec: appsv1.DeploymentSpec{
			Replicas: &none, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "none", Image: "none"}}}},
		},
	}, metav1.CreateOptions{})
	ok(t, err)

	build := create(t, simulator.BuildRequest{Env: noCheckout()}, map[string]any{"command": "echo begun; sleep 600", "agents": map[string]any{"queue": typedQueue}})
	id := build.JobIDs[0]
	t.Cleanup(func() { _ = on.Simulator.CancelJob(id) })
	pod := ""
	until(t, ctx, "the job runs in a pod", func() bool {
		list, err := core.Pods(fixture.Namespace).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelJobID + "=" + id})
		for _, p := range list.Items {
			pod = p.Name
		}
		j, _ := on.Simulator.Job(id)
		return err == nil && pod != "" && j.State == simulator.StateRunning
	})
	r.names = strings.NewReplacer("OLD_NAMESPACE.OLD_LEASE", "onejob.onejob", "NAMESPACE", fixture.Namespace, "QUEUE", typedQueue, "queue=NAME", "queue="+typedQueue,
		"JOB_ID", id, "POD", pod, "NODE", on.Cluster.NodeNames[0], "VALUE", "secret")
}

// looks are kubectl's commands that change nothing; onejob is a plugin.
var looks = []string{"get", "describe", "logs", "exec", "rollout status", "onejob"}

// does is a command without its program and namespace.
func does(c pages.Command) string {
	return regexp.MustCompile(`^(-n \S+ )`).ReplaceAllString(strings.Join(c.Words[1:], " "), "")
}

func (r *reader) onlyLooks(c pages.Command) bool {
	return slices.ContainsFunc(looks, func(verb string) bool { return strings.HasPrefix(does(c)+" ", verb+" ") })
}

// filled is a command with what its names stand for, and so that it changes nothing that
// others use.
func (r *reader) filled(c pages.Command) []string {
	args := slices.Clone(c.Words[1:])
	for i := range args {
		args[i] = r.names.Replace(args[i])
	}
	if r.onlyLooks(c) {
		return args
	}
	namespace := ""
	for i := 1; i < len(args); i++ {
		if word := args[i-1]; word != "-n" && word != "namespace" {
			continue
		}
		if args[i] == fixture.Namespace && !inPlace(does(c)) {
			args[i] = own[makesNamespace(c)]
		}
		namespace = args[i]
	}
	if !slices.Contains(own, namespace) && !slices.Contains(args, "--dry-run=client") {
		args = append(args, "--dry-run=server")
	}
	return args
}

// inPlace: the command is about what only onejob's namespace has.
func inPlace(does string) bool {
	return strings.HasPrefix(does, "scale ") || strings.HasPrefix(does, "apply ") || strings.HasPrefix(does, "delete ")
}

// kubectl runs a command and returns what it says. What is asked may be away for a moment:
// a pod that is replaced, a kind that isn't served yet.
func (r *reader) kubectl(c pages.Command, stdin []byte) (out []byte) {
	r.Helper()
	args := r.filled(c)
	if strings.Contains(c.String(), "workloads.kueue.x-k8s.io") && kueueLives == nil {
		r.Logf("%s: without TestKueue there is no Kueue", c)
		return nil
	}
	var said strings.Builder
	var err error
	for begun := time.Now(); time.Since(begun) < 20*time.Second && r.ctx.Err() == nil; time.Sleep(time.Second) {
		said.Reset()
		cmd := r.command(kubectlPath, args...)
		cmd.Stdin, cmd.Stderr = strings.NewReader(string(stdin)), &said
		if out, err = cmd.Output(); err == nil {
			r.Logf("kubectl %s: %d bytes", strings.Join(args, " "), len(out))
			return out
		}
	}
	r.Errorf("%s\n  as kubectl %s: %v\n%s", c, strings.Join(args, " "), err, said.String())
	return nil
}

func (r *reader) onejob(c pages.Command) []byte {
	r.Helper()
	cmd := r.command(r.plugin, c.Words[1:]...)
	out, err := cmd.Output()
	if err != nil {
		r.Errorf("%s: %v", c, err)
	}
	return out
}

func (r *reader) command(program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(r.ctx, program, args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+on.Cluster.KubeconfigPath, "HOME="+r.dir, "PATH="+r.dir+":"+os.Getenv("PATH"))
	return cmd
}

// portForward: the scheduler's page is there by the command that the pages have, on another
// port than theirs, which this machine may use.
func (r *reader) portForward() {
	r.Helper()
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	until(r.T, ctx, "the scheduler says whether it is ready", func() bool {
		status, err := r.forwarded(ctx)
		if err != nil {
			r.Log(err)
		}
		return status == http.StatusOK
	})
}

func (r *reader) forwarded(ctx context.Context) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := r.command(kubectlPath, "-n", fixture.Namespace, "port-forward", "deploy/onejob", ":8080")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(out).ReadString('\n')
	port := regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindStringSubmatch(line)
	if port == nil {
		return 0, errors.Join(err, fmt.Errorf("port-forward says %q", line))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port[1]+"/readyz", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}
