package endtoend

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster/image"
)

type object = map[string]any

// TestPlugin: a step's pod is what its kubernetes plugin describes, in the shipped pod,
// or its job ends with the field that it may not have.
func TestPlugin(t *testing.T) {
	shared := []any{object{"name": "shared", "mountPath": "/shared"}}
	container := func(fields object) object {
		c := object{"image": image.BusyboxName}
		for k, v := range fields {
			c[k] = v
		}
		return c
	}
	for _, tt := range []struct {
		name, image, command, exit string
		plugin                     object
		says, page                 []string
		never                      string
	}{
		{
			name: "whole", command: "echo never", exit: "0", never: simulator.DefaultAgentToken,
			plugin: object{
				"podSpec": object{
					"initContainers": []any{container(object{"name": "setup", "command": []any{"sh", "-c", "echo from-init > /shared/file"}, "volumeMounts": shared})},
					"containers": []any{container(object{
						"command": []any{"echo in-$WORD $(id -u)", "cat /shared/file", "env; cat /proc/[0-9]*/environ | tr '\\0' '\\n'; ls /proc; test -e /var/run/secrets/kubernetes.io || echo no-account", "echo"}, "args": []any{"two  spaces"},
						"env": []any{object{"name": "WORD", "value": "the-plugin"}}, "volumeMounts": shared, "resources": object{"requests": object{"cpu": "10m"}},
					})},
					"volumes": []any{object{"name": "shared", "emptyDir": object{}}},
				},
				"sidecars": []any{container(object{"name": "side", "command": []any{"sh", "-c", "trap exit TERM; while :; do sleep 0.2; done"}})},
				"metadata": object{"labels": object{"buildkite.com/team": "a"}},
				"checkout": object{"skip": true},
			},
			says: []string{"in-the-plugin 1000", "from-init", "no-account", "two  spaces"},
		},
		{name: "the step's own command, in image:", image: image.BusyboxName, command: "busybox | head -1; exit 4", exit: "4", plugin: object{"podSpec": object{"containers": []any{object{"image": "example.test/never:1"}}}}, says: []string{"BusyBox v1."}},
		{
			name: "several containers, in turn", command: "echo never", exit: "3", never: "not-reached",
			plugin: object{"podSpec": object{"containers": []any{
				container(object{"name": "one", "command": []any{"echo first > order; echo from-one"}}),
				container(object{"name": "two", "command": []any{"cat order; echo from-two; exit 3"}}),
				container(object{"name": "three", "command": []any{"echo not-reached"}}),
			}}},
			says: []string{`container "one"`, "from-one", `container "two"`, "first", "from-two"},
		},
		{
			name: "containers by patch", command: "until test -e /shared/by-container; do sleep 0.1; done; cat /shared/by-init /shared/by-container; hostname", exit: "0", never: simulator.DefaultAgentToken,
			plugin: object{"podSpecPatch": object{
				"initContainers": []any{container(object{"name": "setup", "command": []any{"sh", "-c", "echo from-init > /shared/by-init"}, "volumeMounts": shared})},
				"containers": []any{
					container(object{"name": "container-0", "volumeMounts": shared}),
					container(object{"name": "beside", "command": []any{"sh", "-c", "{ echo from-beside; env; cat /proc/[0-9]*/environ | tr '\\0' '\\n'; } > /shared/by-container"}, "volumeMounts": shared}),
				},
				"volumes": []any{object{"name": "shared", "emptyDir": object{}}},
			}},
			says: []string{"from-init", "from-beside"},
		},
		{name: "a step's fault", command: "true", exit: "-1", plugin: object{"podSpec": object{"containers": []any{object{"imag": "x"}}}}, page: []string{"kubernetes.podSpec.containers[0].imag: there is no such field, but there is image"}},
		{name: "what no step may have", command: "true", exit: "-1", plugin: object{"podSpec": object{"hostNetwork": true, "containers": []any{container(nil)}}, "gitEnvFrom": []any{object{"secretRef": object{"name": "onejob-agent-token"}}}}, page: []string{"hostNetwork: it is the node's network", "has the agent token in it"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			defer cancel()
			step := object{"command": tt.command, "env": noCheckout(), "plugins": []any{object{"kubernetes": tt.plugin}}}
			if tt.image != "" {
				step["image"] = tt.image
			}
			build := create(t, simulator.BuildRequest{}, step)
			id := build.JobIDs[0]
			if err := on.Simulator.Wait(ctx, func() bool { b, _ := on.Simulator.Build(build.Number); return b.Done() }); err != nil {
				t.Fatalf("%v\n%s", err, table())
			}
			job, _ := on.Simulator.Job(id)
			log, _ := on.Simulator.Log(id)
			page := string(log)
			for _, n := range job.Notifications {
				page += "\n" + n.Detail
			}
			if job.StackFinish != nil {
				page += "\n" + job.StackFinish.Detail
			}
			if job.ExitStatus != tt.exit {
				t.Errorf("it ended with %s, want %s", job.ExitStatus, tt.exit)
			}
			rest := string(log)
			for _, want := range tt.says {
				_, after, found := strings.Cut(rest, want)
				if !found {
					t.Errorf("the log doesn't say %q after what comes before it", want)
				}
				rest = after
			}
			for _, want := range tt.page {
				if !strings.Contains(page, want) {
					t.Errorf("the page doesn't say %q", want)
				}
			}
			if tt.never != "" && strings.Contains(page, tt.never) {
				t.Errorf("the page has %q", tt.never)
			}
			if len(tt.page) == 0 {
				containers(t, ctx, id, false)
			}
			if t.Failed() {
				t.Logf("the page:\n%s", page)
			}
		})
	}
}
