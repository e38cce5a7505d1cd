package config

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// maxStackKey is the longest key that Buildkite takes.
const maxStackKey = 80

// ownDigits is how much of a hash a key has: an organization has some thirty stacks.
const ownDigits = 8

// Own makes a completed configuration that of one installation. name is the label of
// its kjobs, which no other installation of the cluster has; empty for none. uid is
// what no other in the world has: it makes the keys of the stacks that the file
// doesn't name, since Buildkite knows a stack by its key in the whole organization
// (docs/protocol.md#stacks). Empty, because it isn't known: the keys are the same in
// every installation, see DefaultKey. Own may be called again.
func (c *Config) Own(name, uid string) {
	for i := range c.Queues {
		q := &c.Queues[i]
		q.Installation = name
		if !q.StackGiven {
			q.Stack = ownKey(q.Name, uid)
		}
	}
}

func ownKey(queue, uid string) string {
	if uid == "" {
		return DefaultKey(queue)
	}
	key := DefaultStack + "-" + digest(uid, ownDigits) + "-" + queue
	if len(key) > maxStackKey {
		key = DefaultStack + "-" + digest(uid+"/"+queue, 4*ownDigits)
	}
	return key
}

func digest(text string, digits int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])[:digits]
}

// DefaultKey is the key of a queue's stack where nothing tells one installation from
// another, and in releases before there was Own.
func DefaultKey(queue string) string { return DefaultStack + "-" + queue }

// Derived reports whether the key of any stack depends on the installation.
func (c *Config) Derived() bool {
	return slices.ContainsFunc(c.Queues, func(q Queue) bool { return !q.StackGiven })
}
