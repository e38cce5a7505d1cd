package doctor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/stacks"
)

// queue looks at a queue at Buildkite: its token, whether it exists and takes jobs, and
// its stack.
func (p *Patient) queue(ctx context.Context, q config.Queue) []Finding {
	of := "queue " + q.Name
	client, finding := p.client(ctx, q, of)
	if client == nil {
		return []Finding{finding}
	}
	defer client.Close()
	page, err := client.ScheduledJobs(ctx, "", 1)
	switch {
	case err == nil:
		return []Finding{finding, ofQueue(of, page), about("stack", of).ok(q.Stack + " is registered")}
	case errors.Is(err, stacks.ErrNotFound):
		return append([]Finding{finding}, p.tryStack(ctx, q, of)...)
	}
	return []Finding{finding, about("queue", of).not(Fail, contract.Sentence(err.Error()), "see the line token")}
}

// client returns a client for a queue, nil if its token is of no use, and what was found
// of the token.
func (p *Patient) client(ctx context.Context, q config.Queue, of string) (*stacks.Client, Finding) {
	f := about("token", of)
	token, err := p.Token(q)
	switch {
	case err != nil:
		return nil, f.not(Fail, contract.Sentence(err.Error()), "write the agent token, and nothing else, into the file")
	case token == nil:
		return nil, f.not(Skip, "there is none in "+q.TokenFile, "give it with --token-file or BUILDKITE_AGENT_TOKEN, or run this in the scheduler's pod: kubectl exec deploy/onejob -- /usr/local/bin/onejob doctor")
	}
	client, err := p.stack(q, token, q.Stack)
	if err != nil {
		return nil, f.not(Fail, contract.Sentence(err.Error()), "onejob lint checks the configuration")
	}
	id, err := client.Identity(ctx)
	cluster := contract.Word(id.ClusterName)
	if cluster == "" {
		cluster = contract.Word(id.ClusterUUID)
	}
	switch {
	case errors.Is(err, stacks.ErrNoCluster):
		return nil, f.not(Fail, fmt.Sprintf("it is of the organization %s, and of no cluster", contract.Word(id.OrganizationSlug)), "make an agent token of the cluster that has the queue: Agents, the cluster, Agent tokens")
	case errors.Is(err, stacks.ErrRefused):
		return nil, f.not(Fail, contract.Sentence(err.Error()), "put a token that Buildkite shows under Agents, the cluster, Agent tokens into the Secret; check that it ends without a line break")
	case err != nil:
		return nil, f.not(Fail, contract.Sentence(err.Error()), "see the line endpoint")
	}
	return client, f.ok(fmt.Sprintf("Buildkite accepts it: organization %s, cluster %s", contract.Word(id.OrganizationSlug), cluster))
}

func (p *Patient) stack(q config.Queue, token stacks.TokenSource, key string) (*stacks.Client, error) {
	return stacks.New(stacks.Config{Endpoint: p.Config.Endpoint, Token: token, Stack: key, Queue: q.Name, UserAgent: "onejob-doctor/" + p.Version, Transport: p.transport})
}

func ofQueue(of string, page stacks.Page) Finding {
	f := about("queue", of)
	if page.Paused {
		return f.not(Warn, "it is paused: no job of it is started", "resume it on its page at Buildkite, under Agents, Queues")
	}
	return f.ok("it exists and isn't paused")
}

// tryStack registers a stack for a moment, under a name of its own, where the queue has
// none yet: Buildkite has no other way to say whether the queue exists, and whether one
// more stack is allowed. A run that dies in between leaves it to the next.
func (p *Patient) tryStack(ctx context.Context, q config.Queue, of string) []Finding {
	stack, queue := about("stack", of), about("queue", of)
	token, err := p.Token(q)
	if err != nil {
		return []Finding{queue.not(Fail, contract.Sentence(err.Error()), "see the line token")}
	}
	key := q.Stack + "-doctor"
	client, err := p.stack(q, token, key)
	if err != nil {
		return []Finding{stack.not(Skip, contract.Sentence(err.Error()), "")}
	}
	defer client.Close()
	_, err = client.Register(ctx, nil)
	switch {
	case errors.Is(err, stacks.ErrNotFound):
		return []Finding{queue.not(Fail, "the token's cluster has no self-hosted queue of this key", "use a key that Buildkite shows under Agents, Queues, or make the queue there")}
	case errors.Is(err, stacks.ErrStackLimit):
		return []Finding{stack.not(Fail, contract.Sentence(err.Error()), "run onejob deregister for installations that are gone, or give several queues one stack")}
	case err != nil:
		return []Finding{stack.not(Fail, contract.Sentence(err.Error()), "see the line token")}
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = client.Deregister(ctx) //nolint:errcheck // the next run uses it again
	}()
	page, err := client.ScheduledJobs(ctx, "", 1)
	if err != nil {
		return []Finding{queue.not(Fail, contract.Sentence(err.Error()), "run this again")}
	}
	return []Finding{ofQueue(of, page), stack.not(Warn, "no scheduler has registered "+q.Stack+"; one more stack is allowed", "start the scheduler, or name its Lease with --lease and --lease-namespace")}
}
