package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// DefaultLevel is the Pod Security level of a policy that names none.
const DefaultLevel = config.LevelBaseline

// Violation is one thing that a step may not have.
type Violation struct {
	// Field is its place, such as containers[test].securityContext.privileged.
	Field string
	// Rule says what is not allowed, Fix what to do.
	Rule, Fix string
}

func (v Violation) String() string { return v.Field + ": " + v.Rule + ": " + v.Fix }

// Check returns every violation of a queue's policy by a step's pod, sorted. tokens are the
// Secrets with an agent token in the namespace.
func Check(p config.Policy, pod *steps.Pod, tokens []string) []Violation {
	return (&check{policy: p, pod: pod, tokens: tokens}).all()
}

func (c *check) all() []Violation {
	c.policy.Level = cmp.Or(c.policy.Level, DefaultLevel)
	c.podFields()
	c.host()
	c.account()
	c.placement()
	c.volumes()
	c.secrets()
	for _, placed := range c.pod.Containers() {
		c.container(placed.At, placed.Container)
	}
	c.resources()
	c.metadata()
	c.deadline()
	c.level()
	slices.SortFunc(c.found, func(a, b Violation) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(c.found)
}

// Text is violations for a job's page.
func Text(violations []Violation) string {
	lines := make([]string, len(violations))
	for i, v := range violations {
		lines[i] = v.String()
	}
	return strings.Join(lines, "\n")
}

type check struct {
	policy config.Policy
	pod    *steps.Pod
	tokens []string
	// queues and class are what the queue gives a command container that says neither.
	// Each after the first has further in class's place: only the first is the template's
	// own.
	queues         string
	class, further corev1.ResourceRequirements
	found          []Violation
}

func (c *check) bad(field, rule, fix string, args ...any) {
	c.found = append(c.found, Violation{Field: field, Rule: rule, Fix: fmt.Sprintf(fix, args...)})
}

// The fixes of violations that only the queue's administrator can allow: by the policy, by
// a list of it, by the template.
const (
	ask     = "take it out, or have %s added to the queue's policy"
	askList = "take it out, or have it added to %s in the queue's policy"
	askPod  = "take it out, or have it put into the queue's template"
)

func shown(s string) string { return contract.Line(s, 60) }

// in refuses a value that no pattern of the list key matches. Callers pass a list's default
// for nil; no patterns refuse every value. An empty value is allowed.
func (c *check) in(field, value, what, key string, patterns []string) {
	if value == "" || matchesAny(patterns, value) {
		return
	}
	rule := fmt.Sprintf("%s %q is not one that this queue's steps may use", what, shown(value))
	if len(patterns) > 0 {
		rule += ", which are " + strings.Join(patterns, ", ")
	}
	c.bad(field, rule, askList, key)
}

// container checks the fields of one container.
func (c *check) container(at string, ctr corev1.Container) {
	if ctr.Image != c.queues {
		c.image(at+".image", ctr.Image)
	}
	c.variables(at, ctr.Env)
	if ctr.TerminationMessagePath != "" {
		c.bad(at+".terminationMessagePath", "the message is read where Kubernetes has it by default", "take it out")
	}
	s := ctr.SecurityContext
	if s == nil {
		return
	}
	if s.Privileged != nil && *s.Privileged && !c.policy.Privileged {
		c.bad(at+".securityContext.privileged", "a privileged container is the node, with the runner and all others on it", ask, "privileged: true")
	}
	if s.ProcMount != nil && *s.ProcMount != corev1.DefaultProcMount && !c.policy.Privileged {
		c.bad(at+".securityContext.procMount", "it shows of the node what is hidden", ask, "privileged: true")
	}
	if s.Capabilities != nil {
		c.capabilities(at+".securityContext.capabilities.add", s.Capabilities.Add)
	}
}

// variables refuses a variable from a file on the queue's volumes, because these are for
// the runner only.
func (c *check) variables(at string, env []corev1.EnvVar) {
	for _, e := range env {
		if e.ValueFrom == nil || e.ValueFrom.FileKeyRef == nil {
			continue
		}
		name := e.ValueFrom.FileKeyRef.VolumeName
		if !slices.ContainsFunc(c.pod.Volumes, func(v corev1.Volume) bool { return v.Name == name }) {
			c.bad(at+".env["+shown(e.Name)+"].valueFrom.fileKeyRef.volumeName", fmt.Sprintf("the step has no volume %q, and the queue's own are for its runner", shown(name)), "add it to volumes")
		}
	}
}

// harmlessCapabilities are those that Pod Security's baseline allows.
var harmlessCapabilities = []string{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}

func (c *check) capabilities(at string, add []corev1.Capability) {
	allowed := c.policy.Capabilities
	if allowed == nil {
		allowed = harmlessCapabilities
	}
	for _, capability := range add {
		c.in(at, strings.TrimPrefix(string(capability), "CAP_"), "the capability", "capabilities", allowed)
	}
}

// deadline checks the deadlines that a step sets.
func (c *check) deadline() {
	if c.policy.MaxDeadline == nil {
		return
	}
	most := int64(time.Duration(*c.policy.MaxDeadline).Seconds())
	for field, seconds := range map[string]int64{"kubernetes.jobActiveDeadlineSeconds": c.pod.Deadline, "activeDeadlineSeconds": deref(c.pod.Spec.ActiveDeadlineSeconds)} {
		if seconds > most {
			c.bad(field, fmt.Sprintf("%d s is more than this queue's steps may take, %d s", seconds, most), "lower it, or have max-deadline raised in the queue's policy")
		}
	}
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
