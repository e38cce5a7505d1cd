package kjob

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// overlayResources sets amounts over others. A request that was the template's never
// stays above a limit of the step's.
func overlayResources(to *corev1.ResourceRequirements, from corev1.ResourceRequirements) {
	requests, limits := maps.Clone(to.Requests), maps.Clone(to.Limits)
	set := func(list *corev1.ResourceList, amounts corev1.ResourceList) {
		if *list == nil && len(amounts) > 0 {
			*list = corev1.ResourceList{}
		}
		maps.Copy(*list, amounts)
	}
	set(&requests, from.Requests)
	set(&limits, from.Limits)
	for name, request := range requests {
		limit, limited := limits[name]
		_, theirs := from.Limits[name]
		switch {
		case !limited || request.Cmp(limit) <= 0:
		case theirs:
			requests[name] = limit
		default:
			limits[name] = request
		}
	}
	to.Requests, to.Limits = requests, limits
	to.Claims = append(to.Claims, from.Claims...)
}

// overlayKeys sets a step's labels or annotations over the template's, and never over ours.
func overlayKeys(to, step map[string]string) {
	for k, v := range step {
		if !strings.HasPrefix(k, "onejob.dev/") && !slices.Contains([]string{labelName, labelComponent, labelManagedBy}, k) {
			to[k] = v
		}
	}
}

// secured is a container's own security context, with the queue's for what it leaves out.
func secured(own, queue *corev1.SecurityContext) *corev1.SecurityContext {
	if own == nil || queue == nil {
		return cmp.Or(own, queue).DeepCopy()
	}
	s := own.DeepCopy()
	if s.AllowPrivilegeEscalation == nil && !ptr.Deref(s.Privileged, false) {
		s.AllowPrivilegeEscalation = queue.AllowPrivilegeEscalation
	}
	s.Capabilities = cmp.Or(s.Capabilities, queue.Capabilities.DeepCopy())
	if queue.Capabilities != nil && len(s.Capabilities.Drop) == 0 {
		s.Capabilities.Drop = slices.Clone(queue.Capabilities.Drop)
	}
	s.SELinuxOptions = cmp.Or(s.SELinuxOptions, queue.SELinuxOptions.DeepCopy())
	s.AppArmorProfile = cmp.Or(s.AppArmorProfile, queue.AppArmorProfile.DeepCopy())
	s.RunAsUser = cmp.Or(s.RunAsUser, queue.RunAsUser)
	s.RunAsGroup = cmp.Or(s.RunAsGroup, queue.RunAsGroup)
	s.RunAsNonRoot = cmp.Or(s.RunAsNonRoot, queue.RunAsNonRoot)
	s.SeccompProfile = cmp.Or(s.SeccompProfile, queue.SeccompProfile.DeepCopy())
	return s
}

// addPodFields sets what a step says of the pod itself, as far as the policy lets it: over
// the template's, and in lists after it.
func addPodFields(spec, step *corev1.PodSpec) {
	if len(step.NodeSelector) > 0 {
		spec.NodeSelector = merge(spec.NodeSelector, step.NodeSelector)
	}
	spec.Tolerations = append(spec.Tolerations, step.Tolerations...)
	spec.TopologySpreadConstraints = append(spec.TopologySpreadConstraints, step.TopologySpreadConstraints...)
	spec.ImagePullSecrets = append(spec.ImagePullSecrets, step.ImagePullSecrets...)
	spec.Affinity = cmp.Or(step.Affinity, spec.Affinity)
	spec.PriorityClassName = cmp.Or(step.PriorityClassName, spec.PriorityClassName)
	spec.RuntimeClassName = cmp.Or(step.RuntimeClassName, spec.RuntimeClassName)
	spec.PreemptionPolicy = cmp.Or(step.PreemptionPolicy, spec.PreemptionPolicy)
	spec.ServiceAccountName = cmp.Or(step.ServiceAccountName, spec.ServiceAccountName)
	spec.ActiveDeadlineSeconds = cmp.Or(step.ActiveDeadlineSeconds, spec.ActiveDeadlineSeconds)
	spec.HostUsers = cmp.Or(step.HostUsers, spec.HostUsers)
	spec.Resources = cmp.Or(step.Resources, spec.Resources)
	spec.HostNetwork, spec.HostIPC = spec.HostNetwork || step.HostNetwork, spec.HostIPC || step.HostIPC
	s := step.SecurityContext
	if s == nil {
		return
	}
	if spec.SecurityContext == nil {
		spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	to := spec.SecurityContext
	to.FSGroup = cmp.Or(s.FSGroup, to.FSGroup)
	to.FSGroupChangePolicy = cmp.Or(s.FSGroupChangePolicy, to.FSGroupChangePolicy)
	to.SupplementalGroups = append(to.SupplementalGroups, s.SupplementalGroups...)
	to.Sysctls = append(to.Sysctls, s.Sysctls...)
}
