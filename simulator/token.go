package simulator

import (
	"net/http"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

// TokenKind is the kind of a token (docs/protocol.md#tokens).
type TokenKind string

// The kinds of token. TokenUnknown is a token that this Simulator didn't issue, or revoked.
const (
	TokenNone         TokenKind = ""
	TokenRegistration TokenKind = "registration"
	TokenSession      TokenKind = "session"
	TokenJob          TokenKind = "job"
	TokenUnknown      TokenKind = "unknown"
)

// credential is the meaning of a request's Authorization header.
type credential struct {
	kind  TokenKind
	agent *agent // of a session; of a job token: the agent that holds or held the job
	job   *job
	spent bool // the job is over or taken back, or the session is over
	taken bool // the job was taken back from the agent of this token
}

// grant is the job and the agent that a job token stands for.
type grant struct {
	job   *job
	agent *agent
}

func (s *Simulator) credential(r *http.Request) credential {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if token == "" || !strings.EqualFold(scheme, "token") {
		return credential{}
	}
	if s.tokens[token] {
		return credential{kind: TokenRegistration}
	}
	if a := s.sessions[token]; a != nil {
		lost := a.state == agentLost && s.conf.Profile.LostAgent == assumptions.LostAgentRefused
		return credential{kind: TokenSession, agent: a, spent: a.over() || lost}
	}
	if g, given := s.jobToken[token]; given {
		taken := g.job.token != token
		return credential{kind: TokenJob, agent: g.agent, job: g.job, spent: taken || g.job.state.Terminal(), taken: taken}
	}
	return credential{kind: TokenUnknown}
}

// authorize checks whether the route allows the token of a call, and sets c.agent and c.job.
// A nil reply means that the call may go on.
func (s *Simulator) authorize(c *call) *reply {
	cred := s.credential(c.r)
	c.cred = cred
	refuse := func(message string) *reply { return failure(http.StatusUnauthorized, message) }
	switch cred.kind {
	case TokenNone:
		return refuse("Authorization token required")
	case TokenUnknown:
		return refuse("Unknown or revoked token")
	}

	switch c.route.auth {
	case authRegistration:
		if cred.kind != TokenRegistration {
			return refuse("This endpoint needs an agent registration token")
		}
	case authSession, authEnding:
		if cred.kind != TokenSession {
			return refuse("This endpoint needs an agent access token")
		}
		// A client may repeat disconnect, because the reply may have been lost.
		if cred.spent && c.route.auth != authEnding {
			return refuse("The agent's session is over")
		}
		c.agent = cred.agent
	case authAgentCommand:
		// `buildkite-agent stop` in a job sends the job's token.
		if cred.kind == TokenRegistration || cred.agent == nil {
			return refuse("This endpoint needs an agent access token")
		}
		if cred.spent {
			return refuse("The token is no longer valid")
		}
		c.agent = cred.agent
	case authJob, authJobState:
		return s.authorizeJob(c)
	case authBuild:
		return s.authorizeBuild(c)
	}
	return nil
}

// authorizeJob allows the job's own token while the job lasts. Without job tokens it allows
// the session that holds the job. spentToken answers for a job that is over or taken back.
func (s *Simulator) authorizeJob(c *call) *reply {
	j := s.jobs[c.jobID]
	switch c.cred.kind {
	case TokenJob:
		if c.cred.job.id != c.jobID {
			return failure(http.StatusUnauthorized, "The token belongs to another job")
		}
		c.job, c.agent = c.cred.job, c.cred.agent
		switch {
		case c.cred.taken:
			s.noteAfterExpiry(c)
			reads := s.conf.Profile.UnstartedJobToken == assumptions.UnstartedJobTokenReadsState
			return spentToken(c, reads, "The job was taken back")
		case c.cred.spent:
			s.noteAfterEnd(c)
			reads := s.conf.Profile.EndedJobToken == assumptions.EndedJobTokenReadsState
			return spentToken(c, reads, "The job is over")
		}
		return nil
	case TokenSession:
		if j == nil {
			return failure(http.StatusNotFound, "Job not found")
		}
		c.job, c.agent = j, c.cred.agent
		mayRead := s.conf.Profile.SessionReadsJob == assumptions.SessionReadsJobAllowed
		if c.route.auth == authJobState && mayRead && !c.cred.spent {
			if j.agent != c.cred.agent {
				return failure(http.StatusForbidden, "The job is not this agent's")
			}
			return nil
		}
		if *s.conf.JobToken {
			return failure(http.StatusUnauthorized, "This endpoint needs the job's token")
		}
		if c.cred.spent || j.agent != c.cred.agent {
			return failure(http.StatusUnauthorized, "The job is not this agent's")
		}
		return nil
	}
	return failure(http.StatusUnauthorized, "This endpoint needs the job's token")
}

// spentToken answers a call with the token of a job that is over or taken back. If reads is
// set, the token may read the job's state (nil), and any other call is 422. Otherwise every
// call is 401.
func spentToken(c *call, reads bool, message string) *reply {
	switch {
	case !reads:
		return failure(http.StatusUnauthorized, message+" and its token with it")
	case c.route.auth == authJobState:
		return nil
	}
	return failure(http.StatusUnprocessableEntity, message)
}

// authorizeBuild allows a running job's token for the job's own build.
func (s *Simulator) authorizeBuild(c *call) *reply {
	j := c.cred.job
	if c.cred.kind == TokenSession && !*s.conf.JobToken {
		j = c.cred.agent.job
	}
	if j == nil || c.cred.spent {
		return failure(http.StatusUnauthorized, "This endpoint needs a running job's token")
	}
	c.job, c.agent = j, c.cred.agent
	return nil
}

// RotateAgentToken makes newToken the only registration token, at once. Existing sessions
// stay valid.
func (s *Simulator) RotateAgentToken(newToken string) error {
	return s.lockedWrite(func(time.Time) error {
		clear(s.tokens)
		s.tokens[newToken] = true
		return nil
	})
}

// tokenIdentity serves GET token.
func (s *Simulator) tokenIdentity(c *call) reply {
	return ok(map[string]any{
		"uuid":                    s.cluster,
		"description":             "simulated agent token",
		"token_type":              "cluster",
		"organization_slug":       s.conf.Organization,
		"organization_uuid":       s.orgID,
		"cluster_uuid":            s.cluster,
		"cluster_name":            s.conf.Cluster,
		"organization_queue_uuid": nil,
		"organization_queue_key":  nil,
	})
}
