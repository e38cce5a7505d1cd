package kjob

import (
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/k8s/config"
)

// A pod has the token of a service account only if its template asks for it explicitly.
func TestAccount(t *testing.T) {
	const token = `volumes: [{name: kube-api, projected: {sources: [{serviceAccountToken: {path: token, expirationSeconds: 3600}}]}}]`
	for _, tt := range []struct {
		name, spec, want string
	}{
		{"none", "{}", ""},
		{"an account without a token", "{serviceAccountName: deployer}", ""},
		{"a projected token", "{serviceAccountName: deployer, " + token + "}", ""},
		{"mounted by itself", "{serviceAccountName: deployer, automountServiceAccountToken: true}", "automountServiceAccountToken: must be false: a job could read the token. If jobs are to have it"},
		{"of no account", "{" + token + "}", "volumes[kube-api]: the token of an account that the template doesn't name"},
		{"of the default account", "{serviceAccountName: default, " + token + "}", "the template doesn't name"},
		{"of the scheduler's", "{serviceAccountName: onejob, " + token + "}", "which is the scheduler's"},
		{"too short", "{serviceAccountName: deployer, " + strings.Replace(token, "3600", "60", 1) + "}", "expirationSeconds: 60 is less than 600"},
		{"for whom the pipeline says", `{serviceAccountName: deployer, volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: token, audience: "{{env.A}}"}}]}}]}`, "whoever can set A in a pipeline could take the agent token"},
		{"whose the pipeline says", `{serviceAccountName: "{{env.A}}", ` + token + "}", "whoever can set A in a pipeline could take the agent token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte("spec: "+tt.spec), config.Queue{Name: "default", Namespace: "ci", OnTerm: "cancel"})
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
