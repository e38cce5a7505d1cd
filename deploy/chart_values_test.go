package deploy

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/k8s/config"
)

// values.schema.json is chart/schema/values.json with onejob.yaml's own schema in it.
func TestValuesSchema(t *testing.T) {
	b, err := os.ReadFile("chart/schema/values.json")
	if err != nil {
		t.Fatal(err)
	}
	values, file := map[string]any{}, map[string]any{}
	for b, to := range map[*[]byte]*map[string]any{&b: &values, &config.Schema: &file} {
		if err := json.Unmarshal(*b, to); err != nil {
			t.Fatal(err)
		}
	}
	delete(file, "$schema") // a part of a schema has none
	// None is the chart's default: that one has to be named, it says better itself.
	queues := file["properties"].(map[string]any)["queues"].(map[string]any)
	delete(queues, "minItems")
	delete(queues["items"].(map[string]any)["properties"].(map[string]any)["name"].(map[string]any), "minLength")
	values["$defs"] = map[string]any{"config": file}
	out, err := json.MarshalIndent(values, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	matches(t, "chart/values.schema.json", string(out)+"\n")
}

// What isn't known, or is of the wrong kind, is refused before anything is installed.
func TestValuesAreChecked(t *testing.T) {
	for _, set := range []string{
		"imge.registry=x", "image.registri=x", "image.digest=sha256:1", "image.pullPolicy=Sometimes", "agentImage.name=x", "imagePullSecrets[0]=x",
		"token.secret=x", "token.queues.default.vaule=x", "config.endpont=x", "config.queues[0].nam=x", "config.queues[0].max-in-flight=-1",
		"config.queues[0].on-term=wait", "config.queues[0].template.file=a,config.queues[0].template.job=b", "config.create-workers=0", "config.queues=null",
		"templates.a=text", "queueNamespaces.label=x", "proxy.https=proxy:3128", "proxy.none=x", "caBundle.file=x", "networkPolicy.enable=true",
		"replicas=two", "dnsPolicy=Mine", "podMonitor.scrapeTimeout=soon", "log.level=loud", "podDisruptionBudget.maxUnavailable=1", "serviceAccount.names=x", "rbac.operators=x", "rbac.operator.subject=x",
		"drainBudget.enabled=sometimes", "warmPriorityClass.value=low", "podMonitor.intervall=1s", "serviceMonitor.interval=often", "tests.enable=x",
		"terminationGracePeriodSeconds=1", "extraEnv=x", "deregisterOnUninstall=perhaps",
	} {
		out, err := render(t, "minimal", "--set", set)
		if err == nil || !strings.Contains(err.Error(), "values don't meet the specifications of the schema") {
			t.Errorf("--set %s: %v, want a refusal by the schema\n%.300s", set, err, out)
		}
	}
}

// A budget that takes as many pods as there are would keep every node that has one of
// them from being drained.
func TestBudgetLetsNodesBeDrained(t *testing.T) {
	for set, want := range map[string]int{"replicas=2": 1, "replicas=1": 0, "replicas=0": 0, "replicas=2,podDisruptionBudget.minAvailable=2": 0, "replicas=3,podDisruptionBudget.minAvailable=2": 1} {
		if docs := documents(mustRender(t, "minimal", "--set", set))["poddisruptionbudget.yaml"]; len(docs) != want {
			t.Errorf("%s: %d budgets, want %d", set, len(docs), want)
		}
	}
}

// A set of values that can't be meant is refused with what to do.
func TestValuesThatContradict(t *testing.T) {
	for set, want := range map[string]string{
		"image.registry=":                               "image.registry: not set, and none is assumed",
		"config.queues[0].name=":                        "config.queues[0].name: not set, and none is assumed: give the key of a self-hosted queue",
		"token.value=a,token.existingSecret=b":          "token: value and existingSecret are both set",
		"token.queues.other.value=a":                    "token.queues.other: config.queues has no queue of this name",
		"token.queues.default.key=a":                    "token.queues.default: give either value or existingSecret",
		"caBundle.value=a,caBundle.existingConfigMap=b": "caBundle: value and existingConfigMap are both set",
		"serviceAccount.create=false":                   "serviceAccount.name: with create: false",
	} {
		if _, err := render(t, "minimal", "--set", set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: %v, want %q", set, err, want)
		}
	}
	// So are the chart's own: which queues there are is nobody's guess.
	if _, err := helm(t, "template", "onejob", "chart", "--set", "image.registry=registry.example"); err == nil || !strings.Contains(err.Error(), "config.queues: none given, and none is assumed: give the key of a self-hosted queue") {
		t.Errorf("with no queue: %v", err)
	}
}
