package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/k8s/admission"
	"github.com/onejob-dev/onejob/k8s/config"
)

func policyCommand() *cli.Command {
	return &cli.Command{
		Name: "policy", Usage: "print the queues' policies for the API server to hold every Job to",
		Description: `Prints a ValidatingAdmissionPolicy and its binding for each queue, resource class and
namespace of the configuration. With them a Kubernetes Job that has a queue's label is what
the queue's template and policy allow, whoever creates it; and no other Job in the
namespace gets the agent token. Whoever applies them needs the right to, in the whole
cluster: the scheduler has none. Print them anew when templates or policies change.

   onejob policy -f onejob.yaml | kubectl apply -f -
   onejob policy -f onejob.yaml | kubectl delete -f -`,
		Flags: append([]cli.Flag{configFlag()}, kubeFlags()...),
		Action: func(c *cli.Context) error {
			cfg, err := loadConfig(c)
			if err != nil {
				return usage(err)
			}
			all, err := policies(c, cfg)
			if err != nil {
				return err
			}
			for _, q := range cfg.Queues {
				if len(q.Policy.PodTemplates) == 0 {
					continue
				}
				if _, err := fmt.Fprintf(c.App.Writer, "# Queue %s has pod-templates: what a PodTemplate has beyond the queue's policy, these refuse.\n", q.Name); err != nil {
					return err
				}
			}
			for _, of := range all {
				for _, o := range []any{of.Policy, of.Binding} {
					doc, err := yaml.Marshal(o)
					if err != nil {
						return err
					}
					if _, err := fmt.Fprintf(c.App.Writer, "---\n%s", doc); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
}

func policies(c *cli.Context, cfg *config.Config) (all []admission.Objects, err error) {
	var errs []error
	var namespaces []string
	for _, q := range cfg.Queues {
		t, err := localTemplate(c, nil, q)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		of, err := admission.Of(q, t)
		errs = append(errs, err)
		all = append(all, of...)
		if !slices.Contains(namespaces, q.Namespace) {
			namespaces = append(namespaces, q.Namespace)
			all = append(all, admission.Others(q.Namespace, cfg.Queues))
		}
	}
	return all, errors.Join(errs...)
}
