package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// Objects are a policy with its binding.
type Objects struct {
	Policy  *admissionv1.ValidatingAdmissionPolicy
	Binding *admissionv1.ValidatingAdmissionPolicyBinding
}

const (
	annotationClass = "object.metadata.?annotations[?\"" + contract.AnnotationClass + "\"].orValue(\"\")"
	labelQueue      = "object.metadata.?labels[?\"" + contract.LabelQueue + "\"].orValue(\"\")"
	isWarm          = "object.metadata.name.startsWith(\"" + kjob.PlaceholderPrefix + "\")"
)

// Of makes the policies of a queue: one for each resource class, one for the jobs without,
// one for its placeholders.
func Of(q config.Queue, t *kjob.Template) ([]Objects, error) {
	classes := slices.Sorted(maps.Keys(q.ResourceClasses))
	queue := labelQueue + " == " + quoted(kjob.LabelValue(q.Name))
	base := []string{queue, "!" + isWarm, "!(" + annotationClass + " in " + listed(classes) + ")"}
	name := objectName(q.Namespace, q.Name)
	all := []Objects{made(name, q.Namespace, base, newJudge(q, t).spec())}
	for _, class := range classes {
		of, err := t.For([]string{config.ClassTag + "=" + class})
		if err != nil {
			return nil, err
		}
		conditions := []string{queue, "!" + isWarm, annotationClass + " == " + quoted(class)}
		all = append(all, made(objectName(q.Namespace, q.Name, class), q.Namespace, conditions, newJudge(q, of).spec()))
	}
	return append(all, made(objectName(q.Namespace, q.Name, "warm placeholders"), q.Namespace, []string{queue, isWarm}, placeholder(t))), nil
}

// Others is the policy about the Jobs of a namespace that are no queue's: they have no agent
// token.
func Others(namespace string, queues []config.Queue) Objects {
	var labels, tokens []string
	for _, q := range queues {
		if q.Namespace == namespace {
			labels, tokens = append(labels, kjob.LabelValue(q.Name)), append(tokens, q.TokenSecret.Name)
		}
	}
	j := &judge{tokens: tokens}
	j.policy.Secrets = []string{"**"}
	j.secrets()
	s := j.spec()
	for i := range s.Variables {
		switch s.Variables[i].Name {
		case "template", "theirs":
			s.Variables[i].Expression = "[]"
		case "steps":
			s.Variables[i].Expression = "variables.all"
		case "volumes":
			s.Variables[i].Expression = list("variables.pod", "volumes") // it has none of a queue's
		}
	}
	return made(objectName(namespace, "", "others"), namespace, []string{"!(" + labelQueue + " in " + listed(labels) + ")"}, s)
}

// objectName is for a cluster: names of its namespaces and queues may be long, or alike.
func objectName(words ...string) string {
	whole := strings.Join(words, "/")
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(whole))
	return "onejob-" + strings.Trim(name[:min(len(name), 40)], "-") + "-" + kjob.Hash8(whole)
}

func made(name, namespace string, conditions []string, s admissionv1.ValidatingAdmissionPolicySpec) Objects {
	meta := metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/name": contract.ManagedBy, "app.kubernetes.io/component": "policy"}}
	s.FailurePolicy = ptr.To(admissionv1.Fail)
	s.MatchConstraints = &admissionv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
		ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{"batch"}, APIVersions: []string{"v1"}, Resources: []string{"jobs"}},
		}}},
	}
	for i, c := range conditions {
		s.MatchConditions = append(s.MatchConditions, admissionv1.MatchCondition{Name: fmt.Sprintf("c%d", i), Expression: c})
	}
	kind := func(of string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: of}
	}
	return Objects{
		&admissionv1.ValidatingAdmissionPolicy{TypeMeta: kind("ValidatingAdmissionPolicy"), ObjectMeta: meta, Spec: s},
		&admissionv1.ValidatingAdmissionPolicyBinding{TypeMeta: kind("ValidatingAdmissionPolicyBinding"), ObjectMeta: *meta.DeepCopy(),
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}}},
	}
}

// spec is the rules with the variables that they are written in.
func (j *judge) spec() (s admissionv1.ValidatingAdmissionPolicySpec) {
	var template, volumes, folders []string
	ours := []string{contract.AgentContainer, contract.StepInit}
	if j.stays {
		ours = append(ours, contract.SecretsInit)
	}
	inits, _ := field(j.pod, "initContainers").([]any)
	for _, c := range inits {
		template = append(template, fmt.Sprint(field(c, "name")))
	}
	for _, v := range j.queues {
		volumes = append(volumes, fmt.Sprint(field(v, "name")))
		if name := field(v, "name"); field(v, "emptyDir") != nil && name != contract.SecretsInit && name != kjob.KeysVolume {
			folders = append(folders, fmt.Sprint(name))
		}
	}
	volumes, folders = append(volumes, contract.StepInit), append(folders, contract.StepInit)
	if j.programs != nil {
		volumes, folders = append(volumes, contract.StepPrograms), append(folders, contract.StepPrograms)
	}
	ours = append(ours, template...)
	image := func(of, list string) string { return of + ".map(i, " + list + ")" }
	for _, v := range [][2]string{
		{"pod", "object.spec.template.spec"},
		{"security", "variables.pod.?securityContext.orValue({})"},
		{"inits", list("variables.pod", "initContainers")},
		{"all", "variables.pod.containers + variables.inits"},
		{"template", listed(template)},
		{"theirs", listed(ours)},
		{"agents", "variables.pod.containers.filter(c, c.name == " + quoted(contract.AgentContainer) + ")"},
		{"steps", "variables.all.filter(c, !(c.name in variables.theirs))"},
		{"commands", "variables.pod.containers.filter(c, c.name.matches(" + quoted("^"+contract.CommandContainer+"(-|$)") + ")).map(c, c.name)"},
		{"before", `variables.inits.filter(c, c.?restartPolicy.orValue("") != "Always").map(c, c.name)`},
		{"volumes", list("variables.pod", "volumes") + ".filter(v, !(v.name in " + listed(volumes) + "))"},
		{"folders", listed(folders)},
		{"named", "variables.steps.filter(c, c.image != " + quoted(j.image) + ").map(c, c.image) + variables.volumes.filter(v, has(v.image)).map(v, v.?image.?reference.orValue(\"\"))"},
		{"docker", image("variables.named", `i.startsWith("index.docker.io/") ? "docker.io/" + i.substring(16) : i`)},
		{"hosts", image("variables.docker", `i.matches("^([^/]*[.:A-Z][^/]*|localhost)/") ? i : "docker.io/" + i`)},
		{"library", image("variables.hosts", `i.matches("^docker\\.io/[^/]+$") ? "docker.io/library/" + i.substring(10) : i`)},
		{"images", image("variables.library", `i.contains("@") || i.matches(":[^/]*$") ? i : i + ":latest"`)},
	} {
		s.Variables = append(s.Variables, admissionv1.Variable{Name: v[0], Expression: v[1]})
	}
	for _, r := range j.rules {
		s.Validations = append(s.Validations, admissionv1.Validation{Expression: r.expression, Message: r.field + ": " + contract.Line(r.text, 500)})
	}
	return s
}

// placeholder is a queue's, and nothing else: it has no token, no volume and no variable.
func placeholder(t *kjob.Template) (s admissionv1.ValidatingAdmissionPolicySpec) {
	of := object(kjob.NewPlaceholder(t, 1).Spec.Template.Spec)
	containers, _ := field(of, "containers").([]any)
	const pod = "object.spec.template.spec"
	rules := []string{same(pod, of), only(pod, of, "dnsPolicy", "schedulerName", "securityContext", "serviceAccount"),
		only(pod+".containers[0]", containers[0], "terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "resources")}
	for _, name := range []string{"securityContext", "resources"} {
		if v := field(containers[0], name); v != nil {
			rules = append(rules, exactly(pod+".containers[0]."+name, v))
		}
	}
	s.Validations = []admissionv1.Validation{{
		Expression: all(rules...),
		Message:    "it has the name of the queue's warm placeholders, and isn't one",
	}}
	return s
}
