package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/version"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// OldestKubernetes is the chart's kubeVersion.
const OldestKubernetes = "1.31.0"

// schedulers selects the scheduler's Deployment and pods, as deploy/ labels them.
const schedulers = "app.kubernetes.io/name=onejob,app.kubernetes.io/component=scheduler"

// connect makes the clients, once.
func (p *Patient) connect() error {
	if p.ClusterError != nil || p.kube != nil {
		return p.ClusterError
	}
	cfg := rest.CopyConfig(p.REST)
	cfg.Wrap(p.skew.wrap)
	client, err := kube.NewClient(cfg)
	if err != nil {
		return err
	}
	authorization, err := authorizationclient.NewForConfig(cfg)
	if err != nil {
		return err
	}
	if p.apps, err = appsclient.NewForConfig(cfg); err != nil {
		return err
	}
	authentication, err := authenticationclient.NewForConfig(cfg)
	if err != nil {
		return err
	}
	p.kube, p.reviews, p.self = client, authorization.SelfSubjectAccessReviews(), authentication.SelfSubjectReviews()
	return nil
}

// cluster asks the API server for its version.
func (p *Patient) cluster(ctx context.Context) []Finding {
	f := about("kubernetes", "")
	if err := p.connect(); err != nil {
		return []Finding{f.not(Fail, contract.Sentence(err.Error()), "give the cluster as for kubectl: --kubeconfig, --context")}
	}
	b, err := p.kube.CoreV1().RESTClient().Get().AbsPath("/version").SetHeader("Accept", "application/json").Do(ctx).Raw()
	if err != nil {
		return []Finding{f.not(Fail, contract.Sentence(err.Error()), "check that kubectl version works with the same flags")}
	}
	var v struct {
		GitVersion string `json:"gitVersion"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return []Finding{f.not(Fail, "the answer to /version is no API server's: "+contract.Sentence(err.Error()), "check --server, and proxies on the way")}
	}
	p.version = contract.Word(v.GitVersion)
	is, err := version.ParseGeneric(p.version)
	if err == nil && is.LessThan(version.MustParseGeneric(OldestKubernetes)) {
		return []Finding{f.not(Fail, p.version+" at "+p.REST.Host, "upgrade the cluster: onejob needs "+OldestKubernetes+" or newer")}
	}
	return []Finding{f.ok(p.version + " at " + p.REST.Host)}
}

// scheduler looks at the scheduler's pods, and at all versions.
func (p *Patient) scheduler(ctx context.Context) []Finding {
	versions := []string{"this onejob " + p.Version, fmt.Sprintf("pod contract %d", contract.Newest)}
	f, v := about("scheduler", "namespace "+p.Namespace), about("versions", "")
	pods, err := p.kube.CoreV1().Pods(p.Namespace).List(ctx, metav1.ListOptions{LabelSelector: schedulers})
	if err != nil {
		return []Finding{f.not(Skip, contract.Sentence(err.Error()), "give a user who may list pods there"), v.ok(strings.Join(versions, ", "))}
	}
	images, ready := []string{}, 0
	for _, pod := range pods.Items {
		if isReady(&pod) {
			ready++
		}
		p.accounts = append(p.accounts, pod.Spec.ServiceAccountName)
		for _, c := range pod.Spec.Containers {
			if c.Name == "onejob" && !slices.Contains(images, c.Image) {
				images = append(images, c.Image)
			}
		}
	}
	deployments, err := p.apps.Deployments(p.Namespace).List(ctx, metav1.ListOptions{LabelSelector: schedulers})
	if err == nil {
		for _, d := range deployments.Items {
			if chart := d.Labels["helm.sh/chart"]; chart != "" {
				versions = append(versions, "chart "+contract.Word(chart))
			}
		}
	}
	v = v.ok(strings.Join(append(versions, images...), ", "))
	if len(images) > 1 {
		v = v.not(Warn, v.Found, "replicas of two releases run: wait for the rollout, or look at it with kubectl rollout status")
	}
	switch {
	case len(pods.Items) == 0:
		f = f.not(Warn, "no pod of the scheduler is in this namespace", "install onejob, or name the scheduler's namespace with --namespace")
	case ready == 0:
		f = f.not(Fail, fmt.Sprintf("none of its %d pods is ready", len(pods.Items)), "kubectl -n "+p.Namespace+" logs deploy/onejob says why, and its /readyz")
	default:
		f = f.ok(fmt.Sprintf("%d of %d pods are ready", ready, len(pods.Items)))
	}
	return []Finding{f, v}
}

func isReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
