package endtoend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/fixture"
)

// mirroring is the queue of docs/git.md that has its mirrors on a claim, and whose steps
// may name Secrets for git.
const mirroring = `- name: mirroring
  max-in-flight: 8
  steps: pod
  policy: {secrets: [git-*]}
  template: {inline: {apiVersion: batch/v1, kind: Job, spec: {ttlSecondsAfterFinished: 60, template: {spec: {
    nodeSelector: {kubernetes.io/hostname: node-0},
    containers: [{name: agent, image: localhost/onejob-agent:dev, imagePullPolicy: Never, resources: {requests: {cpu: 10m, memory: 32Mi}},
      env: [{name: BUILDKITE_GIT_MIRRORS_PATH, value: /mirrors}], volumeMounts: [{name: mirrors, mountPath: /mirrors}]}],
    volumes: [{name: mirrors, persistentVolumeClaim: {claimName: git-mirrors}}]}}}}}
`

// served is the folder of the repositories, and mirrorsIn that of the mirrors, which all
// nodes have.
var served, mirrorsIn string

// publishMirrored makes a repository with a submodule, and a folder for mirrors.
func publishMirrored(ctx context.Context, dir string) error {
	served, mirrorsIn = dir, filepath.Join(dir, "mirrors")
	err := os.Mkdir(mirrorsIn, 0o777)
	if err == nil {
		err = errors.Join(os.Chmod(mirrorsIn, 0o777), os.Chmod(dir, 0o755))
	}
	for _, name := range []string{"lib", "mirrored"} {
		if err == nil {
			err = repository(ctx, dir, name, func(work string) error {
				return os.WriteFile(filepath.Join(work, "file"), []byte("of "+name+"\n"), 0o600)
			})
		}
	}
	return err
}

// claimMirrors makes the claim git-mirrors, as an administrator would whose cluster
// provisions nothing.
func claimMirrors(t testing.TB, ctx context.Context) {
	t.Helper()
	class, amount := "", corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	many := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	core := on.Cluster.Client().CoreV1()
	_, err := core.PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "git-mirrors"},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: amount, AccessModes: many, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: mirrorsIn}},
			ClaimRef:               &corev1.ObjectReference{Namespace: fixture.Namespace, Name: "git-mirrors"},
		},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return
	}
	if err == nil {
		_, err = core.PersistentVolumeClaims(fixture.Namespace).Create(ctx, &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: "git-mirrors"},
			Spec:       corev1.PersistentVolumeClaimSpec{StorageClassName: &class, VolumeName: "git-mirrors", AccessModes: many, Resources: corev1.VolumeResourceRequirements{Requests: amount}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// gitJob runs the jobs of one step in the queue, and returns the first exit status that isn't
// 0, and their logs.
func gitJob(t *testing.T, ctx context.Context, repo string, step map[string]any) (exit, log string) {
	t.Helper()
	build := create(t, simulator.BuildRequest{Queue: "mirroring", Repo: repo}, step)
	if err := on.Simulator.Wait(ctx, func() bool { b, _ := on.Simulator.Build(build.Number); return b.Done() }); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	exit = "0"
	for _, id := range build.JobIDs {
		job, _ := on.Simulator.Job(id)
		text, _ := on.Simulator.Log(id)
		if log += string(text); exit == "0" {
			exit = job.ExitStatus
		}
	}
	return exit, log
}

// TestGit: a checkout from mirrors on a claim, after a job that was killed there, for a
// command in a container of its own; and one with credentials, submodules and all.
func TestGit(t *testing.T) {
	if *gitSpeed == 0 {
		t.Parallel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	claimMirrors(t, ctx)
	repo := on.URL + "smart/mirrored.git"
	want := func(what, repo string, step map[string]any, says, never string) {
		t.Helper()
		exit, log := gitJob(t, ctx, repo, step)
		if exit != "0" || !strings.Contains(log, says) || never != "" && strings.Contains(log, never) {
			t.Errorf("%s: exit status %s, want 0 and %q in the log, and not %q:\n%s", what, exit, says, never, log)
		}
	}
	want("the first job", repo, map[string]any{"command": "cat file .git/objects/info/alternates; git log --format=seen-%s"}, "seen-before", "")

	mirror := leave(t)
	want("after a job that was killed", repo, map[string]any{"command": "git log --format=seen-%s"}, "left locks of git's (refs/heads/main.lock)", "")
	want("a command in a container of its own", repo, map[string]any{"image": "localhost/onejob-home:dev", "command": "git log --format=seen-%s"}, "seen-before", "fatal:")
	if err := os.RemoveAll(mirror); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(mirror, 0o777); err != nil {
		t.Fatal(err)
	}
	want("two at once after a clone that was killed", repo, map[string]any{"command": "cat file", "parallelism": 2}, "is no repository yet", "")

	with := func(checkout object, command string) map[string]any {
		return map[string]any{"image": image.BusyboxName, "command": command, "plugins": []any{object{"kubernetes": object{"checkout": checkout}}}}
	}
	want("with credentials", servePrivate(t, ctx), with(object{"gitCredentialsSecret": object{"secretName": "git-token"}}, "grep -q private file && cat lib/file"), "of lib", "fatal:")
	want("with a key for ssh", serveSSH(t, ctx), with(object{"envFrom": []any{object{"secretRef": object{"name": "git-ssh"}}}}, "test ! -e /buildkite && cat file"), "of lib", "fatal:")
}

// leave leaves in the mirror what a git that was killed a while ago would.
func leave(t *testing.T) (mirror string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(mirrorsIn, "*mirrored-git"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the mirrors: %v, %v", found, err)
	}
	lock := filepath.Join(found[0], "refs", "heads", "main.lock")
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-time.Hour)
	if err := os.Chtimes(lock, then, then); err != nil {
		t.Fatal(err)
	}
	// Something new to fetch.
	work := filepath.Join(served, "work-mirrored")
	for _, args := range [][]string{
		{"-C", work, "-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "commit", "--quiet", "--allow-empty", "--message=after"},
		{"-C", work, "push", "--quiet", filepath.Join(served, "mirrored.git"), "main"},
	} {
		if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git: %v: %s", err, out)
		}
	}
	return found[0]
}

// servePrivate serves the repositories to whoever has a password, which the Secret
// git-token has, and one with a submodule of that server's. It returns that one's address.
func servePrivate(t *testing.T, ctx context.Context) (url string) {
	t.Helper()
	git, err := fixture.SmartGit(served)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(on.Cluster.HostAddress, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "bot" || password != "sesame" {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		git.ServeHTTP(w, r)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	at := "http://" + l.Addr().String() + "/smart/"
	head, err := exec.CommandContext(ctx, "git", "--git-dir", filepath.Join(served, "lib.git"), "rev-parse", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	err = repository(ctx, served, "private", func(work string) error {
		if err := errors.Join(os.Mkdir(filepath.Join(work, "lib"), 0o755), os.WriteFile(filepath.Join(work, "file"), []byte("of private\n"), 0o600)); err != nil {
			return err
		}
		modules := fmt.Sprintf("[submodule \"lib\"]\n\tpath = lib\n\turl = %slib.git\n", at)
		if err := os.WriteFile(filepath.Join(work, ".gitmodules"), []byte(modules), 0o600); err != nil {
			return err
		}
		for _, args := range [][]string{{"init", "--quiet", "--initial-branch=main"}, {"update-index", "--add", "--cacheinfo", "160000," + strings.TrimSpace(string(head)) + ",lib"}, {"-c", "user.name=e2e", "-c", "user.email=e2e@example.com", "commit", "--quiet", "--message=lib"}} {
			cmd := exec.CommandContext(ctx, "git", args...)
			cmd.Dir = work
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("git %s: %w: %s", args[0], err, out)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = on.Cluster.Client().CoreV1().Secrets(fixture.Namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "git-token"}, StringData: map[string]string{".git-credentials": "http://bot:sesame@" + l.Addr().String()},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return at + "private.git"
}
