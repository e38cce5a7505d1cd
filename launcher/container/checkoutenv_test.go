package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/contract"
)

func touch(t *testing.T, path string) { write(t, path, "") }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCheckoutEnv: the variables of a step's checkout are the bootstrap's that checks out,
// under those of the job, and never a setting of the agent.
func TestCheckoutEnv(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a", "..data", "USER_NAME"), "bot") // as the kubelet lays them out
	if err := os.Symlink(filepath.Join("..data", "USER_NAME"), filepath.Join(dir, "a", "USER_NAME")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a", "TWICE"), "a")
	write(t, filepath.Join(dir, "a", "OF_THE_JOB"), "a")
	write(t, filepath.Join(dir, "a", "ca.crt"), "no name of a variable")
	write(t, filepath.Join(dir, "b", "TWICE"), "b")
	write(t, filepath.Join(dir, "agent", "BUILDKITE_COMMAND_EVAL"), "true")
	write(t, filepath.Join(dir, "rest", "AGENT_ENDPOINT"), "x")
	write(t, filepath.Join(dir, "nul", "A"), "\x00")
	write(t, filepath.Join(dir, "long", "A"), strings.Repeat("a", longestVariable))
	write(t, filepath.Join(dir, "b64", "SSH_PRIVATE_RSA_KEY_B64"), "?")
	job := []string{"OF_THE_JOB=job", "PATH=/bin"}
	for _, tt := range []struct {
		folders []contract.CheckoutEnv
		want    map[string]string
		fault   string
	}{
		{nil, map[string]string{"OF_THE_JOB": "job", "PATH": "/bin", "GIT_SSH_COMMAND": ""}, ""},
		{[]contract.CheckoutEnv{{Dir: "a"}, {Dir: "b"}}, map[string]string{"USER_NAME": "bot", "TWICE": "b", "OF_THE_JOB": "job", "ca.crt": ""}, ""},
		{[]contract.CheckoutEnv{{Prefix: "GIT_", Dir: "a"}}, map[string]string{"GIT_USER_NAME": "bot", "USER_NAME": ""}, ""},
		{[]contract.CheckoutEnv{{Dir: "agent"}}, nil, "have BUILDKITE_COMMAND_EVAL, and names that begin with BUILDKITE, ONEJOB or KUBERNETES are settings of the agent"},
		{[]contract.CheckoutEnv{{Prefix: "BUILDKITE_", Dir: "rest"}}, nil, "have BUILDKITE_AGENT_ENDPOINT"},
		{[]contract.CheckoutEnv{{Dir: "nul"}}, nil, "a NUL character"},
		{[]contract.CheckoutEnv{{Dir: "long"}}, nil, "more than 128 KiB"},
		{[]contract.CheckoutEnv{{Dir: "b64"}}, nil, "the variable SSH_PRIVATE_RSA_KEY_B64 for the checkout: it is not base64"},
		{[]contract.CheckoutEnv{{Dir: "gone"}}, nil, "reading the variables for the checkout: "},
	} {
		for i := range tt.folders {
			tt.folders[i].Dir = filepath.Join(dir, tt.folders[i].Dir)
		}
		got, err := checkoutEnv(job, tt.folders, t.TempDir())
		if tt.fault == "" && err != nil || tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)) {
			t.Errorf("%v: got %v, want %q", tt.folders, err, tt.fault)
		}
		for name, want := range tt.want {
			if v := value(got, name); v != want {
				t.Errorf("%v: %s is %q, want %q", tt.folders, name, v, want)
			}
		}
	}
}

// TestCheckoutHosts: by the names that the stock agent's image has, ssh gets keys and known
// hosts, encoded or not, and asks nobody.
func TestCheckoutHosts(t *testing.T) {
	dir, keys := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "SSH_KNOWN_HOSTS"), "hosts")
	write(t, filepath.Join(dir, "SSH_PRIVATE_ECDSA_KEY"), "one")
	write(t, filepath.Join(dir, "SSH_PRIVATE_RSA_KEY_B64"), "dHdv\nCg==\n")
	env, err := checkoutEnv(nil, []contract.CheckoutEnv{{Dir: dir}}, keys)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, word := range strings.Fields(value(env, "GIT_SSH_COMMAND")) {
		option, path, is := strings.Cut(word, "=")
		if !is {
			option, path = "", word
		}
		if text, err := os.ReadFile(path); err == nil {
			word = strings.TrimPrefix(option+"=", "=") + strings.TrimSpace(string(text))
		}
		got = append(got, word)
	}
	if got, want := strings.Join(got, " "), "ssh -o UserKnownHostsFile=hosts -o StrictHostKeyChecking=yes -i one -i two -o BatchMode=yes"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestCheckoutKey: whatever file has a key, ssh takes it. The command doesn't find it.
func TestCheckoutKey(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "SSH_PRIVATE_ED25519_KEY")
	write(t, path, "key")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	p := aPod(t, `set -- $GIT_SSH_COMMAND; f=$3; echo "$(stat -c %a $f) $(wc -l <$f) $(cat $f)"; echo $f >$CONTAINER_TEST_DIR/at`, `ls $(cat $CONTAINER_TEST_DIR/at) 2>&1 | grep -c "No such"`)
	p.start("runner")
	p.start("run")
	if err := AwaitCommands(t.Context(), p.dir, 1); err != nil {
		t.Fatal(err)
	}
	p.until("the runner is there", func() bool { return isHeld(filepath.Join(p.dir, runnerFile)) })
	serve := p.start("serve", "CONTAINER_TEST_CHECKOUT_ENV="+contract.CheckoutEnvValue([]contract.CheckoutEnv{{Dir: dir}}))
	if got, want := p.end(serve)+"\n"+serve.out.String(), "exit status 0\n600 1 key\n1\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCheckoutEnvIsTheCheckouts: the command has none of it.
func TestCheckoutEnvIsTheCheckouts(t *testing.T) {
	for key, want := range map[string]string{"WORD": "exit status 0", "BUILDKITE_AGENT_TAGS": "exit status 125"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			p := aPod(t, "echo 1:$WORD:", "echo 2:$WORD:")
			dir := t.TempDir()
			write(t, filepath.Join(dir, key), "of-the-checkout")
			p.start("runner")
			p.start("run")
			if err := AwaitCommands(t.Context(), p.dir, 1); err != nil {
				t.Fatal(err)
			}
			p.until("the runner is there", func() bool { return isHeld(filepath.Join(p.dir, runnerFile)) })
			serve := p.start("serve", "CONTAINER_TEST_CHECKOUT_ENV="+contract.CheckoutEnvValue([]contract.CheckoutEnv{{Dir: dir}}))
			if got := p.end(serve); got != want {
				t.Errorf("it ended with %s, want %s", got, want)
			}
			if out := serve.out.String(); key == "WORD" && out != "1:of-the-checkout:\n2::\n" || key != "WORD" && (strings.Contains(out, "1:") || !strings.Contains(out, key)) {
				t.Errorf("the log says %q", out)
			}
		})
	}
}
