package container

import (
	"encoding/json"
	"os"
	"syscall"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/launcher/cgroup"
)

// leaveUse leaves what this container has used in its termination message. That only
// informs people, so an error is nobody's concern; outside of a pod there is no such file.
func leaveUse(path string) {
	use := cgroup.Use()
	if use == nil {
		return
	}
	b, err := json.Marshal(contract.UseMessage{Contract: contract.Version, Use: use})
	if err != nil {
		return
	}
	if f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC|syscall.O_NONBLOCK, 0); err == nil {
		_, _ = f.Write(b)
		_ = f.Close()
	}
}
