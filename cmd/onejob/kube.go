package main

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"

	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/k8s/kube"
)

const categoryKube = "KUBERNETES (as in kubectl)"

// kubeFlags are kubectl's flags, with the same names.
func kubeFlags() []cli.Flag {
	str := func(name, use string, aliases ...string) cli.Flag {
		return &cli.StringFlag{Name: name, Aliases: aliases, Usage: use, Category: categoryKube}
	}
	return []cli.Flag{
		&cli.StringFlag{Name: "kubeconfig", EnvVars: []string{"ONEJOB_KUBECONFIG"}, Usage: "`PATH` of the kubeconfig; by default $KUBECONFIG, ~/.kube/config or the pod's service account", Category: categoryKube},
		str("context", "`NAME` of the kubeconfig's context"),
		str("cluster", "`NAME` of the kubeconfig's cluster"),
		str("user", "`NAME` of the kubeconfig's user"),
		str("server", "`URL` of the API server", "s"),
		str("as", "`USER` to impersonate"),
		&cli.StringFlag{Name: "namespace", Aliases: []string{"n"}, EnvVars: []string{"ONEJOB_NAMESPACE"}, Usage: "`NAME` of the namespace; by default the context's, or the pod's", Category: categoryKube},
	}
}

func kubeConfig(c *cli.Context) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.String("kubeconfig")
	o := &clientcmd.ConfigOverrides{CurrentContext: c.String("context")}
	o.Context.Cluster, o.Context.AuthInfo, o.Context.Namespace = c.String("cluster"), c.String("user"), c.String("namespace")
	o.ClusterInfo.Server, o.AuthInfo.Impersonate = c.String("server"), c.String("as")
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, o)
}

// namespaceOf is the namespace that the flags, the context or the pod name.
func namespaceOf(c *cli.Context) string {
	if ns := c.String("namespace"); ns != "" {
		return ns
	}
	ns, explicit, err := kubeConfig(c).Namespace()
	if err != nil || ns == "" {
		return "default"
	}
	if !explicit && ns == "default" {
		if b, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace"); err == nil && len(b) > 0 {
			return string(b)
		}
	}
	return ns
}

// kubeClient uses protobuf and doesn't throttle itself: the circuit breaker and the API
// server's priority and fairness do that.
func kubeClient(c *cli.Context) (kube.Client, error) {
	cfg, err := restConfig(c)
	if err != nil {
		return nil, err
	}
	return kube.NewClient(cfg)
}

func restConfig(c *cli.Context, through ...transport.WrapperFunc) (*rest.Config, error) {
	cfg, err := kubeConfig(c).ClientConfig()
	if err != nil {
		return nil, usage(fmt.Errorf("no cluster to talk to: %w", err))
	}
	cfg.UserAgent = "onejob/" + build.String()
	cfg.QPS, cfg.Burst = -1, 0
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	cfg.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	cfg.WarningHandler = rest.NoWarnings{}
	cfg.Wrap(transport.Wrappers(through...))
	return cfg, nil
}
