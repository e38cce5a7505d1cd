package main

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// What is told for an existing cluster is a configuration that can be used, and
// is no success.
func TestTellExisting(t *testing.T) {
	var out bytes.Buffer
	if err := tellExisting(&out, "/home/ada/kubeconfig"); !errors.Is(err, errExisting) {
		t.Errorf("the demo has not run, and says %v", err)
	}
	if !strings.Contains(out.String(), "export KUBECONFIG=/home/ada/kubeconfig\n") {
		t.Errorf("the kubeconfig isn't named in\n%s", out.String())
	}
	lines := regexp.MustCompile(`(?m)^  #(?: in deploy/base/onejob\.yaml:)? {8,}((?:endpoint|queues): .*)$`).FindAllStringSubmatch(out.String(), -1)
	text := ""
	for _, l := range lines {
		text += l[1] + "\n"
	}
	c, err := config.Parse([]byte(strings.ReplaceAll(text, "HOST", "10.0.0.1")), "onejob")
	if err != nil || len(c.Queues) != 1 || c.Endpoint == "" {
		t.Fatalf("the configuration %q: %v", text, err)
	}
	if tpl, err := kjob.Parse(c.Queues[0].Template.Inline, c.Queues[0]); err != nil || tpl.Image() != "REGISTRY/onejob-agent" {
		t.Errorf("the template: %v", err)
	}
}
