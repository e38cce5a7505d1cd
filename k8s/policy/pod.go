package policy

import (
	"reflect"
	"slices"
	"strings"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
)

// podFields are the fields of a PodSpec that a step may set: those that this package checks,
// and those that change nothing for others. All other fields are the template's, because
// the runner is in the same pod and shares them.
var podFields = []string{
	"containers", "initContainers", "volumes", // by role
	"nodeSelector", "affinity", "tolerations", "topologySpreadConstraints", "priorityClassName", "runtimeClassName", "preemptionPolicy",
	"serviceAccountName", "automountServiceAccountToken", "imagePullSecrets", "securityContext", "hostNetwork", "hostIPC", "hostUsers",
	"activeDeadlineSeconds", "terminationGracePeriodSeconds", "resources", "os",
}

// reasons say why a step may not set some of the other fields.
var reasons = map[string]string{
	"hostPID":               "it shows a step the runner's process",
	"shareProcessNamespace": "it shows a step the runner's process",
	"hostAliases":           "it would say to the runner where Buildkite is",
	"dnsConfig":             "it would say to the runner where Buildkite is",
	"dnsPolicy":             "it would say to the runner where Buildkite is",
	"enableServiceLinks":    "it would give the runner variables of other people's Services",
	"nodeName":              "it goes past the scheduler, its taints and its quotas: use a nodeSelector",
	"schedulerName":         "another scheduler has other rules",
	"serviceAccount":        "it is the old name of serviceAccountName",
	"schedulingGates":       "nobody would lift the gate",
	"priority":              "the priority class sets it",
	"hostname":              "it is a name in the cluster's DNS",
	"subdomain":             "it is a name in the cluster's DNS",
	"setHostnameAsFQDN":     "it is a name in the cluster's DNS",
}

func (c *check) podFields() {
	v := reflect.ValueOf(c.pod.Spec)
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if v.Field(i).IsZero() || slices.Contains(podFields, name) {
			continue
		}
		if p := v.Field(i); p.Kind() == reflect.Pointer && p.Elem().Kind() == reflect.Bool && !p.Elem().Bool() {
			continue // false is the default
		}
		rule := "a step may not set this of its pod"
		if why := reasons[name]; why != "" {
			rule += ", because " + why
		}
		c.bad(name, rule, askPod)
	}
	if s := c.pod.Spec.SecurityContext; s != nil {
		for field, isSet := range map[string]bool{"supplementalGroupsPolicy": s.SupplementalGroupsPolicy != nil, "seLinuxChangePolicy": s.SELinuxChangePolicy != nil} {
			if isSet {
				c.bad("securityContext."+field, "it is about the runner's container and its volumes, too", askPod)
			}
		}
	}
	if os := c.pod.Spec.OS; os != nil && os.Name != "linux" {
		c.bad("os.name", "pods of jobs are Linux's", "take it out")
	}
	if deref(c.pod.Spec.HostUsers) {
		c.bad("hostUsers", "only the queue's template decides whether the pod has a user namespace of its own", "take it out")
	}
}

func (c *check) host() {
	s := c.pod.Spec
	if s.HostNetwork && !c.policy.Host.Network {
		c.bad("hostNetwork", "it is the node's network, with all that listens there", ask, "host: {network: true}")
	}
	if s.HostIPC && !c.policy.Host.IPC {
		c.bad("hostIPC", "it is the memory that the node's programs share", ask, "host: {ipc: true}")
	}
	for _, placed := range c.pod.Containers() {
		for _, port := range placed.Container.Ports {
			if port.HostPort != 0 && !c.policy.Host.Network {
				c.bad(placed.At+".ports", "a hostPort is a port of the node", ask, "host: {network: true}")
			}
		}
	}
}

// account checks the service account and its tokens. A step that names no account gets no
// token.
func (c *check) account() {
	name, allowed := c.pod.Spec.ServiceAccountName, c.policy.ServiceAccounts
	if name == contract.ManagedBy {
		c.bad("serviceAccountName", "the account "+name+" is the scheduler's, which may create Jobs and so has the agent token", "use one that is made for these jobs")
		return
	}
	c.in("serviceAccountName", name, "the service account", "service-accounts", allowed)
	named := name != "" && matchesAny(allowed, name)
	if deref(c.pod.Spec.AutomountServiceAccountToken) {
		c.bad("automountServiceAccountToken", "it mounts the token in the runner's container, too", "use a volume of the kind projected with a serviceAccountToken, mounted where it is needed")
	}
	for _, v := range c.pod.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.ServiceAccountToken != nil && !named {
				c.bad("volumes["+shown(v.Name)+"].projected.sources.serviceAccountToken", "a token of an account that the step doesn't name or may not use", "set serviceAccountName to one of the policy's service-accounts")
			}
		}
	}
}

// level checks the pod against the policy's Pod Security level.
func (c *check) level() {
	if c.policy.Level == config.LevelPrivileged {
		return
	}
	spec := c.pod.PodSpec()
	if c.policy.Level == config.LevelRestricted {
		harden(spec)
	}
	for _, r := range podSecurity(c.policy.Level, spec) {
		rule := "Pod Security's level " + c.policy.Level + " refuses " + r.ForbiddenReason
		field := "securityContext"
		if r.ForbiddenDetail != "" {
			field = shown(r.ForbiddenDetail)
		}
		c.bad(field, rule, "take it out, or have another level set in the queue's policy")
	}
}
