package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/policy"
)

// rule is one thing that a Job of the queue has to be.
type rule struct {
	field, expression, text string
}

// judge makes rules of a queue's policy and of one of its templates.
type judge struct {
	policy config.Policy
	// pod and agent are the template's, as JSON has them.
	pod, agent any
	// added is what onejob adds of the queue's, queues all volumes that are the queue's.
	added    *corev1.PodSpec
	queues   []any
	image    string // of the commands that name none
	programs any    // the commands' mount of onejob's programs, nil where they are copied
	tokens   []string
	deadline int64
	class    corev1.ResourceRequirements
	// stays: the queue allows a hold. credentials is git's setting for a step's.
	stays       bool
	credentials string
	// env and mounts are what the queue gives to steps' containers, as JSON has them.
	env, mounts any
	rules       []rule
}

func newJudge(q config.Queue, t *kjob.Template) *judge {
	spec := &t.Job.Spec.Template.Spec
	j := &judge{policy: policy.Effective(t.Policy()), pod: object(spec), agent: object(kjob.FindAgent(spec)), image: t.CommandImage(), class: t.ClassResources(), tokens: append([]string{q.TokenSecret.Name}, q.TokenSecrets...)}
	j.added, j.programs, j.stays, j.credentials = t.Added(), object(t.ProgramsMount()), t.Hold > 0, t.CredentialHelper()
	env, mounts := t.Given()
	j.env, j.mounts = object(env), object(mounts)
	j.queues, _ = object(slices.Concat(spec.Volumes, j.added.Volumes)).([]any)
	if s := t.Job.Spec.ActiveDeadlineSeconds; s != nil {
		j.deadline = *s
	}
	j.podFields()
	j.placement()
	j.volumes()
	j.secrets()
	j.containers()
	j.level()
	j.amounts()
	j.metadata(t)
	j.identity()
	j.runner(q)
	return j
}

func (j *judge) add(field, expression, text string, args ...any) {
	j.rules = append(j.rules, rule{field, expression, fmt.Sprintf(text, args...)})
}

// templateHas: the field is as the template has it.
func (j *judge) templateHas(name string) string {
	v := field(j.pod, name)
	if v == nil {
		return "false"
	}
	return all("has(variables.pod."+name+")", exactly("variables.pod."+name, v))
}

func (j *judge) allowed(key string, patterns []string) string {
	if len(patterns) == 0 {
		return "the queue's policy has none in " + key
	}
	return "the queue's policy has " + strings.Join(patterns, ", ") + " in " + key
}

// byDefault is what the API server sets itself.
var byDefault = map[string]string{"dnsPolicy": `"ClusterFirst"`, "schedulerName": `"default-scheduler"`, "restartPolicy": `"Never"`, "terminationGracePeriodSeconds": "30"}

// podFields are those that no step says, and those by which it would get at the node.
func (j *judge) podFields() {
	for _, name := range slices.Concat(policy.Unsaid(), []string{"terminationGracePeriodSeconds"}) {
		at := "variables.pod." + name
		if slices.Contains([]string{"serviceAccount", "deprecatedServiceAccount"}, name) {
			continue // the API server copies it from serviceAccountName
		}
		not := either("!has("+at+")", at+" == false", j.templateHas(name))
		if value := byDefault[name]; value != "" && field(j.pod, name) == nil {
			not = either("!has("+at+")", at+" == "+value)
		} else if value != "" {
			not = j.templateHas(name)
		}
		j.add(name, not, "a step may not set this of its pod")
	}
	for _, of := range []struct {
		name    string
		allowed bool
	}{{"hostNetwork", j.policy.Host.Network}, {"hostIPC", j.policy.Host.IPC}, {"automountServiceAccountToken", false}} {
		if !of.allowed {
			j.add(of.name, either("!"+optional("variables.pod", of.name)+".orValue(false)", j.templateHas(of.name)), "it is not for steps")
		}
	}
	if field(j.pod, "automountServiceAccountToken") == false {
		j.add("automountServiceAccountToken", optional("variables.pod", "automountServiceAccountToken")+".orValue(true) == false", "no container gets an account's token")
	}
	j.add("hostUsers", either("!has(variables.pod.hostUsers)", "variables.pod.hostUsers == false", j.templateHas("hostUsers")), "whether the pod has users of its own is the queue's to say")
	if field(j.pod, "hostUsers") == false {
		j.add("hostUsers", optional("variables.pod", "hostUsers")+".orValue(true) == false", "the queue's pods have users of their own")
	}
	j.add("os", either("!has(variables.pod.os)", `variables.pod.os.name == "linux"`), "pods of jobs are Linux's")
	said := []string{"fsGroup", "fsGroupChangePolicy", "supplementalGroups", "sysctls"}
	template, _ := field(j.pod, "securityContext").(map[string]any)
	must := []string{}
	for _, k := range slices.Sorted(maps.Keys(template)) {
		if !slices.Contains(said, k) {
			must, said = append(must, all("has(variables.security."+k+")", exactly("variables.security."+k, template[k]))), append(said, k)
		}
	}
	slices.Sort(said)
	j.add("securityContext", all(append(must, "variables.security.all(k, k in "+listed(said)+")")...), "it is about the runner's container, too")
	account := optional("variables.pod", "serviceAccountName") + `.orValue("")`
	accounts := all(among(account, j.policy.ServiceAccounts), account+" != "+quoted(contract.ManagedBy))
	j.add("serviceAccountName", either(account+` == ""`, account+` == "default"`, j.templateHas("serviceAccountName"), accounts), "%s", j.allowed("service-accounts", j.policy.ServiceAccounts))
	j.add("volumes", either("!variables.volumes.exists(v, "+list("v", "projected.sources")+".exists(s, has(s.serviceAccountToken)))", accounts), "a token of an account that the step may not use")
	most := j.deadline
	if j.policy.MaxDeadline != nil {
		most = max(0, int64(time.Duration(*j.policy.MaxDeadline).Seconds()))
	}
	for _, at := range []string{"object.spec", "variables.pod"} {
		seconds := optional(at, "activeDeadlineSeconds") + ".orValue(0)"
		own := []string{fmt.Sprintf("%s <= %d", seconds, most), fmt.Sprintf("%s == %d", seconds, j.deadline)}
		if v, ok := field(j.pod, "activeDeadlineSeconds").(float64); ok && at == "variables.pod" {
			own = append(own, fmt.Sprintf("%s == %d", seconds, int64(v)))
		}
		j.add("activeDeadlineSeconds", either(own...), "more than %d s, which is this queue's most", most)
	}
}

// placement is where a pod may go.
func (j *judge) placement() {
	const pair = `(k + "=" + variables.pod.nodeSelector[k])`
	if p := j.policy.NodeSelectors; p != nil {
		var own []string
		selector, _ := field(j.pod, "nodeSelector").(map[string]any)
		for k, v := range selector {
			own = append(own, "k == "+quoted(k)+" && "+same("variables.pod.nodeSelector[k]", v))
		}
		slices.Sort(own)
		j.add("nodeSelector", optional("variables.pod", "nodeSelector")+".orValue({}).all(k, "+either(append(own, among(pair, p))...)+")", "%s", j.allowed("node-selectors", p))
		term := list("t", "matchExpressions") + `.all(e, e.operator == "In" && ` + list("e", "values") + ".all(v, " + among(`(e.key + "=" + v)`, p) + "))"
		const required, preferred = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms", "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution"
		// The scheduler asks for other nodes than those that an attempt failed on.
		j.add("affinity.nodeAffinity", all(
			list("variables.pod", required)+".all(t, "+either(j.entry("t", required), all("!has(t.matchFields)", term))+")",
			list("variables.pod", preferred)+".all(p, "+either(j.entry("p", preferred), "[p.preference].all(t, "+list("t", "matchFields")+`.all(f, f.operator == "NotIn") && `+term+")")+")",
		), "%s", j.allowed("node-selectors", p))
	}
	tolerated := either(j.entry("t", "tolerations"), all(`"key" in t`, among("t.key", j.policy.Tolerations)), either(quoted("any key")+" in "+listed(j.policy.Tolerations), among(quoted("any key"), j.policy.Tolerations))+` && !("key" in t)`)
	j.add("tolerations", list("variables.pod", "tolerations")+".all(t, "+tolerated+")", "%s", j.allowed("tolerations", j.policy.Tolerations))
	for _, of := range []struct {
		name, key string
		patterns  []string
	}{{"priorityClassName", "priority-classes", j.policy.PriorityClasses}, {"runtimeClassName", "runtime-classes", j.policy.RuntimeClasses}} {
		at := "variables.pod." + of.name
		j.add(of.name, either("!has("+at+")", at+` == ""`, j.templateHas(of.name), all(among(at, of.patterns), "!"+at+`.startsWith("system-")`)), "%s", j.allowed(of.key, of.patterns))
	}
	j.podAffinity()
}

// podAffinity is where a pod may be beside others: each term is the template's, or one that
// a step may have.
func (j *judge) podAffinity() {
	var ok []string
	for _, kind := range []string{"affinity.podAffinity.", "affinity.podAntiAffinity."} {
		required, preferred := kind+"requiredDuringSchedulingIgnoredDuringExecution", kind+"preferredDuringSchedulingIgnoredDuringExecution"
		term := "(!has(t.namespaceSelector) || " + among(quoted("**"), j.policy.Namespaces) + ") && " + list("t", "namespaces") + ".all(n, " + among("n", j.policy.Namespaces) + ")"
		ok = append(ok, list("variables.pod", required)+".all(t, "+either(j.entry("t", required), all(term))+")",
			list("variables.pod", preferred)+".all(p, "+either(j.entry("p", preferred), "[p.podAffinityTerm].all(t, "+term+")")+")")
	}
	const anti = "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution"
	j.add("affinity.podAntiAffinity", list("variables.pod", anti)+".all(t, "+j.entry("t", anti)+")", "it would keep other jobs' pods off nodes")
	j.add("affinity.namespaces", all(ok...), "%s", j.allowed("namespaces", j.policy.Namespaces))
}

// entry: it is one of the template's list, and nothing more.
func (j *judge) entry(at, path string) string {
	return oneOf(at, field(j.pod, strings.Split(path, ".")...))
}

// oneOf: it is one of a list's entries, and nothing more.
func oneOf(at string, list any) string {
	of := []string{"false"}
	entries, _ := list.([]any)
	for _, e := range entries {
		of = append(of, exactly(at, e))
	}
	return either(of...)
}
