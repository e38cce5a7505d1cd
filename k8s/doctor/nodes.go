package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// mostNodes is how many nodes are looked at.
const mostNodes = 500

// nodes looks at the nodes of a queue whose pods want more of them than any Kubernetes has:
// image volumes, users of their own. The scheduler never does: it has no right to read
// nodes, and doesn't know which of them a pod will get.
func (p *Patient) nodes(ctx context.Context, q config.Queue, t *kjob.Template) []Finding {
	wants := wanted(q, &t.Job.Spec.Template.Spec)
	if len(wants) == 0 {
		return nil
	}
	f := about("nodes", "queue "+q.Name)
	list, err := p.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: selected(&t.Job.Spec.Template.Spec), Limit: mostNodes})
	if err != nil {
		return []Finding{f.not(Skip, contract.Sentence(err.Error()), "give a user who may list nodes")}
	}
	var all []Finding
	for _, w := range wants {
		all = append(all, w.judge(f, list.Items))
	}
	return all
}

// selected are the nodes that the template selects; all, if that depends on the job.
func selected(spec *corev1.PodSpec) string {
	selector := labels.SelectorFromSet(spec.NodeSelector).String()
	if strings.Contains(selector, "{") {
		return ""
	}
	return selector
}

// want is what a queue's setting wants of nodes. lack is what a node lacks of it, empty if
// it has all.
type want struct {
	setting, fix string
	lack         func(*corev1.Node) string
}

func wanted(q config.Queue, spec *corev1.PodSpec) (all []want) {
	if q.Programs == config.ProgramsImageVolume {
		all = append(all, want{"programs: image-volume", "upgrade them to Kubernetes 1.35 with containerd 2.2 or CRI-O 1.33, keep the queue's pods off them by a node selector, or set programs: copy", lacksImageVolumes})
	}
	if q.UserNamespace {
		class := ptr.Deref(spec.RuntimeClassName, "")
		all = append(all, want{"user-namespace: true", "upgrade them to Linux 6.3 and containerd 2.0 with runc 1.2, or keep the queue's pods off them by a node selector", func(n *corev1.Node) string { return lacksUsers(n, class) }})
	}
	return all
}

func (w want) judge(f Finding, nodes []corev1.Node) Finding {
	var lacking []string
	for i := range nodes {
		if lack := w.lack(&nodes[i]); lack != "" {
			lacking = append(lacking, nodes[i].Name+" has "+contract.Line(lack, 60))
		}
	}
	n := len(lacking)
	if n > 3 {
		lacking = append(lacking[:3], "and others")
	}
	found := fmt.Sprintf("%s: %d of %d nodes can't: %s", w.setting, n, len(nodes), strings.Join(lacking, ", "))
	switch {
	case len(nodes) == 0:
		return f.not(Skip, w.setting+": there is no node that the template selects", "look again when there is one")
	case n == 0:
		return f.ok(fmt.Sprintf("%s: all %d nodes can", w.setting, len(nodes)))
	case n == len(nodes):
		return f.not(Fail, found, w.fix)
	}
	return f.not(Warn, found, w.fix)
}

// imageVolumes are the runtimes' first versions with image volumes and their sub-paths.
var imageVolumes = map[string]string{"containerd": "2.2.0", "cri-o": "1.33.0"}

func lacksImageVolumes(n *corev1.Node) string {
	info := n.Status.NodeInfo
	if older(info.KubeletVersion, "1.35.0") {
		return "kubelet " + info.KubeletVersion
	}
	name, is, _ := strings.Cut(info.ContainerRuntimeVersion, "://")
	if first := imageVolumes[name]; first != "" && older(is, first) {
		return name + " " + is
	}
	return ""
}

// lacksUsers: the kubelet publishes what its runtime says of itself; what the file systems
// below volumes can do, nobody says. A runtime class mostly has the name of its handler; if
// the node has no handler of that name, any may be it.
func lacksUsers(n *corev1.Node, class string) string {
	if kernel := n.Status.NodeInfo.KernelVersion; older(kernel, "6.3.0") {
		return "Linux " + kernel
	}
	unnamed := !slices.ContainsFunc(n.Status.RuntimeHandlers, func(h corev1.NodeRuntimeHandler) bool { return h.Name == class })
	for _, h := range n.Status.RuntimeHandlers {
		if (h.Name == class || unnamed) && h.Features != nil && ptr.Deref(h.Features.UserNamespaces, false) {
			return ""
		}
	}
	return n.Status.NodeInfo.ContainerRuntimeVersion + ", without them"
}

// older: a version that can't be read is not.
func older(is, first string) bool {
	v, err := version.ParseGeneric(is)
	return err == nil && v.LessThan(version.MustParseGeneric(first))
}
