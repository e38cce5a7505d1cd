package kjob

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
)

func (f *faults) container(at string, c corev1.Container, pod *corev1.PodSpec, volumes, names sets.Set[string]) {
	f.all(at+".name", c.Name, label)
	if names.Has(c.Name) {
		f.bad(at, "the name is used twice")
	}
	names.Insert(c.Name)
	if c.Image != strings.TrimSpace(c.Image) {
		f.bad(at+".image", "%q begins or ends with a space", c.Image)
	}
	oneOf(f, at+".imagePullPolicy", c.ImagePullPolicy, corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever)
	oneOf(f, at+".terminationMessagePolicy", c.TerminationMessagePolicy, corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)
	f.env(at, c)
	f.resources(at+".resources", c.Resources)
	f.mounts(at, c, volumes)
	f.ports(at, c)
	for name, p := range map[string]*corev1.Probe{"livenessProbe": c.LivenessProbe, "readinessProbe": c.ReadinessProbe, "startupProbe": c.StartupProbe} {
		if p != nil {
			f.exactlyOne(at+"."+name, "handler", given(p.ProbeHandler))
		}
	}
	f.security(at+".securityContext", c.SecurityContext, pod.SecurityContext)
}

func (f *faults) env(at string, c corev1.Container) {
	for _, e := range c.Env {
		at := at + ".env[" + e.Name + "]"
		f.all(at+".name", e.Name, validation.IsRelaxedEnvVarName)
		if e.ValueFrom == nil {
			continue
		}
		if e.Value != "" {
			f.bad(at, "it has a value and valueFrom: there can be only one")
		}
		f.exactlyOne(at+".valueFrom", "source", given(*e.ValueFrom))
		if s := e.ValueFrom.SecretKeyRef; s != nil {
			f.needs(at+".valueFrom.secretKeyRef.name", s.Name)
			f.needs(at+".valueFrom.secretKeyRef.key", s.Key)
		}
		if s := e.ValueFrom.ConfigMapKeyRef; s != nil {
			f.needs(at+".valueFrom.configMapKeyRef.name", s.Name)
			f.needs(at+".valueFrom.configMapKeyRef.key", s.Key)
		}
	}
	for _, e := range c.EnvFrom {
		at := at + ".envFrom"
		f.exactlyOne(at, "source", given(e))
		if e.Prefix != "" {
			f.all(at+".prefix", e.Prefix, validation.IsRelaxedEnvVarName)
		}
		if s := e.SecretRef; s != nil {
			f.all(at+".secretRef.name", s.Name, validation.IsDNS1123Subdomain)
		}
		if s := e.ConfigMapRef; s != nil {
			f.all(at+".configMapRef.name", s.Name, validation.IsDNS1123Subdomain)
		}
	}
}

// resources refuses amounts that Kubernetes refuses. A template without a limit has the
// default template's.
func (f *faults) resources(at string, r corev1.ResourceRequirements) {
	for list, amounts := range map[string]corev1.ResourceList{"requests": r.Requests, "limits": r.Limits} {
		for name, amount := range amounts {
			at := at + "." + list + "." + string(name)
			f.resourceName(at, name)
			if amount.Sign() < 0 {
				f.bad(at, "%s is negative", &amount)
			}
			if !fractional(name) && amount.MilliValue()%1000 != 0 {
				f.bad(at, "%s is not a whole number", &amount)
			}
		}
	}
	for name, request := range r.Requests {
		limit, limited := r.Limits[name]
		at := at + ".requests." + string(name)
		switch {
		case limited && request.Cmp(limit) > 0:
			f.bad(at, "%s is more than the limit, %s (the default template's, if this one gives none): raise the limit or lower the request", &request, &limit)
		case !overcommitted(name) && limited && request.Cmp(limit) != 0:
			f.bad(at, "%s is not the limit, %s: for this resource both are the same", &request, &limit)
		case !overcommitted(name) && !limited:
			f.bad(at, "%s without a limit: this resource needs one of the same number", &request)
		}
	}
}

func native(name corev1.ResourceName) bool {
	return slices.Contains([]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}, name)
}

func overcommitted(name corev1.ResourceName) bool {
	return native(name) || strings.HasPrefix(string(name), "kubernetes.io/")
}

// fractional reports whether Kubernetes takes an amount with a fraction: it does of bytes,
// not of devices.
func fractional(name corev1.ResourceName) bool {
	return overcommitted(name) || strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

func (f *faults) resourceName(at string, name corev1.ResourceName) {
	f.all(at, string(name), validation.IsQualifiedName)
	if !native(name) && !strings.Contains(string(name), "/") && !strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) {
		f.bad(at, "there is no resource %s: the name of a device has a domain, such as nvidia.com/gpu", name)
	}
}

// podResources refuses containers whose requests together are more than their pod's, or one
// of which has a limit above the pod's.
func (f *faults) podResources(at string, pod *corev1.PodSpec) {
	for name, whole := range pod.Resources.Requests {
		sum := resource.Quantity{}
		for _, c := range pod.Containers {
			sum.Add(c.Resources.Requests[name])
		}
		if sum.Cmp(whole) > 0 {
			f.bad(at+".requests."+string(name), "%s is less than what the containers ask for, %s", &whole, &sum)
		}
	}
	for name, whole := range pod.Resources.Limits {
		for _, c := range append(slices.Clone(pod.InitContainers), pod.Containers...) {
			if limit, ok := c.Resources.Limits[name]; ok && limit.Cmp(whole) > 0 {
				f.bad(at+".limits."+string(name), "%s is less than the limit of container %s, %s", &whole, c.Name, &limit)
			}
		}
	}
}

func (f *faults) mounts(at string, c corev1.Container, volumes sets.Set[string]) {
	paths := sets.New[string]()
	for _, m := range c.VolumeMounts {
		at := at + ".volumeMounts[" + m.MountPath + "]"
		if !volumes.Has(m.Name) {
			f.bad(at, "there is no volume %q", m.Name)
		}
		f.needs(at+".mountPath", m.MountPath)
		if paths.Has(m.MountPath) {
			f.bad(at, "two volumes are mounted there")
		}
		paths.Insert(m.MountPath)
		if m.SubPath != "" && m.SubPathExpr != "" {
			f.bad(at, "it has subPath and subPathExpr: there can be only one")
		}
		for field, path := range map[string]string{"subPath": m.SubPath, "subPathExpr": m.SubPathExpr} {
			f.noBackStep(at+"."+field, path)
			if strings.HasPrefix(path, "/") {
				f.bad(at+"."+field, "%q begins with /: write the path as it is inside the volume", path)
			}
		}
	}
}

func (f *faults) ports(at string, c corev1.Container) {
	for _, p := range c.Ports {
		at := at + ".ports"
		for field, n := range map[string]int32{"containerPort": p.ContainerPort, "hostPort": p.HostPort} {
			if n < 0 || n > 65535 || field == "containerPort" && n == 0 {
				f.bad(at+"."+field, "%d is not between 1 and 65535", n)
			}
		}
		if p.Name != "" {
			f.all(at+".name", p.Name, validation.IsValidPortName)
		}
		oneOf(f, at+".protocol", p.Protocol, corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP)
	}
}

func (f *faults) security(at string, s *corev1.SecurityContext, of *corev1.PodSecurityContext) {
	if s == nil {
		s = &corev1.SecurityContext{}
	}
	f.notNegative(at+".runAsUser", s.RunAsUser)
	f.notNegative(at+".runAsGroup", s.RunAsGroup)
	f.seccomp(at, s.SeccompProfile)
	user, nonRoot := s.RunAsUser, s.RunAsNonRoot
	if of != nil && user == nil {
		user = of.RunAsUser
	}
	if of != nil && nonRoot == nil {
		nonRoot = of.RunAsNonRoot
	}
	if user != nil && *user == 0 && nonRoot != nil && *nonRoot {
		f.bad(at, "runAsUser is 0 and runAsNonRoot is true (the default template's, if this one says nothing): the kubelet would start no container")
	}
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
		return
	}
	const contradicts = "with allowPrivilegeEscalation false (the default template's, if this one says nothing): set that to true, or leave this out"
	if s.Privileged != nil && *s.Privileged {
		f.bad(at+".privileged", "true %s", contradicts)
	}
	if s.Capabilities != nil && slices.Contains(s.Capabilities.Add, "CAP_SYS_ADMIN") {
		f.bad(at+".capabilities.add", "CAP_SYS_ADMIN %s", contradicts)
	}
}

func (f *faults) seccomp(at string, p *corev1.SeccompProfile) {
	if p == nil {
		return
	}
	if p.Type == "" {
		f.bad(at+".seccompProfile.type", "empty")
	}
	oneOf(f, at+".seccompProfile.type", p.Type, corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined)
	if (p.Type == corev1.SeccompProfileTypeLocalhost) != (p.LocalhostProfile != nil && *p.LocalhostProfile != "") {
		f.bad(at+".seccompProfile.localhostProfile", "type Localhost needs it, and no other type may have it")
	}
}
