package main

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/onejob-dev/onejob/test/gobuild"
)

func TestCompletion(t *testing.T) {
	run(t, "completion", "bash").wants(t, 0, "complete -o default -F _onejob onejob")
	run(t, "completion", "zsh").wants(t, 0, "#compdef onejob")
	run(t, "completion", "fish").wants(t, 0, "complete -c onejob", "doctor")
	run(t, "completion").wants(t, 2, "which shell?")
	run(t, "completion", "tcsh").wants(t, 2, `no completion for "tcsh"`)
}

// bash itself completes commands, flags and the names of shells, and runs nothing of what
// is on the line.
func TestCompletionInBash(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := gobuild.Program(t.Context(), "", filepath.Join(dir, "onejob"), "."); err != nil {
		t.Fatal(err)
	}
	complete := func(words ...string) []string {
		t.Helper()
		script := completionBash + `
COMP_WORDS=(onejob "$@"); COMP_CWORD=$#; _onejob; printf '%s\n' "${COMPREPLY[@]}"`
		cmd := exec.CommandContext(t.Context(), bash, append([]string{"-c", script, "bash"}, words...)...)
		cmd.Dir, cmd.Env = dir, []string{"PATH=" + dir + ":/usr/bin:/bin"}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.Fields(string(out))
	}
	for _, tt := range []struct {
		words []string
		want  string
	}{
		{[]string{"doc"}, "doctor"},
		{[]string{""}, "completion"},
		{[]string{"jobs", "--unf"}, "--unfinished"},
		{[]string{"explain", "--as-g"}, "--as-group"},
		{[]string{"completion", "z"}, "zsh"},
	} {
		if got := complete(tt.words...); !slices.Contains(got, tt.want) {
			t.Errorf("%q is completed with %q, want %s", tt.words, got, tt.want)
		}
	}
	complete("jobs", "$(touch ran)", "--")
	if _, err := filepath.Glob(filepath.Join(dir, "ran")); err != nil {
		t.Error(err)
	}
	if ran, _ := filepath.Glob(filepath.Join(dir, "ran")); len(ran) > 0 {
		t.Error("what was on the line was run")
	}
}

// Every command that talks to Kubernetes has all of kubectl's flags about the connection,
// and they end in the connection.
func TestConnectionFlags(t *testing.T) {
	kubeconfig := write(t, `
apiVersion: v1
kind: Config
current-context: a
contexts: [{name: a, context: {cluster: c, user: u}}, {name: b, context: {cluster: d, user: v, namespace: of-b}}]
clusters: [{name: c, cluster: {server: "https://c:1"}}, {name: d, cluster: {server: "https://d:1"}}]
users: [{name: u, user: {token: tu}}, {name: v, user: {token: tv}}]
`)
	config := func(args ...string) (clientcmd.ClientConfig, string) {
		t.Helper()
		app := newApp()
		var got clientcmd.ClientConfig
		var namespace string
		for _, c := range app.Commands {
			if c.Name == "jobs" {
				c.Action = func(c *cli.Context) error { got, namespace = kubeConfig(c), namespaceOf(c); return nil }
			}
		}
		if err := app.Run(append([]string{"onejob", "jobs", "--kubeconfig", kubeconfig}, args...)); err != nil {
			t.Fatal(err)
		}
		return got, namespace
	}
	got, _ := config("--server", "https://e:1", "--insecure-skip-tls-verify", "--tls-server-name", "n", "--token", "t", "--as", "me", "--as-group", "x,y", "--as-group", "z", "--as-uid", "7",
		"--request-timeout", "7s", "--proxy-url", "http://p:1", "--disable-compression")
	rest, err := got.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	if rest.Host != "https://e:1" || !rest.Insecure || rest.ServerName != "n" || rest.BearerToken != "t" || rest.Timeout.String() != "7s" || !rest.DisableCompression || rest.Proxy == nil {
		t.Errorf("got %+v", rest)
	}
	if i := rest.Impersonate; i.UserName != "me" || !slices.Equal(i.Groups, []string{"x,y", "z"}) || i.UID != "7" {
		t.Errorf("as %+v", i)
	}
	got, namespace := config("--context", "b", "-n", "ns/other")
	if rest, err = got.ClientConfig(); err != nil || rest.Host != "https://d:1" || rest.BearerToken != "tv" || namespace != "other" {
		t.Errorf("got %+v, namespace %s, %v", rest, namespace, err)
	}
	if _, namespace = config("--context", "b"); namespace != "of-b" {
		t.Errorf("namespace %s", namespace)
	}
	for _, c := range newApp().Commands {
		if slices.Contains([]string{"probe", "import", "completion"}, c.Name) {
			continue
		}
		has := map[string]bool{}
		for _, f := range c.Flags {
			for _, name := range f.Names() {
				if has[name] {
					t.Errorf("onejob %s has two flags %s", c.Name, name)
				}
				has[name] = true
			}
		}
		for _, name := range []string{"as", "as-group", "as-uid", "certificate-authority", "client-certificate", "client-key", "cluster", "context", "disable-compression",
			"insecure-skip-tls-verify", "kubeconfig", "namespace", "n", "password", "proxy-url", "request-timeout", "s", "server", "tls-server-name", "token", "user", "username"} {
			if !has[name] {
				t.Errorf("onejob %s has no flag %s", c.Name, name)
			}
		}
	}
}
