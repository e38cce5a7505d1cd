package main

import (
	"cmp"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/pflag"
	"github.com/urfave/cli/v2"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"

	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/k8s/kube"
)

const categoryKube = "KUBERNETES (as in kubectl)"

// connection has kubectl's flags about the connection, which clientcmd knows, and o, which
// they set.
func connection(o *clientcmd.ConfigOverrides) *pflag.FlagSet {
	names := clientcmd.RecommendedConfigOverrideFlags("")
	names.ClusterOverrideFlags.APIServer.ShortName = "s"
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	clientcmd.BindOverrideFlags(o, flags, names)
	return flags
}

// placeholders are what help shows for a flag's value, where it isn't VALUE.
var placeholders = map[string]string{
	"context": "NAME", "cluster": "NAME", "user": "NAME", "namespace": "NAME", "server": "URL", "proxy-url": "URL", "as": "USER", "as-group": "GROUP", "as-uid": "UID",
	"certificate-authority": "PATH", "client-certificate": "PATH", "client-key": "PATH", "request-timeout": "LONG", "tls-server-name": "NAME", "token": "TOKEN",
}

// kubeFlags are kubectl's flags about the connection, with the same names.
func kubeFlags() []cli.Flag {
	all := []cli.Flag{
		&cli.StringFlag{Name: "kubeconfig", EnvVars: []string{"ONEJOB_KUBECONFIG"}, Usage: "`PATH` of the kubeconfig; by default $KUBECONFIG, ~/.kube/config or the pod's service account", Category: categoryKube},
	}
	connection(&clientcmd.ConfigOverrides{}).VisitAll(func(f *pflag.Flag) {
		var aliases, env []string
		if f.Shorthand != "" {
			aliases = []string{f.Shorthand}
		}
		if f.Name == "namespace" {
			env = []string{"ONEJOB_NAMESPACE"}
		}
		use := cmp.Or(placeholders[f.Name], "VALUE")
		use = "`" + use + "`: " + f.Usage
		switch f.Value.Type() {
		case "bool":
			all = append(all, &cli.BoolFlag{Name: f.Name, Usage: f.Usage, Category: categoryKube})
		case "stringArray":
			all = append(all, &cli.StringSliceFlag{Name: f.Name, Aliases: aliases, Usage: use, Category: categoryKube})
		default:
			all = append(all, &cli.StringFlag{Name: f.Name, Aliases: aliases, EnvVars: env, Usage: use, Category: categoryKube})
		}
	})
	return all
}

func kubeConfig(c *cli.Context) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.String("kubeconfig")
	o := &clientcmd.ConfigOverrides{}
	connection(o).VisitAll(func(f *pflag.Flag) {
		values := []string{c.String(f.Name)}
		switch kind := f.Value.Type(); {
		case !c.IsSet(f.Name):
			return
		case kind == "bool":
			values = []string{strconv.FormatBool(c.Bool(f.Name))}
		case kind == "stringArray":
			values = c.StringSlice(f.Name)
		}
		for _, value := range values {
			_ = f.Value.Set(value) //nolint:errcheck // they take any text
		}
	})
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, o)
}

// namespaceOf is the namespace that the flags, the context or the pod name.
func namespaceOf(c *cli.Context) string {
	if ns, _ := clientcmd.RemoveNamespacesPrefix(c.String("namespace")); ns != "" {
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
