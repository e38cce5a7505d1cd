package policy

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/steps"
)

func aPolicy(t testing.TB, doc string) (p config.Policy) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(doc), &p); err != nil {
		t.Fatal(err)
	}
	return p
}

func aStep(t testing.TB, image, plugin string) steps.Step {
	t.Helper()
	js, err := yaml.YAMLToJSON([]byte(plugin))
	if err != nil {
		t.Fatal(err)
	}
	step, err := steps.Parse(map[string]string{steps.EnvImage: image, steps.EnvPlugins: fmt.Sprintf(`[{"kubernetes":%s}]`, js)})
	if err != nil {
		t.Fatal(err)
	}
	return step
}

const digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123"

// Each rule has a step that violates it and a policy that allows the step. want is the field
// and the rule, empty if the policy allows the step.
func TestRules(t *testing.T) {
	pod := func(fields string) string { return "{podSpec: {containers: [{name: t, image: x}], " + fields + "}}" }
	ctr := func(fields string) string { return "{podSpec: {containers: [{name: t, image: x, " + fields + "}]}}" }
	volume := func(source string) string { return pod("volumes: [{name: v, " + source + "}]") }
	const privileged = "level: privileged, "
	for _, tt := range []struct{ name, policy, image, plugin, want string }{
		{name: "an image", image: "node:22"},
		{"an image of a list", "images: [docker.io/library/*]", "node:22", "null", ""},
		{"an image of none", "images: [ghcr.io/acme/**]", "node:22", "null", `containers[container-0].image: the image "docker.io/library/node:22" is not one that this queue's steps may use, which are ghcr.io/acme/**: take it out, or have it added to images in the queue's policy`},
		{"a star ends at a slash", "images: ['*.acme.io/*']", "evil.com/x.acme.io/y", "null", "containers[container-0].image"},
		{"a sidecar's image", "images: ['docker.io/library/*']", "", "{sidecars: [{image: quay.io/x/y}], podSpec: {containers: [{image: x}]}}", "sidecars[sidecar-0].image"},
		{"an image volume's", "images: ['docker.io/library/*']", "", volume("image: {reference: quay.io/x/y}"), "volumes[v].image.reference"},
		{"a registry", "registries: [docker.io]", "ghcr.io/a/b", "null", `the registry "ghcr.io"`},
		{"a registry of the list", "registries: ['*.acme.io', docker.io]", "r.acme.io/a", "null", ""},
		{"no digest", "digests: true", "node:22", "null", "by digest only"},
		{"a digest", "digests: true", "node@" + digest, "null", ""},

		{"a privileged container", "", "", ctr("securityContext: {privileged: true}"), "containers[t].securityContext.privileged: "},
		{"the level alone allows none", "level: privileged", "", ctr("securityContext: {privileged: true}"), "containers[t].securityContext.privileged: "},
		{"one that is allowed", privileged + "privileged: true", "", ctr("securityContext: {privileged: true}"), ""},
		{"a capability", "", "", ctr("securityContext: {capabilities: {add: [SYS_ADMIN]}}"), `containers[t].securityContext.capabilities.add: the capability "SYS_ADMIN"`},
		{"a harmless one", "", "", ctr("securityContext: {capabilities: {add: [CHOWN]}}"), ""},
		{"none at all", "capabilities: []", "", ctr("securityContext: {capabilities: {add: [CHOWN]}}"), `"CHOWN"`},
		{"one of the list", privileged + "capabilities: [NET_ADMIN]", "", ctr("securityContext: {capabilities: {add: [CAP_NET_ADMIN]}}"), ""},
		{"root under baseline", "", "", ctr("securityContext: {runAsUser: 0}"), ""},
		{"root under restricted", "level: restricted", "", ctr("securityContext: {runAsUser: 0}"), "Pod Security's level restricted refuses runAsUser=0"},
		{"nothing said, under restricted", "level: restricted", "node", "null", ""},
		{"escalation under restricted", "level: restricted", "", ctr("securityContext: {allowPrivilegeEscalation: true}"), "refuses allowPrivilegeEscalation != false"},
		{"no seccomp", "", "", ctr("securityContext: {seccompProfile: {type: Unconfined}}"), "refuses seccompProfile"},
		{"a pod's seccomp", "", "", pod("securityContext: {seccompProfile: {type: Unconfined}}"), "refuses seccompProfile"},
		{"a sysctl", "", "", pod("securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}"), "refuses forbidden sysctls"},

		{"the node's network", "", "", pod("hostNetwork: true"), "hostNetwork: it is the node's network"},
		{"allowed", privileged + "host: {network: true}", "", pod("hostNetwork: true"), ""},
		{"a port of the node", "", "", ctr("ports: [{containerPort: 80, hostPort: 80}]"), "containers[t].ports: a hostPort"},
		{"the node's memory", "", "", pod("hostIPC: true"), "hostIPC: "},
		{"the node's processes, whatever the policy", privileged + "privileged: true, host: {network: true, ipc: true, paths: [/]}", "", pod("hostPID: true"), "hostPID: a step may not set this of its pod, because it shows a step the runner's process"},
		{"the pod's processes", privileged + "privileged: true", "", pod("shareProcessNamespace: true"), "shareProcessNamespace: "},
		{"false is said of many things", "", "", pod("shareProcessNamespace: false, enableServiceLinks: false, automountServiceAccountToken: false, hostPID: false"), ""},
		{"where Buildkite is", "", "", pod("hostAliases: [{ip: 1.2.3.4, hostnames: [agent.buildkite.com]}]"), "hostAliases: "},
		{"the same by names", "", "", pod("dnsPolicy: None, dnsConfig: {nameservers: [1.2.3.4]}"), "dnsConfig: "},
		{"a node", "", "", pod("nodeName: control-plane"), "nodeName: a step may not set this of its pod, because it goes past the scheduler"},
		{"another scheduler", "", "", pod("schedulerName: mine"), "schedulerName: "},
		{"a gate", "", "", pod("schedulingGates: [{name: a}]"), "schedulingGates: "},
		{"users of the node", "", "", pod("hostUsers: true"), "hostUsers: "},
		{"Windows", "", "", pod("os: {name: windows}"), "os.name: "},

		{"a folder of the node", "", "", volume("hostPath: {path: /}"), "volumes[v].hostPath.path: \"/\" is the node's"},
		{"one that is allowed", privileged + "host: {paths: [/cache]}", "", volume("hostPath: {path: /cache/go}"), ""},
		{"beside it", privileged + "host: {paths: [/cache]}", "", volume("hostPath: {path: /cache2}"), "volumes[v].hostPath.path"},
		{"out of it", privileged + "host: {paths: [/cache]}", "", volume("hostPath: {path: /cache/../etc}"), "volumes[v].hostPath.path"},
		{"a kind", "", "", volume("nfs: {server: a, path: /}"), `volumes[v]: the kind of volume "nfs"`},
		{"a driver that mounts Secrets", "", "", volume("csi: {driver: secrets-store.csi.k8s.io}"), `the kind of volume "csi"`},
		{"a kind of the list", "volumes: [nfs]", "", volume("nfs: {server: a, path: /}"), ""},
		{"none but those", "volumes: [nfs]", "", volume("emptyDir: {}"), `the kind of volume "emptyDir"`},
		{"a claim", "", "", volume("persistentVolumeClaim: {claimName: c}"), `volumes[v].persistentVolumeClaim.claimName: the claim "c"`},
		{"a claim of the list", "claims: [cache-*]", "", volume("persistentVolumeClaim: {claimName: cache-go}"), ""},
		{"a settings' volume", "", "", volume("configMap: {name: c}"), ""},

		{"a Secret as a variable", "", "", ctr("env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]"), `containers[t].env[A].valueFrom.secretKeyRef.name: the Secret "s"`},
		{"all of a Secret", "", "", "{gitEnvFrom: [{secretRef: {name: s}}]}", `envFrom[0].secretRef.name: the Secret "s"`},
		{"a Secret's volume", "", "", volume("secret: {secretName: s}"), `volumes[v].secret.secretName: the Secret "s"`},
		{"in another", "", "", volume("projected: {sources: [{secret: {name: s}}]}"), `the Secret "s"`},
		{"for pulls", "", "", pod("imagePullSecrets: [{name: s}]"), `imagePullSecrets[s].name: the Secret "s"`},
		{"for git", "", "", "{checkout: {gitCredentialsSecret: {secretName: s}}}", `checkout.gitCredentialsSecret.secretName: the Secret "s"`},
		{"for the checkout", "", "", "{checkout: {envFrom: [{secretRef: {name: s}}]}}", `checkout.envFrom[0].secretRef.name: the Secret "s"`},
		{"of the list", "secrets: [git-*]", "", "{gitEnvFrom: [{secretRef: {name: git-key}}], checkout: {gitCredentialsSecret: {secretName: git-x}}}", ""},

		{"an account", "", "", pod("serviceAccountName: deployer"), `serviceAccountName: the service account "deployer"`},
		{"an account of the list", "service-accounts: [deployer]", "", pod("serviceAccountName: deployer"), ""},
		{"its token", "service-accounts: [deployer]", "", pod("serviceAccountName: deployer, volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}]"), ""},
		{"a token of nobody's", "", "", volume("projected: {sources: [{serviceAccountToken: {path: t}}]}"), "volumes[v].projected.sources.serviceAccountToken: a token of an account"},
		{"a token for all containers", "service-accounts: ['*']", "", pod("serviceAccountName: deployer, automountServiceAccountToken: true"), "automountServiceAccountToken: it mounts the token in the runner's container"},
		{"the scheduler's account", "service-accounts: ['*']", "", pod("serviceAccountName: onejob"), "serviceAccountName: the account onejob is the scheduler's"},

		{"too much of a container's", "limits: {container: {cpu: '4'}}", "", ctr("resources: {requests: {cpu: '8'}}"), "containers[t].resources.requests.cpu: 8 is more than a container of this queue may have, 4"},
		{"enough", "limits: {container: {cpu: '4'}}", "", ctr("resources: {limits: {cpu: '4', memory: 1Ti}}"), ""},
		{"too much of a pod's", "limits: {pod: {memory: 4Gi}}", "", "{podSpec: {containers: [{image: x, resources: {limits: {memory: 3Gi}}}]}, sidecars: [{image: z, resources: {limits: {memory: 2Gi}}}]}", "containers.resources.limits.memory: 5Gi in all is more than a pod of this queue may have, 4Gi"},
		{"one that ends before", "limits: {pod: {memory: 4Gi}}", "", "{podSpec: {initContainers: [{name: i, image: x, resources: {limits: {memory: 4Gi}}}], containers: [{image: x, resources: {limits: {memory: 3Gi}}}]}}", ""},
		{"the runner's share", "limits: {container: {cpu: '1'}}", "", "{podSpecPatch: {containers: [{name: agent, resources: {limits: {cpu: '2'}}}]}}", "containers[agent].resources.limits.cpu"},
		{"a device by claim", "", "", ctr("resources: {claims: [{name: gpu}]}"), "containers[t].resources.claims"},

		{"any node selector", "", "", pod("nodeSelector: {a: b}"), ""},
		{"none of the list", "node-selectors: ['pool=ci-*']", "", pod("nodeSelector: {pool: prod}"), `nodeSelector.pool: the node selector "pool=prod"`},
		{"one of the list", "node-selectors: ['pool=ci-*']", "", pod("nodeSelector: {pool: ci-big}"), ""},
		{"by affinity", "node-selectors: ['pool=ci-*']", "", pod("affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: pool, operator: In, values: [prod]}]}]}}}"), `affinity.nodeAffinity.pool: the node selector "pool=prod"`},
		{"a toleration", "", "", pod("tolerations: [{key: dedicated, operator: Exists}]"), `tolerations[0].key: the taint "dedicated" is not one`},
		{"one of the list", "tolerations: [gpu]", "", pod("tolerations: [{key: gpu, operator: Exists}]"), ""},
		{"of the control plane", "", "", pod("tolerations: [{key: node-role.kubernetes.io/control-plane, operator: Exists}]"), `tolerations[0].key: the taint "node-role.kubernetes.io/control-plane"`},
		{"of every taint", "", "", pod("tolerations: [{operator: Exists}]"), "tolerations[0]: a toleration without a key is for every taint"},
		{"none of the list", "tolerations: [gpu]", "", pod("tolerations: [{key: big, operator: Exists}]"), `tolerations[0].key: the taint "big"`},
		{"a priority class", "", "", pod("priorityClassName: high"), `priorityClassName: the priority class "high"`},
		{"one of the list", "priority-classes: ['*']", "", pod("priorityClassName: high"), ""},
		{"the cluster's own", "priority-classes: ['*']", "", pod("priorityClassName: system-node-critical"), "priorityClassName: "},
		{"a runtime class", "", "", pod("runtimeClassName: runc-debug"), `runtimeClassName: the runtime class "runc-debug"`},
		{"pods of another namespace", "", "", pod("affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: a, namespaces: [prod]}]}}"), `affinity.namespaces: the namespace "prod"`},

		{"far from other jobs, or else not at all", "", "", pod("affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/os, labelSelector: {}}]}}"), "affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution: it would keep other jobs' pods off"},
		{"far from them where there is room", "", "", pod("affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: kubernetes.io/os, labelSelector: {}}}]}}"), ""},
		{"a name in DNS", "", "", pod("hostname: proxy"), "hostname: a step may not set this of its pod, because"},
		{"a name in a domain", "", "", pod("subdomain: proxy"), "subdomain: a step may not set this of its pod, because"},
		{"a long name", "", "", pod("setHostnameAsFQDN: true"), "setHostnameAsFQDN: "},
		{"a pod's supplemental groups", "", "", pod("securityContext: {supplementalGroupsPolicy: Strict}"), "securityContext.supplementalGroupsPolicy: "},
		{"how volumes are relabelled", "", "", pod("securityContext: {seLinuxChangePolicy: MountOption}"), "securityContext.seLinuxChangePolicy: "},
		{"a message's path", "", "", ctr("terminationMessagePath: /x"), "containers[t].terminationMessagePath: "},
		{"amounts of the pod as a whole", "", "", pod("resources: {requests: {cpu: '1'}}"), "resources: what the pod asks for as a whole has no limit"},
		{"with a limit for them", "limits: {pod: {cpu: '4'}}", "", pod("resources: {requests: {cpu: '1'}}"), ""},

		{"a new claim", "", "", volume("ephemeral: {volumeClaimTemplate: {spec: {}}}"), `volumes[v]: the kind of volume "ephemeral" is not one`},
		{"one that is allowed", "volumes: [ephemeral]", "", volume("ephemeral: {volumeClaimTemplate: {spec: {storageClassName: fast}}}"), ""},
		{"a copy of a claim", "volumes: [ephemeral]", "", volume("ephemeral: {volumeClaimTemplate: {spec: {dataSource: {kind: PersistentVolumeClaim, name: vault}}}}"), "volumes[v].ephemeral.volumeClaimTemplate.spec.dataSource: "},
		{"the same by reference", "volumes: [ephemeral]", "", volume("ephemeral: {volumeClaimTemplate: {spec: {dataSourceRef: {kind: PersistentVolumeClaim, name: vault}}}}"), "spec.dataSourceRef: "},
		{"somebody's volume", "volumes: [ephemeral]", "", volume("ephemeral: {volumeClaimTemplate: {spec: {volumeName: pv}}}"), "spec.volumeName: "},
		{"the same by labels", "volumes: [ephemeral]", "", volume("ephemeral: {volumeClaimTemplate: {spec: {selector: {}}}}"), "spec.selector: "},
		{"a certificate of the account's", "service-accounts: ['*']", "", pod("serviceAccountName: a, volumes: [{name: v, projected: {sources: [{podCertificate: {signerName: s/t, keyType: ED25519}}]}}]"), "volumes[v].projected.sources.podCertificate: "},
		{"a bundle of the cluster's", "", "", volume("projected: {sources: [{clusterTrustBundle: {name: a, path: b}}]}"), "volumes[v].projected.sources.clusterTrustBundle: "},
		{"settings and names", "", "", volume("projected: {sources: [{configMap: {name: a}}, {downwardAPI: {items: []}}]}"), ""},
		{"variables of no volume of its own", "", "", ctr("env: [{name: A, valueFrom: {fileKeyRef: {volumeName: vault, path: p, key: k}}}]"), "containers[t].env[A].valueFrom.fileKeyRef.volumeName: "},
		{"of one of its own", "", "", "{podSpec: {containers: [{image: x, env: [{name: A, valueFrom: {fileKeyRef: {volumeName: v, path: p, key: k}}}]}], volumes: [{name: v, emptyDir: {}}]}}", ""},

		{"a label by which a Service finds pods", "", "", "{metadata: {labels: {app: mirror}}}", `kubernetes.metadata.labels[app]: the key "app" is not one`},
		{"a label that an autoscaler obeys", "", "", "{metadata: {labels: {karpenter.sh/do-not-disrupt: 'true'}}}", "kubernetes.metadata.labels[karpenter.sh/do-not-disrupt]"},
		{"labels of Buildkite", "", "", "{metadata: {labels: {buildkite.com/a: b, tag.buildkite.com/c: d}}}", ""},
		{"a label of the list", "metadata: [team]", "", "{metadata: {labels: {team: a}}}", ""},
		{"people's own keys", "", "", "{metadata: {annotations: {team: a, buildkite.com/x: z, cluster-autoscaler.kubernetes.io/safe-to-evict: 'true'}}}", ""},
		{"a key that orders something", "", "", "{metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/t: unconfined}}}", "kubernetes.metadata.annotations[container.apparmor.security.beta.kubernetes.io/t]: the key"},
		{"a key of the list", "metadata: ['acme.io/**']", "", "{metadata: {labels: {acme.io/team: a}}}", ""},
		{"ours", "metadata: ['**']", "", "{metadata: {labels: {onejob.dev/job-id: a}}}", "kubernetes.metadata.labels[onejob.dev/job-id]: onejob's own keys"},
		{"too long", "max-deadline: 1h", "", "{jobActiveDeadlineSeconds: 3601}", "kubernetes.jobActiveDeadlineSeconds: 3601 s is more than this queue's steps may take, 3600 s"},
		{"not too long", "max-deadline: 1h", "", "{jobActiveDeadlineSeconds: 3600}", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, found, err := Resolve(aPolicy(t, "{"+tt.policy+"}"), aStep(t, tt.image, orNull(tt.plugin)), steps.Defaults{Image: "agent:1"}, []string{"onejob-agent-token"})
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" && len(found) > 0 {
				t.Errorf("got %s, want none", Text(found))
			}
			if tt.want != "" && !strings.Contains(Text(found), tt.want) {
				t.Errorf("got %s, want %s", Text(found), tt.want)
			}
			for _, v := range found {
				if v.Field == "" || v.Rule == "" || v.Fix == "" {
					t.Errorf("%+v doesn't say all", v)
				}
			}
		})
	}
}

func orNull(plugin string) string {
	if plugin == "" {
		return "null"
	}
	return plugin
}

// No policy and no default of the queue gives a step the agent token's Secret, in any field
// and at any level.
func TestNoStepGetsTheToken(t *testing.T) {
	const name = "onejob-agent-token"
	for _, plugin := range []string{
		"{gitEnvFrom: [{secretRef: {name: NAME}}]}",
		"{podSpec: {containers: [{image: x, env: [{name: A, valueFrom: {secretKeyRef: {name: NAME, key: token}}}]}]}}",
		"{podSpec: {containers: [{image: x}], initContainers: [{name: i, image: x, envFrom: [{secretRef: {name: NAME}}]}]}}",
		"{podSpec: {containers: [{image: x}], volumes: [{name: v, secret: {secretName: NAME}}]}}",
		"{podSpec: {containers: [{image: x}], volumes: [{name: v, projected: {sources: [{secret: {name: NAME}}]}}]}}",
		"{podSpec: {containers: [{image: x}], volumes: [{name: v, csi: {driver: d, nodePublishSecretRef: {name: NAME}}}]}}",
		"{podSpec: {containers: [{image: x}], imagePullSecrets: [{name: NAME}]}}",
		"{podSpecPatch: {volumes: [{name: v, secret: {secretName: NAME}}]}}",
		"{podSpecPatch: {containers: [{name: container-0, envFrom: [{secretRef: {name: NAME}}]}]}}",
		"{sidecars: [{image: x, envFrom: [{secretRef: {name: NAME}}]}]}",
		"{sidecarParams: {envFrom: [{secretRef: {name: NAME}}]}, sidecars: [{image: x}]}",
		"{commandParams: {envFrom: [{secretRef: {name: NAME}}]}}",
		"{checkout: {envFrom: [{secretRef: {name: NAME}}]}}",
		"{checkout: {gitCredentialsSecret: {secretName: NAME}}}",
		"{checkout: {gitMirrors: {volume: {name: v, secret: {secretName: NAME}}}}}",
	} {
		for _, level := range []string{"restricted", "baseline", "privileged"} {
			p := aPolicy(t, "{level: "+level+", privileged: true, secrets: ['**'], claims: ['**'], volumes: [secret, projected, csi], host: {network: true, ipc: true, paths: [/]}}")
			_, found, err := Resolve(p, aStep(t, "", strings.ReplaceAll(plugin, "NAME", name)), steps.Defaults{Image: "agent:1"}, []string{name, "other"})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(Text(found), "the Secret "+name+" has the agent token in it, which no step gets") {
				t.Errorf("%s, %s: got %s", level, plugin, Text(found))
			}
		}
	}
	d := steps.Defaults{Image: "agent:1", CommandParams: aStep(t, "", "{commandParams: {envFrom: [{secretRef: {name: "+name+"}}]}}").Plugin.CommandParams}
	if _, found, err := Resolve(config.Policy{}, steps.Step{Image: "x"}, d, []string{name}); err != nil || len(found) != 1 {
		t.Errorf("by the queue's own settings: %v, %s", err, Text(found))
	}
}

// A setting of the queue's administrator is not a violation of the step.
func TestTheQueuesOwnIsNotJudged(t *testing.T) {
	own := aStep(t, "", "{podSpec: {serviceAccountName: builder, hostNetwork: true, containers: [{name: t, image: x, securityContext: {privileged: true}}], volumes: [{name: v, hostPath: {path: /}}]}, commandParams: {envFrom: [{secretRef: {name: s}}]}}").Plugin
	d := steps.Defaults{Image: "agent:1", Template: own.PodSpec, CommandParams: own.CommandParams}
	_, found, err := Resolve(config.Policy{}, aStep(t, "", "{podTemplate: big}"), d, nil)
	if err != nil || len(found) > 0 {
		t.Errorf("%v, %s", err, Text(found))
	}
	_, found, err = Resolve(config.Policy{}, aStep(t, "", "{podTemplate: big, podSpecPatch: {hostIPC: true}}"), d, nil)
	if err != nil || !strings.Contains(Text(found), "hostIPC") || strings.Contains(Text(found), "hostNetwork: ") {
		t.Errorf("%v, %s", err, Text(found))
	}
}

func TestAllAtOnce(t *testing.T) {
	_, found, err := Resolve(config.Policy{}, aStep(t, "", "{podSpec: {hostNetwork: true, serviceAccountName: a, containers: [{image: x, securityContext: {privileged: true}}], volumes: [{name: v, hostPath: {path: /}}]}, gitEnvFrom: [{secretRef: {name: s}}]}"), steps.Defaults{Image: "agent:1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hostNetwork", "serviceAccountName", "privileged", "hostPath", "secretRef"} {
		if !strings.Contains(Text(found), want) {
			t.Errorf("%s is not in %s", want, Text(found))
		}
	}
}

func TestFullNames(t *testing.T) {
	for name, want := range map[string]string{
		"node": "docker.io/library/node:latest", "node:22": "docker.io/library/node:22", "acme/app": "docker.io/acme/app:latest", "localhost/a": "localhost/a:latest",
		"ghcr.io/a/b:1": "ghcr.io/a/b:1", "host:5000/a": "host:5000/a:latest", "docker.io/node": "docker.io/library/node:latest", "index.docker.io/node": "docker.io/library/node:latest",
		"node@" + digest: "docker.io/library/node@" + digest,
	} {
		if _, got := fullName(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestBound(t *testing.T) {
	p := aPolicy(t, "{limits: {container: {memory: 4Gi, nvidia.com/gpu: 1}}}")
	for doc, want := range map[string]string{"{}": "0 4Gi", "{requests: {memory: 1Gi}}": "1Gi 4Gi", "{limits: {memory: 2Gi}}": "0 2Gi"} {
		var r corev1.ResourceRequirements
		if err := yaml.Unmarshal([]byte(doc), &r); err != nil {
			t.Fatal(err)
		}
		if Bound(p, &r); r.Requests.Memory().String()+" "+r.Limits.Memory().String() != want {
			t.Errorf("%s: got %+v, want %s", doc, r, want)
		}
		if len(r.Limits) != 1 {
			t.Errorf("%s: a device for who asked for none: %+v", doc, r.Limits)
		}
	}
}
