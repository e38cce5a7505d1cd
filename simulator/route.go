package simulator

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authKind is the kind of token that a route takes.
type authKind int

const (
	authNone authKind = iota
	authRegistration
	authSession
	authEnding       // a session, even one that is over
	authAgentCommand // a session, or a job speaking for its agent
	authJob
	authJobState // authJob, or the session that holds the job, if Profile.SessionReadsJob allows it
	authBuild
)

// route is one endpoint. In pattern, ":id" is the job's ID and any other ":x" a parameter.
// prepare runs before the lock is taken.
type route struct {
	name    string
	method  string
	pattern []string
	auth    authKind
	prepare func(*call) *reply
	serve   func(*call) reply
	maxBody int64
}

func at(name, method, pattern string, auth authKind, serve func(*call) reply) route {
	return route{name: name, method: method, pattern: strings.Split(pattern, "/"), auth: auth, serve: serve, maxBody: 4 << 20}
}

// preparing is the route with f to read the body before the lock is taken.
func (r route) preparing(f func(*call) *reply) route { r.prepare = f; return r }

func (r route) upTo(bytes int64) route { r.maxBody = bytes; return r }

const (
	get, post = http.MethodGet, http.MethodPost
	put, del  = http.MethodPut, http.MethodDelete
)

func (s *Simulator) routeTable() []route {
	return slices.Concat(s.lifeRoutes(), s.commandRoutes(), s.artifactRoutes(), s.clusterRoutes())
}

// lifeRoutes are the routes of a session's life and of a job's.
func (s *Simulator) lifeRoutes() []route {
	return []route{
		at("register", post, "register", authRegistration, s.register),
		at("connect", post, "connect", authSession, s.connect),
		at("heartbeat", post, "heartbeat", authSession, s.heartbeat),
		at("ping", get, "ping", authSession, s.ping),
		at("stop", post, "stop", authAgentCommand, s.stop),
		at("pause", post, "pause", authAgentCommand, s.pause),
		at("resume", post, "resume", authAgentCommand, s.resume),
		at("disconnect", post, "disconnect", authEnding, s.disconnect),
		// The job's life.
		at("acquire", put, "jobs/:id/acquire", authSession, s.acquire),
		at("accept", put, "jobs/:id/accept", authSession, s.accept),
		at("start", put, "jobs/:id/start", authJob, s.start),
		at("job_state", get, "jobs/:id", authJobState, s.jobState),
		at("chunks", post, "jobs/:id/chunks", authJob, s.saveChunk).preparing(s.readChunk),
		at("header_times", post, "jobs/:id/header_times", authJob, s.saveHeaderTimes),
		at("finish", put, "jobs/:id/finish", authJob, s.finish),
	}
}

// commandRoutes are the routes of the buildkite-agent's commands in a job.
func (s *Simulator) commandRoutes() []route {
	return []route{
		at("job_update", put, "jobs/:id", authJob, s.updateJob),
		at("promise_failure", put, "jobs/:id/promise_failure", authJob, s.promiseFailure),
		at("annotate", post, "jobs/:id/annotations", authJob, s.annotate),
		at("annotation_remove", del, "jobs/:id/annotations/:context", authJob, s.removeAnnotation),
		at("metadata_set", post, "jobs/:id/data/set", authJob, s.setMetaData),
		at("metadata_set_batch", post, "jobs/:id/data/set-batch", authJob, s.setMetaDataBatch),
		at("metadata_get", post, "jobs/:id/data/get", authJob, s.getMetaData),
		at("metadata_exists", post, "jobs/:id/data/exists", authJob, s.existsMetaData),
		at("metadata_keys", post, "jobs/:id/data/keys", authJob, s.metaDataKeys),
		at("metadata_get", post, "builds/:build/data/get", authBuild, s.getMetaData),
		at("metadata_exists", post, "builds/:build/data/exists", authBuild, s.existsMetaData),
		at("metadata_keys", post, "builds/:build/data/keys", authBuild, s.metaDataKeys),
		at("pipeline_upload", post, "jobs/:id/pipelines", authJob, s.uploadPipeline).upTo(64 << 20),
		at("pipeline_status", get, "jobs/:id/pipelines/:upload", authJob, s.pipelineStatus),
		at("step_export", post, "steps/:step/export", authBuild, s.exportStep),
		at("step_update", put, "steps/:step", authBuild, s.updateStep),
		at("step_cancel", post, "steps/:step/cancel", authBuild, s.cancelStep),
		at("build_cancel", post, "builds/:build/cancel", authBuild, s.cancelBuildCall),
		at("oidc", post, "jobs/:id/oidc/tokens", authJob, s.oidcToken),
		at("secret", get, "jobs/:id/secrets", authJob, s.secret),
		at("repository_token", post, "jobs/:id/repository_access_token", authJob, s.repositoryToken),
	}
}

// artifactRoutes are the routes of artifacts and caches.
func (s *Simulator) artifactRoutes() []route {
	return []route{
		at("artifacts_create", post, "jobs/:id/artifacts", authJob, s.createArtifacts).upTo(64 << 20),
		at("artifacts_update", put, "jobs/:id/artifacts", authJob, s.updateArtifacts),
		at("artifacts_search", get, "builds/:build/artifacts/search", authBuild, s.searchArtifacts),
		at("artifacts_upload", post, "_sim/artifact-uploads", authNone, s.uploadArtifact).preparing(s.readArtifactForm).upTo(s.conf.ArtifactMaxBytes + 1<<20),
		at("artifacts_part", put, "_sim/artifact-parts/:artifact/:part", authNone, s.uploadPart).upTo(s.conf.ArtifactMaxBytes),
		at("artifacts_download", get, "_sim/artifacts/:artifact", authNone, s.downloadArtifact),
		at("cache", get, "cache_registries/:registry", authBuild, s.showCacheRegistry),
		at("cache", post, "cache_registries/:registry/peek", authBuild, s.peekCache),
		at("cache", post, "cache_registries/:registry/retrieve", authBuild, s.retrieveCache),
		at("cache", post, "cache_registries/:registry/expire", authBuild, s.expireCache),
		at("cache", put, "cache_registries/:registry/store", authBuild, s.storeCache),
		at("cache", put, "cache_registries/:registry/commit", authBuild, s.commitCache),
	}
}

// clusterRoutes are the routes for a cluster's token, without register.
func (s *Simulator) clusterRoutes() []route {
	return []route{
		at("token", get, "token", authRegistration, s.tokenIdentity),
		at("metrics", get, "metrics", authRegistration, s.metrics),
		at("metrics_queue", get, "metrics/queue", authRegistration, s.queueMetrics),
		// The Stacks API.
		at("stacks_register", post, "stacks/register", authRegistration, s.registerStack),
		at("stacks_deregister", post, "stacks/:stack/deregister", authRegistration, s.deregisterStack),
		at("stacks_list", get, "stacks/:stack/scheduled-jobs", authRegistration, s.listScheduled),
		at("stacks_reserve", put, "stacks/:stack/scheduled-jobs/batch-reserve", authRegistration, s.reserveJobs),
		at("stacks_states", post, "stacks/:stack/jobs/get-states", authRegistration, s.jobStates),
		at("stacks_job", get, "stacks/:stack/jobs/:id", authRegistration, s.stackJob),
		at("stacks_finish", post, "stacks/:stack/jobs/:id/finish", authRegistration, s.stackFinish),
		at("stacks_notify", post, "stacks/:stack/notifications", authRegistration, s.notifyJobs),
	}
}

// Endpoints returns the names of all endpoints, as faults, counters and
// Requests use them.
func (s *Simulator) Endpoints() []string {
	seen := map[string]bool{}
	var names []string
	for _, r := range s.routes {
		if !seen[r.name] {
			seen[r.name] = true
			names = append(names, r.name)
		}
	}
	return names
}

// splitPath cuts a path into segments and then unescapes them, so that a %2F doesn't separate
// segments. It removes the "v3" of the default base.
func splitPath(u *url.URL) ([]string, error) {
	path := strings.Trim(u.EscapedPath(), "/")
	if path == "" {
		return nil, nil
	}
	segments := strings.Split(path, "/")
	kept := segments[:0]
	for _, seg := range segments {
		if seg == "" {
			continue // a base with a trailing slash
		}
		plain, err := url.PathUnescape(seg)
		if err != nil {
			return nil, err
		}
		kept = append(kept, plain)
	}
	if len(kept) > 0 && kept[0] == "v3" {
		kept = kept[1:]
	}
	return kept, nil
}

// match finds the route of a call. otherMethod says that the path exists with another method
// only: 405, not 404.
func (s *Simulator) match(method string, segments []string) (found *route, params map[string]string, otherMethod bool) {
	for i := range s.routes {
		r := &s.routes[i]
		if len(r.pattern) != len(segments) {
			continue
		}
		if !matches(r.pattern, segments) {
			continue
		}
		if r.method != method {
			otherMethod = true
			continue
		}
		params = map[string]string{}
		for i, p := range r.pattern {
			if name, isParam := strings.CutPrefix(p, ":"); isParam {
				params[name] = segments[i]
			}
		}
		return r, params, false
	}
	return nil, nil, otherMethod
}

func matches(pattern, segments []string) bool {
	for i, p := range pattern {
		if p != segments[i] && !strings.HasPrefix(p, ":") {
			return false
		}
	}
	return true
}
