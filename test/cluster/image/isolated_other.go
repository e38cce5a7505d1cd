//go:build !linux

package image

import (
	"context"
	"errors"
)

func isolated(context.Context, string, ...string) error {
	return errors.New("a Debian root is made on Linux only")
}
