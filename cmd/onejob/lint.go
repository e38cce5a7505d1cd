package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
)

func lintCommand() *cli.Command {
	return &cli.Command{
		Name: "lint", Usage: "check the configuration, every queue's template, and the steps of pipelines", ArgsUsage: "[PIPELINE.yml …]",
		Description: `Reports all errors at once, and exits 2 if there are any. Needs no cluster, unless
a template lives in one; it names the templates that it can't read.
With --ask-cluster the API server checks each queue's Kubernetes Job and pod in a
dry run (Pod Security, quota, webhooks, missing objects that they name); nothing is
made. That takes the Role onejob-lint in deploy/operator.yaml.
Checks every step of each pipeline that is named against its queue: its tags, its
image:, its kubernetes plugin.

   onejob lint -f onejob.yaml
   onejob lint -f onejob.yaml --pod-security restricted   # as the namespaces enforce it
   onejob lint -f onejob.yaml --ask-cluster
   onejob lint .buildkite/pipeline.yml -f onejob.yaml
   onejob lint --schema > onejob.schema.json   # for editors
   onejob lint --template                      # the default template`,
		Flags: append([]cli.Flag{
			configFlag(),
			&cli.BoolFlag{Name: "ask-cluster", Usage: "let the API server check what the templates make (dry run)"},
			&cli.StringFlag{Name: "pod-security", Usage: "say what the Pod Security `LEVEL` (baseline, restricted) would refuse, without a cluster"},
			&cli.BoolFlag{Name: "schema", Usage: "print the configuration's JSON schema"},
			&cli.BoolFlag{Name: "template", Usage: "print the default template"},
		}, kubeFlags()...),
		Action: lint,
	}
}

func lint(c *cli.Context) error {
	switch {
	case c.Bool("schema"):
		_, err := c.App.Writer.Write(config.Schema)
		return err
	case c.Bool("template"):
		_, err := c.App.Writer.Write(kjob.DefaultTemplate())
		return err
	}
	cfg, err := loadConfig(c)
	if cfg == nil {
		return err
	}
	errs := []error{err}
	var kube kube.Client
	if c.Bool("ask-cluster") {
		if kube, err = kubeClient(c); err != nil {
			errs = append(errs, err)
		}
	}
	templates := map[string]*kjob.Template{}
	for _, q := range cfg.Queues {
		t, err := lintQueue(c, kube, q)
		errs = append(errs, err)
		templates[q.Name] = t
	}
	for _, path := range c.Args().Slice() {
		errs = append(errs, lintPipeline(c, cfg, templates, path))
	}
	if err := errors.Join(errs...); err != nil {
		return usage(err)
	}
	if kube != nil { // helm test ends with this; Helm writes all of it in one line
		_, _ = fmt.Fprintf(c.App.Writer, "a pipeline to try: steps: [{command: echo hello from onejob, agents: {queue: %s}}]\n", cfg.Queues[0].Name)
	}
	return nil
}

// lintQueue checks a queue's template, and asks the cluster unless kube is nil. The
// template is returned if it can be read.
func lintQueue(c *cli.Context, kube kube.Client, q config.Queue) (*kjob.Template, error) {
	t, err := localTemplate(c, nil, q)
	if err != nil {
		return nil, err
	}
	if level := c.String("pod-security"); level != "" {
		if err := t.PodSecurity(level); err != nil {
			return t, err
		}
	}
	if kube != nil {
		notes, err := kjob.DryRun(c.Context, kube, t)
		for _, n := range notes {
			sayTo(c.App.ErrWriter, n)
		}
		if err != nil {
			return t, err
		}
	}
	if q.TrustedPipelines {
		_, _ = fmt.Fprintf(c.App.ErrWriter, "queue %s: trusted-pipelines is set: whoever can change a pipeline of this queue can have the agent token\n", q.Name)
	}
	_, _ = fmt.Fprintf(c.App.Writer, "queue %s: namespace %s, image %s, max-in-flight %d\n", q.Name, q.Namespace, t.Image(), *q.MaxInFlight)
	return t, nil
}
