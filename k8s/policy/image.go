package policy

import (
	"strings"

	"github.com/onejob-dev/onejob/k8s/config"
)

// Image checks the image of a step without a plugin against the policy's lists.
func Image(p config.Policy, at, name string) []Violation {
	c := &check{policy: p}
	c.image(at, name)
	return c.found
}

// image checks an image by its whole name against the lists: node is
// docker.io/library/node:latest.
func (c *check) image(at, name string) {
	if name == "" {
		return
	}
	host, whole := fullName(name)
	if c.policy.Registries != nil {
		c.in(at, host, "the registry", "registries", c.policy.Registries)
	}
	if c.policy.Images != nil {
		c.in(at, whole, "the image", "images", c.policy.Images)
	}
	if c.policy.Digests && !strings.Contains(name, "@") {
		c.bad(at, "this queue runs images by digest only, and "+shown(name)+" has none", "write %s@sha256:… as the registry gives it", shown(strings.SplitN(name, "@", 2)[0]))
	}
}

// fullName is an image's registry, and the whole name that container runtimes make of name.
func fullName(name string) (host, whole string) {
	first, rest, found := strings.Cut(name, "/")
	isHost := found && (strings.ContainsAny(first, ".:") || first == "localhost" || strings.ToLower(first) != first)
	switch {
	case !found:
		host, rest = dockerHub, "library/"+name
	case !isHost:
		host, rest = dockerHub, name
	case first == "index.docker.io":
		host = dockerHub
	default:
		host = first
	}
	if host == dockerHub && !strings.Contains(rest, "/") {
		rest = "library/" + rest
	}
	if !strings.Contains(rest, "@") && !strings.Contains(rest[strings.LastIndex(rest, "/")+1:], ":") {
		rest += ":latest"
	}
	return host, host + "/" + rest
}

const dockerHub = "docker.io"
