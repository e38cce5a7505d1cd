package admission

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// volumes are the kinds and what they name. Those of the template's names are the
// template's.
func (j *judge) volumes() {
	var kinds []string
	for _, kind := range j.policy.Volumes {
		kinds = append(kinds, "has(v."+kind+")")
	}
	j.add("volumes", "variables.volumes.all(v, "+either(append(kinds, "false")...)+")", "%s", j.allowed("volumes", j.policy.Volumes))
	var paths []string
	for _, p := range j.policy.Host.Paths {
		p = strings.TrimSuffix(p, "/")
		paths = append(paths, "v.hostPath.path == "+quoted(p), "v.hostPath.path.startsWith("+quoted(p+"/")+")")
	}
	if len(paths) == 0 {
		paths = []string{"false"}
	}
	j.add("volumes.hostPath", "variables.volumes.filter(v, has(v.hostPath)).all(v, "+either(paths...)+` && !v.hostPath.path.matches("(/\\.\\.?(/|$)|//)"))`, "the folder is the node's")
	j.add("volumes.persistentVolumeClaim", "variables.volumes.filter(v, has(v.persistentVolumeClaim)).all(v, "+among("v.persistentVolumeClaim.claimName", j.policy.Claims)+")", "%s", j.allowed("claims", j.policy.Claims))
	const claim = "v.ephemeral.volumeClaimTemplate.spec"
	j.add("volumes.ephemeral", "variables.volumes.filter(v, has(v.ephemeral) && has(v.ephemeral.volumeClaimTemplate)).all(v, !has("+claim+".dataSource) && !has("+claim+".dataSourceRef) && !has("+claim+".selector) && "+optional("v", "ephemeral.volumeClaimTemplate.spec.volumeName")+`.orValue("") == "")`, "it would bring what is in another claim or volume")
	j.add("volumes.projected", "variables.volumes.all(v, "+list("v", "projected.sources")+`.all(s, s.all(k, k in ["configMap", "secret", "downwardAPI", "serviceAccountToken"])))`, "it is made of configMap, secret, downwardAPI and serviceAccountToken only")
	own := []string{"v.name != " + quoted(contract.StepInit) + " || has(v.emptyDir)"}
	if j.programs != nil {
		own = append(own, "v.name != "+quoted(contract.StepPrograms)+" || has(v.image) && "+same("v.image.reference", field(j.agent, "image")))
	}
	for _, v := range j.queues {
		is := all(same("v", v), only("v", v))
		if field(v, "name") == kjob.MirrorsVolume {
			is = mirrors(v)
		}
		own = append(own, "v.name != "+quoted(fmt.Sprint(field(v, "name")))+" || "+is)
	}
	j.add("volumes", list("variables.pod", "volumes")+".all(v, "+all(parenthesised(own)...)+")", "a volume with the name of one of the queue's is another than the queue's")
}

// mirrors: the volume is the queue's, made of a snapshot. Which is the newest changes from
// hour to hour, and no policy can ask.
func mirrors(v any) string {
	const at = "v.ephemeral.volumeClaimTemplate.spec"
	claim, _ := field(v, "ephemeral", "volumeClaimTemplate", "spec").(map[string]any)
	claim = maps.Clone(claim)
	source, _ := claim["dataSource"].(map[string]any)
	source = maps.Clone(source)
	source["name"], claim["dataSource"] = "{{env.SNAPSHOT}}", source
	return all(only("v", v), "has(v.ephemeral)", "has("+at+")", exactly(at, claim))
}

func parenthesised(of []string) []string {
	out := make([]string, len(of))
	for i, s := range of {
		out[i] = "(" + s + ")"
	}
	return out
}

// secrets: a Secret with an agent token is the runner's alone.
func (j *judge) secrets() {
	ok := func(n string) string {
		return all("!("+n+" in "+listed(j.tokens)+")", among(n, j.policy.Secrets))
	}
	text := j.allowed("secrets", j.policy.Secrets)
	j.add("env", "variables.steps.all(c, "+list("c", "env")+".all(e, "+either("!has(e.valueFrom)", "!has(e.valueFrom.secretKeyRef)", ok("e.valueFrom.secretKeyRef.name"))+"))", "%s", text)
	j.add("envFrom", "variables.steps.all(c, "+list("c", "envFrom")+".all(e, "+either("!has(e.secretRef)", ok("e.secretRef.name"), oneOf("e", j.env))+"))", "%s", text)
	j.add("env.valueFrom.fileKeyRef", "variables.steps.all(c, "+list("c", "env")+".all(e, "+either("!has(e.valueFrom)", "!has(e.valueFrom.fileKeyRef)", "variables.volumes.exists(v, v.name == e.valueFrom.fileKeyRef.volumeName)")+"))", "the step has no such volume")
	j.add("volumes.secret", "variables.volumes.all(v, "+either("!has(v.secret)", ok("v.secret.secretName"))+" && "+list("v", "projected.sources")+".all(s, "+either("!has(s.secret)", ok("s.secret.name"))+"))", "%s", text)
	var others []string
	for _, at := range []string{"csi.nodePublishSecretRef.name", "cephfs.secretRef.name", "rbd.secretRef.name", "flexVolume.secretRef.name", "iscsi.secretRef.name", "scaleIO.secretRef.name", "storageos.secretRef.name", "azureFile.secretName"} {
		name := optional("v", at) + `.orValue("")`
		others = append(others, either(name+` == ""`, ok(name)))
	}
	j.add("volumes", "variables.volumes.all(v, "+all(others...)+")", "%s", text)
	j.add("imagePullSecrets", list("variables.pod", "imagePullSecrets")+".all(s, "+either(j.entry("s", "imagePullSecrets"), ok("s.name"))+")", "%s", text)
}

// containers are what each of a step's may have.
func (j *judge) containers() {
	p := j.policy
	if p.Images != nil {
		j.add("image", "variables.images.all(i, "+among("i", p.Images)+")", "%s", j.allowed("images", p.Images))
	}
	if p.Registries != nil {
		j.add("image", `variables.images.all(i, `+among(`i.split("/")[0]`, p.Registries)+")", "%s", j.allowed("registries", p.Registries))
	}
	if p.Digests {
		j.add("image", `variables.images.all(i, i.contains("@"))`, "this queue runs images by digest only")
	}
	if !p.Privileged {
		j.add("securityContext.privileged", "variables.steps.all(c, !"+optional("c", "securityContext.privileged")+".orValue(false))", "a privileged container is the node")
		j.add("securityContext.procMount", "variables.steps.all(c, "+optional("c", "securityContext.procMount")+`.orValue("Default") == "Default")`, "it shows of the node what is hidden")
	}
	j.add("securityContext.capabilities.add", "variables.steps.all(c, "+list("c", "securityContext.capabilities.add")+`.all(a, `+among(`(a.startsWith("CAP_") ? a.substring(4) : a)`, p.Capabilities)+"))", "%s", j.allowed("capabilities", p.Capabilities))
	if !p.Host.Network {
		j.add("ports", "variables.steps.all(c, "+list("c", "ports")+".all(p, "+optional("p", "hostPort")+".orValue(0) == 0))", "a hostPort is a port of the node")
	}
	j.add("terminationMessagePath", "variables.steps.all(c, "+optional("c", "terminationMessagePath")+".orValue("+quoted(contract.DefaultTerminationMessagePath)+") == "+quoted(contract.DefaultTerminationMessagePath)+")", "the message is read where Kubernetes has it by default")
	const own = "c.name in variables.commands && m.name in variables.folders || variables.volumes.exists(v, v.name == m.name)"
	j.add("volumeMounts", "variables.steps.all(c, "+all(list("c", "volumeMounts")+".all(m, "+either(own, oneOf("m", j.mounts))+")", list("c", "volumeDevices")+".all(m, "+own+")")+")", "the queue's own volumes are for its runner, its folders for commands")
	if j.programs != nil {
		j.add("volumeMounts", "variables.steps.all(c, "+list("c", "volumeMounts")+".all(m, "+either("m.name != "+quoted(contract.StepPrograms), exactly("m", j.programs))+"))", "of the runner's image a command has onejob's programs, and nothing else")
	}
	j.add("restartPolicyRules", "variables.steps.all(c, !has(c.restartPolicyRules)) && variables.pod.containers.all(c, !has(c.restartPolicy))", "a Job of this queue is one run, and no container of it begins anew")
}

// level is Pod Security's, of a step's containers.
func (j *judge) level() {
	if j.policy.Level == config.LevelPrivileged {
		return
	}
	add := func(name, expression, text string) {
		j.add(name, "variables.steps.all(c, "+expression+")", "Pod Security's level %s refuses it: %s", j.policy.Level, text)
	}
	s := func(field string) string { return optional("c", "securityContext."+field) }
	add("securityContext.seccompProfile", s("seccompProfile.type")+`.orValue("") != "Unconfined"`, "no profile")
	add("securityContext.appArmorProfile", s("appArmorProfile.type")+`.orValue("") != "Unconfined"`, "no profile")
	add("securityContext.seLinuxOptions", s("seLinuxOptions.type")+`.orValue("") in ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"] && `+s("seLinuxOptions.user")+`.orValue("") == "" && `+s("seLinuxOptions.role")+`.orValue("") == ""`, "another user, role or type")
	add("securityContext.windowsOptions", "!"+s("windowsOptions.hostProcess")+".orValue(false)", "a process of the node")
	probes := []string{}
	for _, probe := range []string{"livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"} {
		for _, kind := range []string{"httpGet", "tcpSocket"} {
			probes = append(probes, optional("c", probe+"."+kind+".host")+`.orValue("") == ""`)
		}
	}
	add("livenessProbe", all(probes...), "a host that is asked")
	safe := []string{"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}
	template, _ := field(j.pod, "securityContext", "sysctls").([]any)
	for _, of := range template {
		m, _ := of.(map[string]any)
		safe = append(safe, fmt.Sprint(m["name"]))
	}
	j.add("securityContext.sysctls", optional("variables.security", "sysctls")+".orValue([]).all(s, s.name in "+listed(safe)+")", "Pod Security's level %s refuses it: a sysctl that isn't safe", j.policy.Level)
	if j.policy.Level != config.LevelRestricted {
		return
	}
	add("securityContext.allowPrivilegeEscalation", s("allowPrivilegeEscalation")+".orValue(true) == false", "it must be false")
	add("securityContext.capabilities", s("capabilities.drop")+`.orValue([]).exists(d, d == "ALL") && `+s("capabilities.add")+`.orValue([]).all(a, a == "NET_BIND_SERVICE")`, "all are dropped, and NET_BIND_SERVICE alone may be added")
	root := s("runAsNonRoot") + ".orValue(" + optional("variables.security", "runAsNonRoot") + ".orValue(false)) && " + s("runAsUser") + ".orValue(1) != 0"
	add("securityContext.runAsNonRoot", either(root, optional("variables.pod", "hostUsers")+".orValue(true) == false"), "root")
	add("securityContext.seccompProfile", s("seccompProfile.type")+".orValue("+optional("variables.security", "seccompProfile.type")+`.orValue("")) in ["RuntimeDefault", "Localhost"]`, "no profile")
	kinds := []string{"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret", "image"}
	var has []string
	for _, kind := range kinds {
		has = append(has, "has(v."+kind+")")
	}
	j.add("volumes", "variables.volumes.all(v, "+either(has...)+")", "Pod Security's level restricted refuses the kind of volume")
}

// amounts: what is as the template has it is not the step's.
func (j *judge) amounts() {
	for _, kind := range []string{"requests", "limits"} {
		for name, most := range j.policy.Limits.Container {
			own := field(j.agent, "resources", kind, string(name))
			j.add("resources."+kind+"."+string(name), "variables.all.all(c, "+either("c.name in variables.template", j.amountIs(kind, string(name), own), j.under("c", kind, string(name), most))+")", "more than a container of this queue may have, %s", most.String())
		}
		for name, most := range j.policy.Limits.Pod {
			j.sum(kind, string(name), most, field(j.agent, "resources", kind, string(name)))
			j.add("resources", either("!has(variables.pod.resources)", j.templateHas("resources"), j.under("variables.pod", kind, string(name), most)), "more than a pod of this queue may have, %s", most.String())
		}
	}
	if len(j.policy.Limits.Pod) == 0 {
		j.add("resources", either("!has(variables.pod.resources)", j.templateHas("resources")), "what the pod asks for as a whole has no limit in this queue")
	}
	j.add("resources.claims", "variables.steps.all(c, size("+list("c", "resources.claims")+") == 0)", "devices by claim are for the template")
}

func amount(of, kind, name string) string {
	return of + ".?resources.?" + kind + "[?" + quoted(name) + `].orValue("0")`
}

func (j *judge) amountIs(kind, name string, value any) string {
	text, ok := value.(string)
	if !ok {
		return "false"
	}
	return compare(amount("c", kind, name), text) + " == 0"
}

func (j *judge) under(of, kind, name string, most resource.Quantity) string {
	return compare(amount(of, kind, name), most.String()) + " <= 0"
}

func compare(of, with string) string {
	return "quantity(string(" + of + ")).compareTo(quantity(" + quoted(with) + "))"
}

// sum is what the step's containers have together that run at the same time, or one of
// those that run before. What the first command has of the template's counts as its
// class's, and a limit that a container was given, because it had none, as nothing.
func (j *judge) sum(kind, name string, most resource.Quantity, own any) {
	number := func(c string) string { return "quantity(string(" + amount(c, kind, name) + ")).asApproximateFloat()" }
	class := j.class.Requests
	if kind == "limits" {
		class = j.class.Limits
	}
	ofClass := class[corev1.ResourceName(name)]
	counts := all("variables.commands.indexOf(c.name) == 0", j.amountIs(kind, name, own)) + " ? " + double(ofClass.AsApproximateFloat64()) + " : "
	if bound, ok := j.policy.Limits.Container[corev1.ResourceName(name)]; ok && kind == "limits" {
		counts += all(j.amountIs("requests", name, "0"), j.amountIs(kind, name, bound.String())) + " ? 0.0 : "
	}
	limit := double(most.AsApproximateFloat64() * (1 + 1e-9))
	if f := ofClass.AsApproximateFloat64(); f > most.AsApproximateFloat64() {
		limit = double(f * (1 + 1e-9)) // what the class has alone
	}
	j.add("resources."+kind+"."+name, all(
		"variables.steps.filter(c, !(c.name in variables.before)).map(c, "+counts+number("c")+").sum() <= "+limit,
		"variables.steps.filter(c, c.name in variables.before).all(c, ("+counts+number("c")+") <= "+limit+")",
	), "more in all than a pod of this queue may have, %s", most.String())
}

// double is a number literal.
func double(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
