package scheduler

import (
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/stacks"
)

const someJob = contract.SampleJobID

// configuredQueue is the queue "default", with settings in YAML.
func configuredQueue(t testing.TB, settings string) config.Queue {
	t.Helper()
	c, err := config.Parse([]byte("queues:\n- name: default\n"+settings), "builds")
	if err != nil {
		t.Fatal(err)
	}
	return c.Queues[0]
}

// parsedTemplate is a template of that queue.
func parsedTemplate(t testing.TB, doc string) *kjob.Template {
	t.Helper()
	tpl, err := kjob.Parse([]byte(doc), configuredQueue(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	tpl.Org = "acme"
	return tpl
}

func scheduledJob() stacks.Job {
	return stacks.Job{ID: someJob, Priority: 3, Pipeline: "demo", Build: 7, Branch: "main", Step: "test", ScheduledAt: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)}
}
