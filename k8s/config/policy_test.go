package config

import (
	"strings"
	"testing"
)

func TestPolicy(t *testing.T) {
	for _, tt := range []struct {
		name, doc string
		want      []string
	}{
		{"nothing", "{}", nil},
		{"all of it", `{level: privileged, images: [a], registries: [b], digests: true, namespaces: [c], service-accounts: [d], pod-templates: [k], volumes: [nfs], claims: [e], secrets: [f], host: {network: true, ipc: true, paths: [/cache]},
 privileged: true, capabilities: [NET_ADMIN], limits: {container: {cpu: 4}, pod: {memory: 8Gi}}, node-selectors: [a=b], tolerations: [g], priority-classes: [h], runtime-classes: [i], metadata: [j], max-deadline: 1h}`, nil},
		{"a level", "{level: high}", []string{`policy.level: "high" is not one of restricted, baseline, privileged`}},
		{"the node, at a level that refuses it", "{host: {network: true, paths: [cache]}, privileged: true, max-deadline: 0s}", []string{
			"policy.host.network: it needs level: privileged", "policy.host.paths: it needs level: privileged", "policy.privileged: it needs level: privileged", `policy.host.paths: "cache" doesn't begin with /`, "policy.max-deadline: 0s is less than 1s",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p Policy
			if unknown, err := DecodeStrict([]byte(tt.doc), &p); err != nil || unknown != nil {
				t.Fatal(unknown, err)
			}
			err := p.Validate()
			if len(tt.want) == 0 && err != nil {
				t.Error(err)
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
			}
		})
	}
}
