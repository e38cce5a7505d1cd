package simulator

import (
	"fmt"
	"regexp"
	"strings"

	"drjosh.dev/zzglob"
	"github.com/buildkite/conditional"
)

// condition evaluates an `if` with Buildkite's own evaluator. It returns the reason why the
// step is left out, empty if the step runs.
func (p *parser) condition(value any) (string, error) {
	if value == nil {
		return "", nil
	}
	expr := strings.TrimSpace(fmt.Sprint(value))
	holds, err := conditional.Evaluate(expr, p.context)
	switch {
	case conditional.IsErrorKind(err, conditional.ErrorKindEvaluation):
		// Buildkite treats a condition that can't be evaluated as false.
		p.warn("`if: %s` is taken for false: %v", expr, err)
	case err != nil:
		return "", fmt.Errorf("`if: %s`: %w", expr, err)
	case holds:
		return "", nil
	}
	return "if: " + expr, nil
}

// branches matches branch patterns and returns why the step is left out, if it is. One of
// the positive patterns must match, and no pattern that begins with "!"
// (https://buildkite.com/docs/pipelines/configure/workflows/branch-configuration#branch-pattern-examples).
func (p *parser) branches(value any) (string, error) {
	list, err := parseStrings("branches", value)
	if err != nil {
		return "", err
	}
	wanted, matched := false, false
	patterns := strings.Fields(strings.Join(list, " "))
	for _, pattern := range patterns {
		pattern, negated := strings.CutPrefix(pattern, "!")
		hit := branchMatches(pattern, p.branch)
		switch {
		case negated && hit:
			return "branches: " + strings.Join(patterns, " "), nil
		case !negated:
			wanted, matched = true, matched || hit
		}
	}
	if wanted && !matched {
		return "branches: " + strings.Join(patterns, " "), nil
	}
	return "", nil
}

func branchMatches(pattern, branch string) bool {
	quoted := strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*")
	return regexp.MustCompile("^(?s:" + quoted + ")$").MatchString(branch)
}

// unchanged reports whether an if_changed skips a step, as the agent decides at an upload. A
// step runs if a changed file is included and not excluded, or if the changed files are
// unknown.
func (p *parser) unchanged(value any) bool {
	if p.changed == nil {
		p.warn("if_changed: no list of changed files was given, so the step runs")
		return false
	}
	include, exclude := value, any(nil)
	if m, isMap := value.(map[string]any); isMap {
		include, exclude = m["include"], m["exclude"]
	}
	in, err := globs(include)
	if err != nil {
		p.warn("if_changed: %v, so the step runs", err)
		return false
	}
	out, err := globs(exclude)
	if err != nil {
		p.warn("if_changed: %v, so the step runs", err)
		return false
	}
	for _, file := range p.changed {
		if anyMatches(in, file) && !anyMatches(out, file) {
			return false
		}
	}
	return true
}

func globs(value any) ([]*zzglob.Pattern, error) {
	patterns, err := parseStrings("if_changed", value)
	if err != nil {
		return nil, err
	}
	var out []*zzglob.Pattern
	for _, pattern := range patterns {
		glob, err := zzglob.Parse(pattern)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		out = append(out, glob)
	}
	return out, nil
}

func anyMatches(patterns []*zzglob.Pattern, file string) bool {
	for _, pattern := range patterns {
		if pattern.Match(file) {
			return true
		}
	}
	return false
}

// conditionContext has the values of a build that an `if` can use.
func (s *Simulator) conditionContext(b *build) conditional.Context {
	r := b.request
	context := conditional.Context{EntryPoint: conditional.EntryPointBuildCondition, BuildEnv: r.Env}
	context.Build = conditional.Build{
		ID: &b.id, Number: &b.number, State: new(string(BuildScheduled)), Source: new(b.source()),
		Branch: &r.Branch, Commit: &r.Commit, Message: &r.Message, Tag: present(r.Env["BUILDKITE_TAG"]),
		Creator: conditional.Actor{Name: new(creatorName), Email: new(creatorEmail), Verified: new(true)},
		Author:  conditional.Actor{Name: new(creatorName), Email: new(creatorEmail)},
	}
	if pr := r.Env["BUILDKITE_PULL_REQUEST"]; pr != "" && pr != "false" {
		context.Build.PullRequest = conditional.PullRequest{ID: &pr, BaseBranch: present(r.Env["BUILDKITE_PULL_REQUEST_BASE_BRANCH"]),
			Repository: present(r.Env["BUILDKITE_PULL_REQUEST_REPO"]), Draft: new(false), RepositoryFork: new(false)}
	}
	if by := b.triggeredBy; by != nil {
		context.Build.TriggeredFrom = conditional.TriggeredFrom{BuildID: &by.build.id, BuildNumber: &by.build.number, PipelineSlug: &by.build.request.Slug}
	}
	context.Pipeline = conditional.Pipeline{ID: &b.pipelineID, Name: &r.Slug, Slug: &r.Slug, DefaultBranch: new(defaultBranch), Repository: &r.Repo}
	context.Organization = conditional.Organization{ID: &s.orgID, Slug: &s.conf.Organization}
	return context
}

// present is a pointer to text, nil if text is empty.
func present(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
