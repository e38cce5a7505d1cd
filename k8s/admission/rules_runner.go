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

// jobID is the label with the job's id.
func jobID(at string) string {
	return at + ".?labels[?" + quoted(contract.LabelJobID) + `].orValue("")`
}

// identity: a Job has the name and the labels of the job that it is for.
func (j *judge) identity() {
	own := jobID("object.metadata")
	j.add("metadata.labels", all(own+` != ""`, either("object.metadata.name == "+quoted("onejob-")+" + "+own, "object.metadata.name.startsWith("+quoted("onejob-")+" + "+own+` + "-")`), jobID("object.spec.template.metadata")+" == "+own), "a Job has the name of its job, and its pod the same label")
}

// runner: the one container with the token is what the template says, and what is beside
// it can't reach in.
func (j *judge) runner(q config.Queue) {
	j.add("containers[agent]", "size(variables.agents) == 1 && size(variables.all.filter(c, c.name == "+quoted(contract.AgentContainer)+")) == 1", "a Job of this queue has one runner")
	judged := []string{"name", "env", "volumeMounts", "resources", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy", "lifecycle"}
	of := reflect.TypeFor[corev1.Container]()
	exact := []string{"true"}
	for i := range of.NumField() {
		name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		v := field(j.agent, name)
		switch {
		case slices.Contains(judged, name):
		case v == nil:
			exact = append(exact, "!has(c."+name+")")
		case slices.Contains([]string{"ports", "livenessProbe", "readinessProbe", "startupProbe"}, name):
			exact = append(exact, all("has(c."+name+")", same("c."+name, v))) // they have defaults
		default:
			exact = append(exact, all("has(c."+name+")", exactly("c."+name, v)))
		}
	}
	j.add("containers[agent]", "variables.agents.all(c, "+all(exact...)+")", "it is not the runner of the queue's template")
	copies := listed([]string{contract.StepProgram, "copy"})
	j.add("containers[agent].lifecycle", "variables.agents.all(c, "+all(j.hook("preStop"), either(j.hook("postStart"), list("c", "lifecycle.postStart.exec.command")+" == "+copies))+")", "it is not the runner of the queue's template")
	j.runnerVariables(q)
	j.runnerMounts()
	image, _ := field(j.agent, "image").(string)
	secure := "!has(c.securityContext)"
	if v := field(j.agent, "securityContext"); v != nil {
		secure = all("has(c.securityContext)", exactly("c.securityContext", v))
	}
	j.secretsInit(q, all(same("c.image", image), secure))
	j.add("initContainers["+contract.StepInit+"]", "variables.all.filter(c, c.name == "+quoted(contract.StepInit)+").all(c, "+all(same("c.image", image), "c.command == "+copies, secure, brings, "size("+list("c", "env")+") == 1", list("c", "volumeMounts")+".all(m, m.name == "+quoted(contract.StepInit)+")")+")", "it is not onejob's")
	run := []string{path.Join(contract.StepBin, contract.StepProgram), "run"}
	command := optional("c", "command") + ".orValue([])"
	j.add("containers[command]", "variables.pod.containers.filter(c, c.name in variables.commands).all(c, "+either(command+" == "+listed(run), all("size("+command+") == 3", same("c.command[0]", run[0]), same("c.command[1]", run[1]), `c.command[2].matches("^[0-9]+$")`))+" && !has(c.args))", "the command is Buildkite's to say")
	inits, _ := field(j.pod, "initContainers").([]any)
	for _, c := range inits {
		name := fmt.Sprint(field(c, "name"))
		j.add("initContainers["+name+"]", "variables.all.filter(c, c.name == "+quoted(name)+").all(c, "+helper(c)+")", "it is not that of the queue's template")
	}
}

// helper: a container is the template's, with no more than the API server's defaults.
func helper(c any) string {
	of := []string{same("c", c), only("c", c, "resources", "imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy")}
	for _, name := range []string{"securityContext", "resources", "volumeMounts", "envFrom"} {
		if v := field(c, name); v != nil {
			of = append(of, exactly("c."+name, v))
		}
	}
	if v := field(c, "lifecycle"); v != nil {
		of = append(of, only("c.lifecycle", v))
	}
	env, _ := field(c, "env").([]any)
	for i, e := range env {
		of = append(of, only(fmt.Sprintf("c.env[%d]", i), e))
	}
	return all(of...)
}

// runnerVariables are the template's, what onejob adds, and the job's, some by name alone.
func (j *judge) runnerVariables(q config.Queue) {
	own := []string{}
	entries, _ := field(j.agent, "env").([]any)
	added, _ := object(j.added.Containers[0].Env).([]any)
	for _, e := range slices.Concat(entries, added) {
		own = append(own, all(same("e", e), only("e", e)))
	}
	if !j.stays {
		own = append(own, isToken(q))
	}
	credentials := quoted(j.credentials)
	own = append(own,
		all("e.name == "+quoted(contract.EnvJobID), "e.value == "+jobID("object.metadata")),
		all("!has(e.valueFrom)", "e.name in "+listed(append(kjob.RunnerVariables(), steps.CheckoutVariables...))),
		all("e.name == "+quoted(contract.EnvEndpoint), "e.value == "+quoted(q.AgentEndpoint)),
		all("!has(e.valueFrom)", `e.name.matches("^GIT_CONFIG_(COUNT|KEY_[0-9]+|VALUE_[0-9]+)$")`, either(`e.name == "GIT_CONFIG_COUNT"`, `e.value == "credential.helper"`, "e.value == "+credentials)))
	j.add("containers[agent].env", "variables.agents.all(c, "+list("c", "env")+".all(e, "+either(own...)+"))", "a variable of the runner's is not the queue's")
}

// isToken: a variable is the runner's agent token.
func isToken(q config.Queue) string {
	return all("e.name == "+quoted(contract.EnvToken), optional("e", "valueFrom.secretKeyRef.name")+`.orValue("") == `+quoted(q.TokenSecret.Name))
}

// brings: a container has what onejob gives those that bring something and end: no probe or
// hook, by which it would run another program, and no restartPolicy.
var brings = only("c", nil, "name", "image", "imagePullPolicy", "command", "env", "resources", "securityContext", "volumeMounts", "terminationMessagePath", "terminationMessagePolicy")

// secretsInit: where the runner's container may stay, another one has the token and the
// step's Secrets for the checkout, and does nothing but write them for it.
func (j *judge) secretsInit(q config.Queue, ofRunner string) {
	if !j.stays {
		return
	}
	mounts := list("c", "volumeMounts") + ".all(m, " + either("m.name == "+quoted(contract.SecretsInit), all(`m.name.matches("^`+steps.OwnPrefix+`(git-credentials|checkout-env-[0-9]+)$")`, "m.mountPath == "+quoted(contract.SecretsFrom+"/")+" + m.name"),
		all("m.name == "+quoted(kjob.QueueCredentials), "m.mountPath == "+quoted(kjob.SecretsMount(kjob.QueueCredentials)))) + ")"
	j.add("containers", "variables.pod.containers.all(c, c.name != "+quoted(contract.SecretsInit)+")", "it would write the token again when the runner has deleted it")
	rule := all(ofRunner, "c.command == "+listed([]string{contract.StepProgram, "secrets"}), brings, list("c", "env")+".all(e, "+isToken(q)+")", mounts)
	j.add("initContainers["+contract.SecretsInit+"]", "variables.all.filter(c, c.name == "+quoted(contract.SecretsInit)+").all(c, "+rule+")", "it is not onejob's")
}

// runnerMounts are the template's, what onejob adds, and a step's where none of the
// runner's programs is.
func (j *judge) runnerMounts() {
	own := []string{}
	mounts, _ := field(j.agent, "volumeMounts").([]any)
	added, _ := object(j.added.Containers[0].VolumeMounts).([]any)
	for _, m := range slices.Concat(mounts, added) {
		own = append(own, exactly("m", m))
	}
	own = append(own, all(`m.mountPath.matches(`+quoted("^("+strings.Join(steps.FreeFolders(), "|")+")(/|$)")+`)`, `!m.mountPath.matches("(/\\.\\.?(/|$)|//)")`, "variables.volumes.exists(v, v.name == m.name)"))
	j.add("containers[agent].volumeMounts", "variables.agents.all(c, "+list("c", "volumeMounts")+".all(m, "+either(own...)+"))", "a mount of the runner's is not the queue's")
}

// hook: the runner's is the template's, or there is none.
func (j *judge) hook(name string) string {
	at := "c.?lifecycle.?" + name
	if v := field(j.agent, "lifecycle", name); v != nil {
		return all(at+".hasValue()", same("c.lifecycle."+name, v))
	}
	return "!" + at + ".hasValue()"
}
