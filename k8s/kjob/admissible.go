package kjob

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
)

// Parse refuses a template whose every kjob the API server or the kubelet would refuse.
// These files have the rules that templates break, not all of Kubernetes': linking
// k8s.io/kubernetes' validation makes the program 4.6 MB larger (11 %) and adds 76 modules
// to go.mod. The API server checks the rest in two dry runs: lint --ask-cluster, and the
// one when the scheduler begins a queue (scheduler/tryout.go).

// faults collects the errors of one check, each with its field.
type faults struct{ errs []error }

func (f *faults) bad(at, format string, args ...any) {
	f.errs = append(f.errs, fmt.Errorf("%s: "+format, append([]any{at}, args...)...))
}

// all adds every message of an apimachinery validation of value. It skips a value with a
// template variable in it, because only the job fills that.
func (f *faults) all(at, value string, check func(string) []string) {
	if hasVariable(value) {
		return
	}
	for _, msg := range check(value) {
		f.bad(at, "%q: %s", value, msg)
	}
}

// oneOf refuses a value that isn't one of words. An empty value is allowed: Kubernetes has
// a default for it.
func oneOf[T ~string](f *faults, at string, value T, words ...T) {
	if value != "" && !slices.Contains(words, value) && !hasVariable(string(value)) {
		f.bad(at, "%q is not one of %v", value, words)
	}
}

// given counts the fields of a one-of that are set, and names them.
func given(union any) (names []string) {
	v := reflect.ValueOf(union)
	for i := range v.NumField() {
		if field := v.Field(i); field.Kind() == reflect.Pointer && !field.IsNil() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return names
}

func (f *faults) exactlyOne(at, what string, names []string) {
	switch len(names) {
	case 0:
		f.bad(at, "no %s", what)
	case 1:
	default:
		f.bad(at, "%s: there can be only one %s", strings.Join(names, " and "), what)
	}
}

func (f *faults) notNegative(at string, n *int64) {
	if n := ptr.Deref(n, 0); n < 0 {
		f.bad(at, "%d is negative", n)
	}
}

func label(s string) []string     { return validation.IsDNS1123Label(s) }
func subdomain(s string) []string { return validation.IsDNS1123Subdomain(s) }

// checkAdmissible returns every fault by which Kubernetes would refuse each of the queue's
// kjobs or pods, joined and sorted.
func checkAdmissible(job *batchv1.Job) error {
	f := &faults{}
	pod, at := &job.Spec.Template.Spec, "spec.template.spec"
	for where, annotations := range map[string]map[string]string{"metadata": job.Annotations, "spec.template.metadata": job.Spec.Template.Annotations} {
		for k := range annotations {
			f.all(where+".annotations", strings.ToLower(k), validation.IsQualifiedName)
		}
	}
	volumes := f.volumes(at, pod.Volumes)
	names := sets.New[string]()
	for _, c := range pod.InitContainers {
		f.container(at+".initContainers["+c.Name+"]", c, pod, volumes, names)
	}
	for _, c := range pod.Containers {
		f.container(at+".containers["+c.Name+"]", c, pod, volumes, names)
	}
	if r := pod.Resources; r != nil {
		f.resources(at+".resources", *r)
		f.podResources(at+".resources", pod)
	}
	f.placement(at, pod)
	for field, name := range map[string]string{"serviceAccountName": pod.ServiceAccountName, "priorityClassName": pod.PriorityClassName, "runtimeClassName": ptr.Deref(pod.RuntimeClassName, "")} {
		if name != "" {
			f.all(at+"."+field, name, subdomain)
		}
	}
	if pod.Hostname != "" {
		f.all(at+".hostname", pod.Hostname, label)
	}
	oneOf(f, at+".dnsPolicy", pod.DNSPolicy, corev1.DNSClusterFirst, corev1.DNSClusterFirstWithHostNet, corev1.DNSDefault, corev1.DNSNone)
	if n := ptr.Deref(pod.ActiveDeadlineSeconds, 1); n < 1 {
		f.bad(at+".activeDeadlineSeconds", "%d is less than 1", n)
	}
	if s := pod.SecurityContext; s != nil {
		for field, n := range map[string]*int64{"runAsUser": s.RunAsUser, "runAsGroup": s.RunAsGroup, "fsGroup": s.FSGroup} {
			f.notNegative(at+".securityContext."+field, n)
		}
		f.seccomp(at+".securityContext", s.SeccompProfile)
	}
	slices.SortFunc(f.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) }) // maps have no order
	return errors.Join(f.errs...)
}

// volumes checks volumes and returns their names.
func (f *faults) volumes(at string, volumes []corev1.Volume) sets.Set[string] {
	names := sets.New[string]()
	for _, v := range volumes {
		at := at + ".volumes[" + v.Name + "]"
		f.all(at+".name", v.Name, label)
		if names.Has(v.Name) {
			f.bad(at, "the name is used twice")
		}
		names.Insert(v.Name)
		if sources := given(v.VolumeSource); len(sources) > 1 { // none is an emptyDir
			f.exactlyOne(at, "source", sources)
		}
		switch s := v.VolumeSource; {
		case s.EmptyDir != nil && s.EmptyDir.SizeLimit != nil && s.EmptyDir.SizeLimit.Sign() < 0:
			f.bad(at+".emptyDir.sizeLimit", "%s is negative", s.EmptyDir.SizeLimit)
		case s.HostPath != nil:
			f.hostPath(at+".hostPath", s.HostPath)
		case s.Secret != nil:
			f.needs(at+".secret.secretName", s.Secret.SecretName)
			f.mode(at+".secret.defaultMode", s.Secret.DefaultMode)
		case s.ConfigMap != nil:
			f.needs(at+".configMap.name", s.ConfigMap.Name)
			f.mode(at+".configMap.defaultMode", s.ConfigMap.DefaultMode)
		case s.PersistentVolumeClaim != nil:
			f.needs(at+".persistentVolumeClaim.claimName", s.PersistentVolumeClaim.ClaimName)
		case s.NFS != nil:
			f.needs(at+".nfs.server", s.NFS.Server)
			f.needs(at+".nfs.path", s.NFS.Path)
		case s.CSI != nil:
			f.needs(at+".csi.driver", s.CSI.Driver)
		}
	}
	return names
}

func (f *faults) needs(at, value string) {
	if value == "" {
		f.bad(at, "empty")
	}
}

func (f *faults) mode(at string, mode *int32) {
	if m := ptr.Deref(mode, 0); m < 0 || m > 0o777 {
		f.bad(at, "%d (0%o) is not between 0 and 0777", m, m)
	}
}

func (f *faults) hostPath(at string, h *corev1.HostPathVolumeSource) {
	f.needs(at+".path", h.Path)
	f.noBackStep(at+".path", h.Path)
	if h.Type != nil {
		oneOf(f, at+".type", *h.Type, corev1.HostPathDirectoryOrCreate, corev1.HostPathDirectory, corev1.HostPathFileOrCreate, corev1.HostPathFile,
			corev1.HostPathSocket, corev1.HostPathCharDev, corev1.HostPathBlockDev)
	}
}

func (f *faults) noBackStep(at, path string) {
	if slices.Contains(strings.Split(path, "/"), "..") {
		f.bad(at, "%q has .. as a part of the path", path)
	}
}
