package config

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// maxStackKey is the longest key that Buildkite takes.
const maxStackKey = 80

// ownDigits is how many hexadecimal digits of a hash a key has: eight are enough, because
// an organization has some thirty stacks.
const ownDigits = 8

// Own binds a completed configuration to one installation. name is the label of the
// installation's kjobs, unique in the cluster; empty means no label. uid is unique in the
// world. Own derives from uid the keys of the stacks that the file doesn't name, because
// Buildkite identifies a stack by its key in the whole organization
// (docs/protocol.md#stacks). If uid is empty, the keys are the same in every
// installation, see DefaultKey. Own may be called again.
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

// DefaultKey is the key of a queue's stack if the installation's uid is unknown. Releases
// before Own used it always.
func DefaultKey(queue string) string { return DefaultStack + "-" + queue }

// Derived reports whether the key of any stack depends on the installation.
func (c *Config) Derived() bool {
	return slices.ContainsFunc(c.Queues, func(q Queue) bool { return !q.StackGiven })
}
