package stacks

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// TokenSource gives the agent (cluster) token for a request. It is asked
// before each one and must be fast and safe for concurrent use.
type TokenSource interface {
	Token() (string, error)
}

// Token is a TokenSource that never changes.
type Token string

// Token returns the token.
func (t Token) Token() (string, error) { return string(t), nil }

// String keeps the token out of logs.
func (Token) String() string { return "[redacted]" }

// GoString keeps the token out of logs.
func (Token) GoString() string { return "[redacted]" }

// TokenFile is a TokenSource that reads a file, and reads it again when its time or
// size changes, because Kubernetes replaces the file when a Secret is rotated. White
// space around the token is cut: a Secret made with echo ends with a newline.
type TokenFile struct {
	path string

	mu    sync.Mutex
	mtime time.Time
	size  int64
	token string
}

// NewTokenFile returns a TokenFile for path. The file is read when a token is
// first asked for.
func NewTokenFile(path string) *TokenFile { return &TokenFile{path: path} }

// Token returns the file's token. It keeps the last good one when the file is
// gone for a moment, as it is while a volume is swapped.
func (f *TokenFile) Token() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err == nil && f.token != "" && info.ModTime().Equal(f.mtime) && info.Size() == f.size {
		return f.token, nil
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(f.path)
	}
	var token string
	if err == nil {
		token, err = contract.ParseToken(string(b), "the file "+f.path)
	}
	if err != nil {
		if f.token != "" {
			return f.token, nil
		}
		return "", fmt.Errorf("reading the agent token: %w", err)
	}
	f.token, f.mtime, f.size = token, info.ModTime(), info.Size()
	return token, nil
}
