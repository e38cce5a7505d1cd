package admission

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/policy"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// metadata is what selects pods, and what programs act on.
func (j *judge) metadata(t *kjob.Template) {
	for _, at := range []string{"object.metadata", "object.spec.template.metadata"} {
		labels, annotations := t.Job.Spec.Template.Labels, t.Job.Spec.Template.Annotations
		if at == "object.metadata" {
			labels, annotations = t.Job.Labels, t.Job.Annotations
		}
		ours := []string{"app.kubernetes.io/name", "app.kubernetes.io/component", "app.kubernetes.io/managed-by", "batch.kubernetes.io/**", "controller-uid", "job-name", "onejob.dev/**", "kueue.x-k8s.io/**"}
		j.add(at[strings.Index(at, ".")+1:]+".labels", optional(at, "labels")+".orValue({}).all(k, "+either("k in "+listed(slices.Sorted(maps.Keys(labels))), among("k", slices.Concat(ours, policy.Labels(j.policy))))+")", "%s", j.allowed("metadata", policy.Labels(j.policy)))
		j.add(at[strings.Index(at, ".")+1:]+".annotations", optional(at, "annotations")+".orValue({}).all(k, "+either(`!k.matches("[./]")`, "k in "+listed(slices.Sorted(maps.Keys(annotations))), among("k", slices.Concat(ours, policy.Annotations(j.policy))))+")", "%s", j.allowed("metadata", policy.Annotations(j.policy)))
	}
}

// identity: a Job has the name and the labels of the job that it is for.
func (j *judge) identity() {
	id := func(at string) string { return at + ".?labels[?" + quoted(contract.LabelJobID) + `].orValue("")` }
	own := id("object.metadata")
	j.add("metadata.labels", all(own+` != ""`, either("object.metadata.name == "+quoted("onejob-")+" + "+own, "object.metadata.name.startsWith("+quoted("onejob-")+" + "+own+` + "-")`), id("object.spec.template.metadata")+" == "+own), "a Job has the name of its job, and its pod the same label")
}

// runner: the one container with the token is what the template says, and what is beside
// it can't reach in.
func (j *judge) runner(q config.Queue, t *kjob.Template) {
	j.add("containers[agent]", "size(variables.agents) == 1 && size(variables.all.filter(c, c.name == "+quoted(contract.AgentContainer)+")) == 1", "a Job of this queue has one runner")
	judged := []string{"name", "env", "volumeMounts", "resources", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy", "lifecycle"}
	of := reflect.TypeFor[corev1.Container]()
	exact := []string{"true"}
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		if slices.Contains(judged, name) {
			continue
		}
		if v := field(j.agent, name); v != nil {
			exact = append(exact, all("has(c."+name+")", same("c."+name, v)))
		} else {
			exact = append(exact, "!has(c."+name+")")
		}
	}
	j.add("containers[agent]", "variables.agents.all(c, "+all(exact...)+")", "it is not the runner of the queue's template")
	copies := listed([]string{contract.StepProgram, "copy"})
	j.add("containers[agent].lifecycle", "variables.agents.all(c, "+all(j.hook("preStop"), either(j.hook("postStart"), list("c", "lifecycle.postStart.exec.command")+" == "+copies))+")", "it is not the runner of the queue's template")
	own := []string{}
	entries, _ := field(j.agent, "env").([]any)
	for _, e := range entries {
		own = append(own, same("e", e))
	}
	token := all("e.name == "+quoted(contract.EnvToken), optional("e", "valueFrom.secretKeyRef.name")+`.orValue("") == `+quoted(q.TokenSecret.Name))
	credentials := quoted("store --file " + kjob.CredentialsDir + "/.git-credentials")
	own = append(own, token,
		all("!has(e.valueFrom)", "e.name in "+listed(append(t.RunnerVariables(), steps.CheckoutVariables...))),
		all("e.name == "+quoted(contract.EnvEndpoint), "e.value == "+quoted(q.AgentEndpoint)),
		all("!has(e.valueFrom)", `e.name.matches("^GIT_CONFIG_(COUNT|KEY_[0-9]+|VALUE_[0-9]+)$")`, either(`e.name == "GIT_CONFIG_COUNT"`, `e.value == "credential.helper"`, "e.value == "+credentials)))
	j.add("containers[agent].env", "variables.agents.all(c, "+list("c", "env")+".all(e, "+either(own...)+"))", "a variable of the runner's is not the queue's")
	own = nil
	mounts, _ := field(j.agent, "volumeMounts").([]any)
	for _, m := range mounts {
		own = append(own, same("m", m))
	}
	own = append(own, all("m.name == "+quoted(contract.StepInit), "m.mountPath == "+quoted(contract.StepDir)), "m.mountPath == "+quoted(kjob.CredentialsDir),
		all(`m.mountPath.matches(`+quoted("^("+strings.Join(steps.FreeFolders(), "|")+")(/|$)")+`)`, `!m.mountPath.matches("(/\\.\\.?(/|$)|//)")`, "variables.volumes.exists(v, v.name == m.name)"))
	j.add("containers[agent].volumeMounts", "variables.agents.all(c, "+list("c", "volumeMounts")+".all(m, "+either(own...)+"))", "a mount of the runner's is not the queue's")
	image, _ := field(j.agent, "image").(string)
	j.add("initContainers["+contract.StepInit+"]", "variables.all.filter(c, c.name == "+quoted(contract.StepInit)+").all(c, "+all(same("c.image", image), "c.command == "+copies, "!has(c.envFrom)", "size("+list("c", "env")+") == 1", "!has(c.lifecycle)", list("c", "volumeMounts")+".all(m, m.name == "+quoted(contract.StepInit)+")")+")", "it is not onejob's")
	j.add("containers[command]", "variables.pod.containers.filter(c, c.name.matches("+quoted("^"+contract.CommandContainer+"(-|$)")+")).all(c, "+optional("c", "command")+".orValue([]) == "+listed([]string{path.Join(contract.StepDir, "bin", contract.StepProgram), "run"})+" && !has(c.args))", "the command is Buildkite's to say")
	inits, _ := field(j.pod, "initContainers").([]any)
	for _, c := range inits {
		m, _ := c.(map[string]any)
		j.add("initContainers["+fmt.Sprint(m["name"])+"]", "variables.all.filter(c, c.name == "+quoted(fmt.Sprint(m["name"]))+").all(c, "+all(same("c", c), "has(c.lifecycle) == "+fmt.Sprint(m["lifecycle"] != nil), "has(c.envFrom) == "+fmt.Sprint(m["envFrom"] != nil), "size("+list("c", "env")+") == "+fmt.Sprint(size(m["env"])), "size("+list("c", "volumeMounts")+") == "+fmt.Sprint(size(m["volumeMounts"])))+")", "it is not that of the queue's template")
	}
}

// hook: the runner's is the template's, or there is none.
func (j *judge) hook(name string) string {
	at := "c.?lifecycle.?" + name
	if v := field(j.agent, "lifecycle", name); v != nil {
		return all(at+".hasValue()", same("c.lifecycle."+name, v))
	}
	return "!" + at + ".hasValue()"
}

func size(v any) int {
	l, _ := v.([]any)
	return len(l)
}
