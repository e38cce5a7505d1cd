package runner_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/agentbin"
)

// everything is a job that uses what jobs use.
const everything = `
set -eu
buildkite-agent annotate "some **text**" --context ctx.one --style info
buildkite-agent annotate " and more" --context ctx.one --append
buildkite-agent meta-data set colour red
test "$(buildkite-agent meta-data get colour)" = red
test "$(buildkite-agent meta-data get missing --default none)" = none
buildkite-agent meta-data exists colour
buildkite-agent meta-data keys | grep -qx colour
echo one > one.txt
buildkite-agent artifact upload one.txt
mkdir down
buildkite-agent artifact download one.txt down
cmp one.txt down/one.txt
buildkite-agent artifact search one.txt --format "found %p%n"
test "$(buildkite-agent artifact shasum one.txt)" = "$(sha1sum < one.txt | cut -d' ' -f1)"
buildkite-agent step update label " (updated)" --append
buildkite-agent step get label | grep -q "everything (updated)"
buildkite-agent oidc request-token --audience there | grep -q '\.'
test "$(buildkite-agent secret get KEY)" = VALUE-OF-THE-SECRET
echo "the secret is VALUE-OF-THE-SECRET, the password $MY_PASSWORD"
printf added-by-hand | buildkite-agent redactor add
echo "and this was added-by-hand"
buildkite-agent env set LATER=1
echo 'steps: [{command: echo uploaded, key: uploaded}]' | buildkite-agent pipeline upload
echo finished with all
`

// TestJobCommands: the agent's commands in a job, and the step that it uploads.
func TestJobCommands(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{Secrets: map[string]string{"KEY": "VALUE-OF-THE-SECRET"}})
	repo := l.repository("repo", map[string]string{"all.sh": everything})
	id := l.built(repo, `steps: [{command: bash all.sh, label: everything, artifact_paths: "down/*.txt", env: {MY_PASSWORD: correct-horse}}]`)[0]
	l.pass(id)
	l.wantInLog(id, "found one.txt", "the secret is [REDACTED], the password [REDACTED]", "this was [REDACTED]", "finished with all")
	l.wantNotInLog(id, "VALUE-OF-THE-SECRET", "correct-horse")
	b, _ := l.Build(1)
	if len(b.Annotations) != 1 || b.Annotations[0].Body != "some **text** and more" {
		t.Errorf("annotations = %+v", b.Annotations)
	}
	if got := len(l.Artifacts(1)); got != 2 {
		t.Errorf("%d artifacts, want one by command and one by path", got)
	}
	if len(b.JobIDs) != 2 {
		t.Fatalf("%d jobs, want the uploaded one too", len(b.JobIDs))
	}
	l.pass(b.JobIDs[1])
	l.wantInLog(b.JobIDs[1], "uploaded")
	l.wantSettled(b.JobIDs...)
}

// TestJobSignatures: a signed step runs with the right key, and an unsigned or
// tampered one is refused.
func TestJobSignatures(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	private, public, other := filepath.Join(l.dir, "private.json"), filepath.Join(l.dir, "public.json"), filepath.Join(l.dir, "other.json")
	for _, to := range []string{public, other} {
		out, err := exec.Command(filepath.Join(agentbin.Onejob(t), "buildkite-agent"), "tool", "keygen", "--alg", "EdDSA", "--key-id", "k",
			"--private-jwks-file", private+filepath.Base(to), "--public-jwks-file", to).CombinedOutput()
		if err != nil {
			t.Fatalf("keygen: %v\n%s", err, out)
		}
	}
	repo := l.repository("repo", map[string]string{"dynamic.yml": "steps: [{command: echo signed, key: one}, {command: echo signed, key: two}, {command: echo signed, key: three}]"})
	id := l.built(repo, `steps: [{command: buildkite-agent pipeline upload dynamic.yml}, {command: echo unsigned}]`)[0]
	l.pass(id, "--signing-jwks-file="+private+"public.json", "--signing-jwks-key-id=k")
	b, _ := l.Build(1)
	if len(b.JobIDs) != 5 {
		t.Fatalf("%d jobs, want 5", len(b.JobIDs))
	}
	l.pass(b.JobIDs[1], "--verification-jwks-file="+public)
	for _, tt := range []struct {
		name, id string
		flags    []string
	}{
		{"wrong key", b.JobIDs[2], []string{"--verification-jwks-file=" + other}},
		{"no key", b.JobIDs[3], nil},
		{"no signature", b.JobIDs[4], []string{"--verification-jwks-file=" + public}},
	} {
		p := l.ours(tt.id, append([]string{l.real()}, tt.flags...)...)
		p.wantExit(contract.ExitNotRun)
		p.wantOutcome(contract.OutcomeDeclined)
		if j := l.job(tt.id); j.ExitStatus != "-1" || j.SignalReason != "signature_rejected" {
			t.Errorf("%s: job ended with %s/%s, want signature_rejected", tt.name, j.ExitStatus, j.SignalReason)
		}
		l.wantNotInLog(tt.id, "\asigned", "\aunsigned")
	}
	l.wantSettled(b.JobIDs...)
}

// TestJobSettings: options that change what a job sees.
func TestJobSettings(t *testing.T) {
	t.Parallel()
	const timestamp = "\x1b_bk;t="
	for _, tt := range []struct {
		name    string
		conf    simulator.Config
		env     map[string]string
		command string
		flags   []string
		want    []string
		not     []string
	}{
		{name: "pty", command: "test -t 1 && echo a-terminal", want: []string{timestamp, "a-terminal"}},
		{name: "no pty", command: "test -t 1 || echo no-terminal", flags: []string{"--no-pty"}, want: []string{"no-terminal"}},
		{
			name: "no ANSI timestamps", command: "test -t 1 && seq 50000", flags: []string{"--no-ansi-timestamps"},
			want: []string{"\n49999\r", "\n50000\r"}, not: []string{timestamp},
		},
		{
			name: "timestamp lines", command: "test -t 1 && seq 50000", flags: []string{"--no-ansi-timestamps", "--timestamp-lines"},
			want: []string{"Z] 1\n", "Z] 49999\n", "Z] 50000\n"}, not: []string{timestamp},
		},
		{
			name: "experiments", command: "echo x=[$BUILDKITE_AGENT_EXPERIMENT]", flags: []string{"--experiment=normalised-upload-paths"},
			want: []string{"x=[normalised-upload-paths]"},
		},
		{
			name: "tracing", command: "echo tp=$TRACEPARENT", flags: []string{"--tracing-backend=opentelemetry", "--tracing-propagate-traceparent"},
			conf: simulator.Config{AcquireReply: func(reply map[string]any) {
				reply["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
			}},
			want: []string{"tp=00-0af7651916cd43dd8448eb211c80319c"},
		},
		{
			name: "allowed variables", command: "echo $WANTED", env: map[string]string{"WANTED": "is here"},
			flags: []string{"--enable-environment-variable-allowlist", "--allowed-environment-variables=^WANTED$"},
			want:  []string{"is here"},
		},
		{name: "shell", command: "echo $0", flags: []string{"--shell=/bin/sh -e -c"}, want: []string{"/bin/sh"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, tt.conf)
			b, err := l.CreateBuild(simulator.BuildRequest{Env: tt.env, Pipeline: []byte("steps: [{command: \"" + tt.command + "\"}]")})
			if err != nil {
				t.Fatal(err)
			}
			id := b.JobIDs[0]
			l.pass(id, append(tt.flags, "--skip-checkout")...)
			l.wantInLog(id, tt.want...)
			l.wantNotInLog(id, tt.not...)
			l.wantSettled(id)
		})
	}
}

// TestJobRefused: what an operator doesn't allow doesn't run.
func TestJobRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		env   map[string]string
		flags []string
		exit  int
	}{
		{"variable", map[string]string{"UNWANTED": "1"}, []string{"--enable-environment-variable-allowlist", "--allowed-environment-variables=^WANTED$"}, contract.ExitNotRun},
		{"repository", nil, []string{"--allowed-repositories=^https://only/"}, contract.ExitNotRun},
		{"command", nil, []string{"--no-command-eval"}, contract.ExitOK}, // the bootstrap's own refusal, after hooks have run
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Config{})
			repo := l.repository("repo", map[string]string{"x": "x"})
			id := l.build(simulator.BuildRequest{Repo: repo, Env: tt.env}, `steps: [{command: "echo nev''er"}]`)[0]
			p := l.ours(id, append([]string{l.real()}, tt.flags...)...)
			p.wantExit(tt.exit)
			if j := l.job(id); j.Passed {
				t.Error("the job passed")
			}
			l.wantNotInLog(id, "never")
			l.wantSettled(id)
		})
	}
}
