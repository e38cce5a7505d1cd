package admission

import (
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// What the API server makes of the policies is in cmd/onejob's TestPolicyAsTheAPIServer.
func TestOf(t *testing.T) {
	c, err := config.Parse([]byte(`
queues:
- name: Long_Name.of-a-queue-that-is-much-longer-than-any-name-should-be
  stack: s
  policy: {secrets: ["it's \\ \"quoted\""], images: ["a/*"]}
  resource-classes: {large: {}, small: {}}
- {name: other, stack: s, template: {inline: {spec: {nodeSelector: {pool: "{{env.POOL}}"}}}}}
`), "ci")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	var all []Objects
	for _, q := range c.Queues {
		tpl, err := kjob.Parse(q.Template.Inline, q)
		if err != nil {
			t.Fatal(err)
		}
		of, err := Of(q, tpl)
		if want := 2 + len(q.ResourceClasses); err != nil || len(of) != want {
			t.Fatalf("got %d, want %d, %v", len(of), want, err)
		}
		all = append(all, of...)
	}
	for _, o := range append(all, Others("ci", c.Queues)) {
		name := o.Policy.Name
		if names[name] || len(validation.IsDNS1123Subdomain(name)) > 0 || o.Binding.Spec.PolicyName != name || o.Binding.Name != name {
			t.Errorf("the name %s, bound by %s", name, o.Binding.Spec.PolicyName)
		}
		names[name] = true
		if _, err := yaml.Marshal(o.Policy); err != nil {
			t.Error(err)
		}
		for _, v := range o.Policy.Spec.Validations {
			if strings.Contains(v.Expression, "{{env.") || v.Message == "" || len(v.Message) > 600 {
				t.Errorf("%q says %q", v.Expression, v.Message)
			}
		}
	}
}

func TestLiterals(t *testing.T) {
	for in, want := range map[string]string{`a"b\c`: `"a\"b\\c"`, "a\nb": `"a\U0000000ab"`, "ä": `"ä"`} {
		if got := quoted(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
	want := `(("a" in x && (size(x["a"]) == 1 && ("b" in x["a"][0] && x["a"][0]["b"] == 1))) && x.all(k, k in ["a"]) && x["a"][0].all(k, k in ["b"]))`
	got := exactly("x", map[string]any{"a": []any{map[string]any{"b": 1.0}}})
	if got = strings.ReplaceAll(got, "true && ", ""); got != want {
		t.Errorf("exactly: got %s, want %s", got, want)
	}
	if re := regexp.MustCompile("^" + filled("app.x:{{env.TAG}}") + "$"); !re.MatchString("app.x:v1") || re.MatchString("app_x:v1") || re.MatchString("app.x:v1 evil") || re.MatchString("app.x:") {
		t.Error("a template variable stands for what a job may fill in")
	}
}
