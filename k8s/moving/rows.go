package moving

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// Rows that many keys share.

func toEnv(name string) row { return words(func(m *mover, _ string, v any) { m.env(name, v) }) }

func toQueue(name string) row { return word(func(m *mover, _ string, v any) { m.queue[name] = v }) }

func toTop(name string) row { return word(func(m *mover, _ string, v any) { m.top[name] = v }) }

func toJob(name string) row { return word(func(m *mover, _ string, v any) { m.job[name] = v }) }

func toMeta(name string) row { return mapping(func(m *mover, _ string, v any) { m.meta[name] = v }) }

var tokenSecret = word(func(m *mover, _ string, v any) { m.queue["token-secret"] = map[string]any{"name": v, "key": tokenKey} })

// no is a key without a counterpart.
func no(why string) row { return func(m *mover, key string, _ any) { m.note(key, why) } }

// rows are the keys of the chart, of config, and of what is in it.
func rows() map[string]row {
	all := map[string]row{}
	for _, some := range []map[string]row{chartRows, configRows, podRows, agentRows, paramRows} {
		maps.Copy(all, some)
	}
	return all
}

// chartRows are about the controller's own Deployment: that is the chart's in onejob, too.
var chartRows = map[string]row{
	"agentToken":                           no("a token is written into no file: make a Secret from it (deploy/README.md), and revoke this one if the file was shared"),
	"graphqlToken":                         no("it isn't needed"),
	"agentStackSecret":                     tokenSecret,
	"image":                                no("it is the controller's image: onejob's chart has image.registry and image.tag"),
	"nameOverride":                         no("onejob's chart has fullnameOverride"),
	"fullnameOverride":                     no("it is a value of onejob's chart, with the same name"),
	"controllerEnv":                        no("onejob's chart has extraEnv"),
	"nodeSelector":                         no("it is a value of onejob's chart, with the same name"),
	"tolerations":                          no("it is a value of onejob's chart, with the same name"),
	"labels":                               no("onejob's chart has podLabels and commonLabels"),
	"annotations":                          no("onejob's chart has podAnnotations and commonAnnotations"),
	"secretsMetadata":                      no("onejob's chart has commonLabels and commonAnnotations; a Secret of your own has what you give it"),
	"serviceAccountMetadata":               no("onejob's chart has serviceAccount.annotations"),
	"resources":                            no("it is a value of onejob's chart, with the same name"),
	"monitoring.namespace":                 no("the PodMonitor is in the release's namespace"),
	"monitoring.deployGrafanaDashboard":    no("its panels are of other metrics: docs/monitoring.md has onejob's"),
	"monitoring.podMonitor.deploy":         no("onejob's chart has podMonitor.enabled"),
	"monitoring.podMonitor.scrapeInterval": no("onejob's chart has podMonitor.interval"),
}

// tokenKey is the key of the token in the Secret of agent-stack-k8s.
const tokenKey = "BUILDKITE_AGENT_TOKEN" //nolint:gosec // the name of one

// configRows are the controller's settings.
var configRows = map[string]row{
	"config.queue":                            toQueue("name"),
	"config.tags":                             words(tags),
	"config.namespace":                        toQueue("namespace"),
	"config.agent-token-secret":               tokenSecret,
	"config.max-in-flight":                    toQueue("max-in-flight"),
	"config.job-creation-concurrency":         toTop("create-workers"),
	"config.poll-interval":                    toTop("idle-interval"),
	"config.image-pull-backoff-grace-period":  toQueue("image-grace"),
	"config.pod-pending-timeout":              toQueue("pending-timeout"),
	"config.id":                               no("a stack's key must be unique in the organization: onejob makes its own, so that both can run side by side while you move"),
	"config.job-prefix":                       no("a Kubernetes Job's name is made from its job's ID: by the name no job gets two"),
	"config.image":                            no("it is the agent's image, and onejob's runner is in one of its own: put your tools into one made from that (docs/pods.md)"),
	"config.debug":                            no("onejob's chart has log.level"),
	"config.log-level":                        no("onejob's chart has log.level"),
	"config.log-format":                       no("onejob's chart has log.format: json or text"),
	"config.no-color":                         no("colours are for terminals only"),
	"config.log-http-payloads":                no("what is said to Buildkite is never logged whole: it may hold secrets"),
	"config.http-timeout":                     no("each call has its own limit of time"),
	"config.job-cancel-checker-poll-interval": no("states are asked every few seconds, for all jobs in one call"),
	"config.empty-job-grace-period":           no("a Job without a pod is explained from its Events, and has pending-timeout"),
	"config.k8s-client-rate-limiter-qps":      no("onejob is not throttled by itself: it slows down when the API server asks for it"),
	"config.k8s-client-rate-limiter-burst":    no("onejob is not throttled by itself: it slows down when the API server asks for it"),
	"config.pagination-page-size":             no("all pages are read"),
	"config.pagination-depth-limit":           no("all pages are read"),
	"config.query-reset-interval":             no("it had no effect; each look begins at the first page"),
	"config.work-queue-limit":                 no("no queue is kept in memory: only what can start is reserved"),
	"config.reservation-expiry-seconds":       no("a reservation is for 20 s, and renewed as long as the job waits here"),
	"config.enable-queue-pause":               no("a paused queue is always left alone"),
	"config.enable-completion-watcher":        no("what is left of a pod is always stopped"),
	"config.enable-job-acquisition-tokens":    no("onejob's runner registers with the agent token, which the job's command never sees"),
	"config.prometheus-port":                  no("metrics are always on port 8080, at /metrics"),
	"config.profiler-address":                 no("onejob's chart has pprof: true"),
	"config.prohibit-kubernetes-plugin": func(m *mover, _ string, v any) {
		if v == true {
			m.queue["steps"] = "image"
		}
	},
	"config.allow-pod-spec-patch-unsafe-command-modification": no("what the runner's container runs can't be changed"),
	"config.skip-image-check-containers":                      no("there are no such containers: a pull that fails is seen from the pod"),
	"config.image-check-container-cpu-limit":                  no("there are no such containers"),
	"config.image-check-container-memory-limit":               no("there are no such containers"),
	"config.default-image-check-pull-policy":                  no("there are no such containers"),
	"config.resource-classes":                                 mapping(resourceClasses),
	"config.default-resource-class-name":                      word(func(m *mover, _ string, v any) { m.defaultClass = text(v) }),
	"config.org":                                              no("it isn't needed"),
	"config.cluster-uuid":                                     no("the token says it"),
	"config.graphql-endpoint":                                 no("it isn't needed"),
	"config.graphql-results-limit":                            no("it isn't needed"),
}

// tags: the queue is one of them there.
func tags(m *mover, _ string, v any) {
	items, ok := v.([]any)
	if !ok {
		for _, word := range strings.Split(text(v), ",") {
			items = append(items, strings.TrimSpace(word))
		}
	}
	var others []any
	for _, item := range items {
		if name, isQueue := strings.CutPrefix(text(item), "queue="); isQueue {
			if m.queue["name"] == "__default__" { // config.queue comes before the tag
				m.queue["name"] = name
			}
			continue
		}
		others = append(others, item)
	}
	if len(others) > 0 {
		m.queue["tags"] = others
	}
}

// podRows are of every job's pod.
var podRows = map[string]row{
	"config.job-ttl":                                  word(func(m *mover, key string, v any) { seconds(m, key, v, "ttlSecondsAfterFinished") }),
	"config.job-active-deadline-seconds":              toJob("activeDeadlineSeconds"),
	"config.default-termination-grace-period-seconds": word(func(m *mover, _ string, v any) { m.pod["terminationGracePeriodSeconds"] = v }),
	"config.default-metadata.labels":                  toMeta("labels"),
	"config.default-metadata.annotations":             toMeta("annotations"),
	"config.default-image-pull-policy":                word(pullPolicy),
	"config.additional-redacted-vars": words(func(m *mover, _ string, v any) {
		m.redacted = strings.Split(text(v), ",")
	}),
	"config.workspace-volume":              mapping(workspace),
	"config.workspaceVolume":               mapping(workspace),
	"config.workspace-mount-sub-path-expr": word(subPath),
	"config.pod-spec-patch":                mapping(podSpecPatch),
}

// pullPolicy is the runner's, and that of steps' containers.
func pullPolicy(m *mover, key string, v any) {
	m.agent["imagePullPolicy"] = v
	toDefault("imagePullPolicy")(m, key, v)
}

// workspace: builds are in a volume of their own here.
func workspace(m *mover, _ string, v any) {
	volume, _ := v.(map[string]any)
	builds := maps.Clone(volume)
	builds["name"] = "builds"
	m.addNamed(m.pod, "volumes", builds)
}

func subPath(m *mover, _ string, v any) {
	m.add(m.agent, "volumeMounts", []any{map[string]any{"name": "builds", "mountPath": "/builds", "subPathExpr": v}})
	if strings.Contains(text(v), "$(POD_NAME)") {
		m.addNamed(m.agent, "env", map[string]any{"name": "POD_NAME", "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": "metadata.name"}}})
	}
}

// containersOf are the entries of a list of containers.
func containersOf(v any) (out []map[string]any) {
	items, _ := v.([]any)
	for _, item := range items {
		if c, ok := item.(map[string]any); ok {
			out = append(out, c)
		}
	}
	return out
}

// podSpecPatch: what it says of the pod is the template's; of its containers, that of
// the command is the runner's, because the command runs there.
func podSpecPatch(m *mover, key string, v any) {
	patch, _ := v.(map[string]any)
	for _, field := range slices.Sorted(maps.Keys(patch)) {
		at := key + "." + field
		isList := field == "containers" || field == "initContainers" || field == "volumes"
		if v := patch[field]; v == nil {
			continue
		} else if isList && !isMappings(v) {
			m.unread(at, v)
			continue
		}
		switch field {
		case "containers":
			for _, c := range containersOf(patch[field]) {
				m.patchContainer(at, c)
			}
		case "initContainers":
			for _, c := range containersOf(patch[field]) {
				name := text(c["name"])
				if name == "copy-agent" || strings.HasPrefix(name, "imagecheck-") {
					m.note(at+"["+name+"]", "there is no such container")
					continue
				}
				m.addNamed(m.pod, field, c)
			}
		case "volumes":
			for _, volume := range containersOf(patch[field]) {
				m.addNamed(m.pod, field, volume)
			}
		case "automountServiceAccountToken":
			m.note(at, "a job gets a service account's token by a volume of its own (docs/pods.md)")
		case "restartPolicy":
			m.note(at, "a job runs once: it is always Never")
		default:
			m.pod[field] = patch[field]
		}
	}
}

func (m *mover) patchContainer(at string, c map[string]any) {
	name := text(c["name"])
	at += "[" + name + "]"
	switch name {
	case "container-0":
	case "agent", "checkout":
		m.note(at, "the template's container agent acquires, checks out, and runs the commands of steps without an image of their own: what it needs is what container-0 needs")
		return
	default:
		m.note(at, "a helper is an init container with restartPolicy: Always in the template (docs/pods.md)")
		return
	}
	for _, field := range slices.Sorted(maps.Keys(c)) {
		isList := field == "env" || field == "envFrom" || field == "volumeMounts"
		if v := c[field]; v == nil {
			continue
		} else if isList && !isMappings(v) {
			m.unread(at+"."+field, v)
			continue
		}
		switch field {
		case "name":
		case "env":
			for _, e := range containersOf(c[field]) {
				m.addNamed(m.agent, "env", e)
			}
		case "envFrom", "volumeMounts":
			m.add(m.agent, field, c[field])
		case "image":
			m.note(at+".image", "the runner is in this container: make an image from onejob-agent with what this one has (docs/pods.md), and name it in the template")
		case "command", "args":
			m.note(at+"."+field, "what the runner's container runs can't be changed")
		default:
			m.agent[field] = c[field]
		}
	}
}

// jwks is where a file of keys is: its folder is the volume's.
func jwks(byDefault, variable string) row {
	return volume(func(m *mover, _ string, v any) {
		dir, file := byDefault, path.Join(byDefault, "key")
		if given := m.given(variable); path.IsAbs(given) {
			dir, file = path.Dir(given), given
		} else if given != "" {
			file = path.Join(dir, given)
		}
		m.mounted(v, dir)
		m.env(variable, file)
	})
}

// given is a variable that was set already.
func (m *mover) given(name string) string {
	for _, e := range containersOf(m.agent["env"]) {
		if e["name"] == name {
			return text(e["value"])
		}
	}
	return ""
}
