package doctor

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/k8s/config"
)

// What a node's status says of what a queue's pods want of it.
func TestNodes(t *testing.T) {
	node := func(name, kubelet, runtime, kernel string, users bool) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
			NodeInfo:        corev1.NodeSystemInfo{KubeletVersion: kubelet, ContainerRuntimeVersion: runtime, KernelVersion: kernel},
			RuntimeHandlers: []corev1.NodeRuntimeHandler{{Name: "", Features: &corev1.NodeRuntimeHandlerFeatures{UserNamespaces: &users}}, {Name: "kata"}},
		}}
	}
	able := node("able", "v1.36.3", "containerd://2.4.2", "6.18.44-x", true)
	of := func(nodes ...corev1.Node) []corev1.Node { return nodes }
	volume, users := config.Queue{Programs: config.ProgramsImageVolume}, config.Queue{UserNamespace: true}
	kata, gvisor := "kata", "gvisor"
	for _, tt := range []struct {
		name    string
		queue   config.Queue
		handler *string
		nodes   []corev1.Node
		result  Result
		found   string
	}{
		{"all can mount", volume, nil, of(able), OK, "programs: image-volume: all 1 nodes can"},
		{"an old containerd", volume, nil, of(node("old", "v1.36.3", "containerd://2.1.9", "6.18.0", true)), Fail, "1 of 1 nodes can't: old has containerd 2.1.9"},
		{"Debian's, beside another", volume, nil, of(able, node("old", "v1.36.3", "containerd://1.6.20~ds1", "6.18.0", true)), Warn, "1 of 2 nodes can't: old has containerd 1.6.20"},
		{"an old kubelet", volume, nil, of(node("old", "v1.34.1", "containerd://2.4.2", "6.18.0", true)), Fail, "old has kubelet v1.34.1"},
		{"an old CRI-O", volume, nil, of(node("old", "v1.36.3", "cri-o://1.32.1", "6.18.0", true)), Fail, "old has cri-o 1.32.1"},
		{"a runtime that nobody knows", volume, nil, of(node("new", "v1.36.3", "other://1", "6.18.0", true)), OK, "all 1 nodes can"},
		{"many", volume, nil, of(node("a", "v1.34.0", "", "", true), node("b", "v1.34.0", "", "", true), node("c", "v1.34.0", "", "", true), node("d", "v1.34.0", "", "", true)), Fail, "4 of 4 nodes can't: a has kubelet v1.34.0, b has kubelet v1.34.0, c has kubelet v1.34.0, and others"},
		{"none", volume, nil, nil, Skip, "there is no node that the template selects"},
		{"all have users", users, nil, of(able), OK, "user-namespace: true: all 1 nodes can"},
		{"another handler", users, &kata, of(able), Fail, "able has containerd://2.4.2, without them"},
		{"a class whose handler has another name", users, &gvisor, of(able), OK, "user-namespace: true: all 1 nodes can"},
		{"such a class, where no handler can", users, &gvisor, of(node("old", "v1.36.3", "containerd://1.7.1", "6.18.0", false)), Fail, "old has containerd://1.7.1, without them"},
		{"an old runc", users, nil, of(node("old", "v1.36.3", "containerd://2.4.2", "6.18.0", false)), Fail, "old has containerd://2.4.2, without them"},
		{"an old kernel", users, nil, of(node("old", "v1.36.3", "containerd://2.4.2", "6.1.0-13-amd64", true)), Fail, "old has Linux 6.1.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wants := wanted(tt.queue, &corev1.PodSpec{RuntimeClassName: tt.handler})
			if len(wants) != 1 {
				t.Fatalf("%d settings want something", len(wants))
			}
			if f := wants[0].judge(about("nodes", "queue a"), tt.nodes); f.Result != tt.result || !strings.Contains(f.Found, tt.found) || (f.Fix == "") != (f.Result == OK) {
				t.Errorf("got %+v, want %s, %q", f, tt.result, tt.found)
			}
		})
	}
	if len(wanted(config.Queue{Programs: config.ProgramsCopy}, &corev1.PodSpec{})) != 0 {
		t.Error("a queue that wants nothing of its nodes is asked about")
	}
	if s := selected(&corev1.PodSpec{NodeSelector: map[string]string{"pool": "{{env.POOL}}"}}); s != "" {
		t.Errorf("a selector that depends on the job is %q", s)
	}
}
