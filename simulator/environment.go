package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// jobEnv is the environment in the reply to acquire: all variables without which the stock
// bootstrap refuses to run, and those that jobs commonly read
// (docs/protocol.md#job-environment).
func (s *Simulator) jobEnv(j *job) map[string]string {
	env := maps.Clone(j.build.request.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, j.node.env)
	maps.Copy(env, j.step.Env)
	maps.Copy(env, s.buildEnv(j.build))
	maps.Copy(env, j.env())
	if j.agent != nil {
		maps.Copy(env, j.agent.env())
	}
	return env
}

// buildEnv has the variables that are the same in all jobs of a build.
func (s *Simulator) buildEnv(b *build) map[string]string {
	given := b.request.Env
	env := map[string]string{
		"CI":                                 "true",
		"BUILDKITE":                          "true",
		"BUILDKITE_BRANCH":                   b.request.Branch,
		"BUILDKITE_BUILD_CREATOR":            creatorName,
		"BUILDKITE_BUILD_CREATOR_EMAIL":      creatorEmail,
		"BUILDKITE_BUILD_ID":                 b.id,
		"BUILDKITE_BUILD_NUMBER":             strconv.Itoa(b.number),
		"BUILDKITE_BUILD_URL":                s.buildURL(b),
		"BUILDKITE_CLUSTER_ID":               s.cluster,
		"BUILDKITE_CLUSTER_NAME":             s.conf.Cluster,
		"BUILDKITE_COMMIT":                   b.request.Commit,
		"BUILDKITE_COMPUTE_TYPE":             "self-hosted",
		"BUILDKITE_MESSAGE":                  b.request.Message,
		"BUILDKITE_ORGANIZATION_ID":          s.orgID,
		"BUILDKITE_ORGANIZATION_SLUG":        s.conf.Organization,
		"BUILDKITE_PIPELINE_DEFAULT_BRANCH":  defaultBranch,
		"BUILDKITE_PIPELINE_ID":              b.pipelineID,
		"BUILDKITE_PIPELINE_NAME":            b.request.Slug,
		"BUILDKITE_PIPELINE_PROVIDER":        "git",
		"BUILDKITE_PIPELINE_SLUG":            b.request.Slug,
		"BUILDKITE_PROJECT_PROVIDER":         "git",
		"BUILDKITE_PROJECT_SLUG":             s.conf.Organization + "/" + b.request.Slug,
		"BUILDKITE_PULL_REQUEST":             cmp.Or(given["BUILDKITE_PULL_REQUEST"], "false"),
		"BUILDKITE_PULL_REQUEST_BASE_BRANCH": given["BUILDKITE_PULL_REQUEST_BASE_BRANCH"],
		"BUILDKITE_PULL_REQUEST_REPO":        given["BUILDKITE_PULL_REQUEST_REPO"],
		"BUILDKITE_REPO":                     b.request.Repo,
		"BUILDKITE_SOURCE":                   b.source(),
		"BUILDKITE_TAG":                      given["BUILDKITE_TAG"],
	}
	if by := b.triggeredBy; by != nil {
		env["BUILDKITE_TRIGGERED_FROM_BUILD_ID"] = by.build.id
		env["BUILDKITE_TRIGGERED_FROM_BUILD_NUMBER"] = strconv.Itoa(by.build.number)
		env["BUILDKITE_TRIGGERED_FROM_BUILD_PIPELINE_SLUG"] = by.build.request.Slug
	}
	if b.unblocker != "" {
		env["BUILDKITE_UNBLOCKER"] = b.unblocker
	}
	return env
}

// env has the variables of this job and its step.
func (j *job) env() map[string]string {
	n := j.node
	env := map[string]string{
		"BUILDKITE_ARTIFACT_PATHS": n.artifactPaths,
		"BUILDKITE_COMMAND":        j.step.Command,
		"BUILDKITE_JOB_ID":         j.id,
		"BUILDKITE_LABEL":          j.label(),
		"BUILDKITE_RETRY_COUNT":    strconv.Itoa(j.retries),
		"BUILDKITE_STEP_ID":        n.id,
		"BUILDKITE_STEP_KEY":       n.key,
		"BUILDKITE_TIMEOUT":        timeoutEnv(n),
	}
	if n.image != "" {
		env["BUILDKITE_IMAGE"] = n.image
	}
	if j.retryType != "" {
		env["BUILDKITE_RETRY_TYPE"] = j.retryType
	}
	if n.parallelism > 0 {
		env["BUILDKITE_PARALLEL_JOB"] = strconv.Itoa(j.slot)
		env["BUILDKITE_PARALLEL_JOB_COUNT"] = strconv.Itoa(n.parallelism)
	}
	if n.group != nil {
		env["BUILDKITE_GROUP_ID"] = n.group.id
		env["BUILDKITE_GROUP_KEY"] = n.group.key
		env["BUILDKITE_GROUP_LABEL"] = n.group.label
	}
	if len(j.step.Plugins) > 0 {
		plugins, err := json.Marshal(j.step.Plugins)
		if err != nil {
			panic(fmt.Sprintf("simulator: encoding plugins that were parsed: %v", err))
		}
		env["BUILDKITE_PLUGINS"] = string(plugins)
	}
	return env
}

func (a *agent) env() map[string]string {
	env := map[string]string{
		"BUILDKITE_AGENT_ID":              a.id,
		"BUILDKITE_AGENT_NAME":            a.name,
		"BUILDKITE_AGENT_META_DATA_QUEUE": a.queue,
	}
	for _, tag := range a.tags {
		key, value, _ := strings.Cut(tag, "=")
		env["BUILDKITE_AGENT_META_DATA_"+envName(key)] = value
	}
	return env
}

func timeoutEnv(n *node) string {
	if n.timeout <= 0 {
		return "false"
	}
	return strconv.FormatFloat(n.timeout.Minutes(), 'f', -1, 64)
}

func envName(tag string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, tag)
}
