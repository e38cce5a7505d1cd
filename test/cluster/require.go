package cluster

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

//go:embed packages.txt
var packages string

// Packages are the Debian packages that a cluster needs, for apt-get install.
func Packages() []string { return strings.Fields(packages) }

// ErrUnsupported is wrapped by the error of Run on a machine that can't have a
// cluster. The error's text says what to do about it.
var ErrUnsupported = errors.New("this machine can't run a cluster")

const cniDir = "/usr/lib/cni"

// searchPath has the sbin directories, where an ordinary user's PATH hasn't.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// needs maps what is looked for to the package that has it.
var needs = map[string]string{
	"containerd": "containerd", "containerd-shim-runc-v2": "containerd", "ctr": "containerd",
	"runc": "runc", "ip": "iproute2", "iptables": "iptables", "conntrack": "conntrack",
	"socat": "socat", "ethtool": "ethtool",
	cniDir + "/bridge": "containernetworking-plugins", cniDir + "/host-local": "containernetworking-plugins",
}

// Check returns an error that wraps ErrUnsupported when the machine isn't Linux,
// the user isn't root, or packages are missing; nodes says whether there will be
// any, for a control plane alone needs less.
func Check(nodes bool) error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("%w: it is %s, and kubelets need Linux", ErrUnsupported, runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: namespaces, mounts and cgroups need root, and this is uid %d", ErrUnsupported, os.Geteuid())
	}
	var missing []string
	for what := range needs {
		if _, err := find(what); err != nil && (nodes || what == "ip") {
			missing = append(missing, strings.TrimPrefix(what, cniDir+"/"))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %s not found; apt-get install --no-install-recommends %s",
			ErrUnsupported, strings.Join(missing, ", "), strings.Join(Packages(), " "))
	}
	return nil
}

// find returns the path of a program, by searchPath and not by PATH.
func find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return exec.LookPath(name)
	}
	for dir := range strings.SplitSeq(searchPath, ":") {
		if path, err := exec.LookPath(dir + "/" + name); err == nil {
			return path, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}
