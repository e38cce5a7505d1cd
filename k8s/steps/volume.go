package steps

import (
	"cmp"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// checkout fills in the plan of the checkout and adds its volumes.
func (r *resolver) checkout() {
	own := cmp.Or(r.plugin.Checkout, &Checkout{})
	plan := &r.pod.Checkout
	plan.Env = own.Env()
	plan.EnvFrom = deepEnvFrom(slices.Concat(own.EnvFrom, r.plugin.GitEnvFrom))
	plan.Credentials = own.GitCredentialsSecret.DeepCopy()
	for i, m := range own.ExtraVolumeMounts {
		if m.SubPathExpr != "" {
			r.bad(place("kubernetes.checkout.extraVolumeMounts", i, m.Name)+".subPathExpr", "it would be made of the runner's variables, the agent token among them: use subPath")
		}
		if !isFree(m.MountPath) {
			r.bad(place("kubernetes.checkout.extraVolumeMounts", i, m.Name), "%s is not free in the container that checks out, where a volume could stand in a program's place: mount it under one of %s", shown(m.MountPath), list(free))
		}
		plan.Mounts = append(plan.Mounts, m)
	}
	for _, m := range r.plugin.ExtraVolumeMounts {
		if isFree(m.MountPath) && m.SubPathExpr == "" {
			plan.Mounts = append(plan.Mounts, m)
		} else {
			r.note("kubernetes.extraVolumeMounts[%s]: %s is mounted for the commands, and not for the checkout, where only %s are free, and no subPathExpr is taken", shown(m.Name), shown(m.MountPath), list(free))
		}
	}
	r.mirrors(own.GitMirrors)
}

func (r *resolver) mirrors(m *GitMirrors) {
	if m == nil || m.Volume == nil {
		return
	}
	at := *m.At()
	if !isFree(at) {
		r.bad("kubernetes.checkout.gitMirrors.path", "%s is not free in the container that checks out: use a folder under one of %s", shown(at), list(free))
	}
	r.volume("kubernetes.checkout.gitMirrors.volume", *m.Volume)
	// The commands may have it there, too, to read it only.
	mounts := slices.DeleteFunc(r.pod.Checkout.Mounts, func(o corev1.VolumeMount) bool {
		return o.Name == m.Volume.Name && path.Clean(o.MountPath) == path.Clean(at)
	})
	r.pod.Checkout.Mounts = append(mounts, corev1.VolumeMount{Name: m.Volume.Name, MountPath: at})
}

// volume adds v to the pod. It refuses another volume of the same name, which the runner
// would mount instead.
func (r *resolver) volume(field string, v corev1.Volume) {
	i := slices.IndexFunc(r.pod.Volumes, func(o corev1.Volume) bool { return o.Name == v.Name })
	switch {
	case i < 0:
		r.pod.Volumes = append(r.pod.Volumes, *v.DeepCopy())
	case !equality.Semantic.DeepEqual(r.pod.Volumes[i], v):
		r.bad("volumes["+shown(v.Name)+"]", "the name is that of another volume, %s: give it another", field)
	}
}

// tidy keeps one mount at each path, gives containers without a pull policy the queue's, and
// refuses what patches may have made: containers that restart, containers without an image,
// and volumes by our names.
func (r *resolver) tidy() {
	every := func(f func(at string, c *corev1.Container)) {
		for _, l := range []struct {
			at string
			of []corev1.Container
		}{{"initContainers", r.pod.Init}, {"sidecars", r.pod.Sidecars}, {"containers", r.pod.Others}} {
			for i := range l.of {
				f(place(l.at, i, l.of[i].Name), &l.of[i])
			}
		}
		for i := range r.pod.Commands {
			c := &r.pod.Commands[i].Container
			at := place("containers", i, c.Name)
			if c.RestartPolicy != nil {
				r.bad(at+".restartPolicy", "a restarted container would run the command again: take it out")
			}
			f(at, c)
		}
	}
	for i, c := range r.pod.Others {
		if c.RestartPolicy != nil {
			r.bad(place("containers", i, c.Name)+".restartPolicy", "a job runs once: take it out, or make the container a sidecar")
		}
	}
	for i, v := range r.pod.Volumes {
		if strings.HasPrefix(v.Name, OwnPrefix) {
			r.bad(place("volumes", i, v.Name), "names that begin with %s are kept for onejob's own volumes: give it another", OwnPrefix)
		}
	}
	every(func(at string, c *corev1.Container) {
		c.VolumeMounts = r.once(at, c.VolumeMounts)
		if c.ImagePullPolicy == "" {
			c.ImagePullPolicy = r.d.PullPolicy
		}
		if len(c.RestartPolicyRules) > 0 {
			r.bad(at+".restartPolicyRules", "they can restart the runner, which runs once: take them out")
		}
		if c.Image == "" {
			r.bad(at+".image", "none given")
		}
	})
	r.pod.Checkout.Mounts = r.once("checkout", r.pod.Checkout.Mounts)
}

func (r *resolver) once(at string, mounts []corev1.VolumeMount) []corev1.VolumeMount {
	var kept []corev1.VolumeMount
	there := map[string]string{}
	for _, m := range mounts {
		name, taken := there[path.Clean(m.MountPath)]
		switch {
		case !taken:
			there[path.Clean(m.MountPath)] = m.Name
			kept = append(kept, *m.DeepCopy())
		case name != m.Name:
			r.note("%s.volumeMounts[%s]: %s is not mounted, because %s is there", at, shown(m.MountPath), shown(m.Name), shown(name))
		}
	}
	return kept
}

func deepEnvFrom(in []corev1.EnvFromSource) (out []corev1.EnvFromSource) {
	for _, e := range in {
		out = append(out, *e.DeepCopy())
	}
	return out
}
