package endtoend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/buildkite/go-pipeline/jwkutil"
	"github.com/lestrrat-go/jwx/v3/jwa"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/fixture"
)

// signing are the queues of docs/secrets.md: in one an upload signs, the other runs what is
// signed. The key of each is a file of the runner's container.
var signing = keyQueue("signs", "{name: BUILDKITE_AGENT_SIGNING_JWKS_FILE, value: /keys/keys.json}, {name: BUILDKITE_AGENT_SIGNING_JWKS_KEY_ID, value: ci-1}") +
	keyQueue("verifies", "{name: BUILDKITE_AGENT_VERIFICATION_JWKS_FILE, value: /keys/keys.json}")

func keyQueue(name, env string) string {
	return `- name: ` + name + `
  max-in-flight: 8
  template: {inline: {apiVersion: batch/v1, kind: Job, spec: {ttlSecondsAfterFinished: 600, template: {spec: {
    nodeSelector: {kubernetes.io/hostname: node-0},
    containers: [{name: agent, image: localhost/onejob-agent:dev, imagePullPolicy: Never, resources: {requests: {cpu: 10m, memory: 32Mi}},
      env: [` + env + `], volumeMounts: [{name: keys, mountPath: /keys, readOnly: true}]}],
    volumes: [{name: keys, secret: {secretName: ` + name + `}}]}}}}}
`
}

// keyPair makes the Secrets of both queues, and returns the secret and the public number of
// the pair.
func keyPair(t *testing.T, ctx context.Context) (private, public string) {
	t.Helper()
	signer, verifier, err := jwkutil.NewKeyPair("ci-1", jwa.EdDSA())
	a, err1 := json.Marshal(signer)
	b, err2 := json.Marshal(verifier)
	if err := errors.Join(err, err1, err2); err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string][]byte{"signs": a, "verifies": b} {
		_, err := on.Cluster.Client().CoreV1().Secrets(fixture.Namespace).Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string][]byte{"keys.json": keys},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	var set struct{ Keys []struct{ D, X string } }
	if err := json.Unmarshal(a, &set); err != nil || len(set.Keys) != 1 || len(set.Keys[0].D) < 20 || len(set.Keys[0].X) < 20 {
		t.Fatalf("%v: %d keys", err, len(set.Keys))
	}
	return set.Keys[0].D, set.Keys[0].X
}

// seeks is a command that says that it ran, and looks for the keys.
const seeks = "echo $((40+2))-ran-genuine; cat /keys/keys.json || cat /proc/*/root/keys/keys.json || find / -path /sys -prune -o -name keys.json -print || :; env; mount || :; echo sought"

// uploads has a signed step uploaded as it is, changed after it was signed, and unsigned.
const uploads = `set -e
printf %s '{STEP}' > p.json
plainly() { env -u BUILDKITE_AGENT_JWKS_FILE -u BUILDKITE_AGENT_JWKS_KEY_ID buildkite-agent pipeline upload --no-interpolation; }
buildkite-agent pipeline upload --no-interpolation p.json
buildkite-agent pipeline upload --no-interpolation --dry-run p.json > signed.json
sed 's/genuine/changed/g' signed.json | plainly
sed 's/"genuine"/"elsewhere"/; s#{IMAGE}#localhost/onejob-home:dev#' signed.json | plainly
sed 's/genuine/unsigned/g' p.json | plainly
`

// TestSigning: in a queue that runs signed steps only, a step with an image of its own runs
// if it is as it was uploaded. One that was changed, or was never signed, ends with the
// reason, and nothing of it runs. No command has a key.
func TestSigning(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	private, public := keyPair(t, ctx)
	step, err := json.Marshal(map[string]any{"steps": []any{
		map[string]any{"key": "genuine", "image": image.BusyboxName, "command": seeks, "env": noCheckout(), "agents": map[string]string{"queue": "verifies"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	command := strings.NewReplacer("{STEP}", string(step), "{IMAGE}", image.BusyboxName).Replace(uploads)
	build := create(t, simulator.BuildRequest{Queue: "signs"}, map[string]any{"command": command, "env": noCheckout()})
	if err := on.Simulator.Wait(ctx, func() bool { b, _ := on.Simulator.Build(build.Number); return b.Done() }); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	build, _ = on.Simulator.Build(build.Number)
	if len(build.JobIDs) != 5 {
		text, _ := on.Simulator.Log(build.JobIDs[0])
		t.Fatalf("%d jobs, want the upload and four:\n%s", len(build.JobIDs), text)
	}
	const ran, refused = "42-ran-", "Job signature verification failed"
	for i, want := range []struct {
		name, exit, reason string
		says               []string
	}{
		{"as it was uploaded", "0", "", []string{"Job signature verified", ran + "genuine", "sought"}},
		{"another command", "-1", "signature_rejected", []string{refused, "error: invalid signature: signature verification failed"}},
		// The agent's signature has no image: docs/secrets.md says what to do.
		{"another image", "0", "", []string{"Job signature verified", ran + "genuine"}},
		{"never signed", "-1", "signature_rejected", []string{refused, "no signature in job"}},
	} {
		job, _ := on.Simulator.Job(build.JobIDs[i+1])
		log, _ := on.Simulator.Log(build.JobIDs[i+1])
		wrong := ""
		if job.ExitStatus != want.exit || job.SignalReason != want.reason {
			wrong = fmt.Sprintf("it ended with %s/%s, want %s/%s", job.ExitStatus, job.SignalReason, want.exit, want.reason)
		}
		for _, says := range want.says {
			if !strings.Contains(string(log), says) {
				wrong += fmt.Sprintf("\nthe log doesn't say %q", says)
			}
		}
		for _, never := range []string{private, public, ran} {
			if strings.Contains(string(log), never) && (never != ran || want.reason != "") {
				wrong += fmt.Sprintf("\nthe log has %q", never)
			}
		}
		if wrong != "" {
			t.Errorf("%s: %s\n%s", want.name, wrong, log)
		}
	}
}
