// Package plugins makes kubernetes plugins at random, of what pipelines write and of what
// they mustn't.
package plugins

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Random is the plugin of a seed.
func Random(seed uint64) map[string]any { return (&dice{rand.New(rand.NewPCG(seed, 16))}).plugin() }

// dice makes plugins.
type dice struct{ *rand.Rand }

func (d *dice) some(of ...string) string { return of[d.IntN(len(of))] }

// maybe is true once in n.
func (d *dice) maybe(n int) bool { return d.IntN(n) == 0 }

type object = map[string]any

func (d *dice) plugin() object {
	p := object{}
	if !d.maybe(4) {
		p["podSpec"] = d.pod(true)
	}
	if d.maybe(3) {
		p["podSpecPatch"] = d.pod(false)
	}
	if d.maybe(4) {
		p["sidecars"] = []any{d.container("db")}
	}
	if d.maybe(4) {
		p["metadata"] = object{"labels": object{d.some("team", "a b", "x/y/z", "onejob.dev/queue", "acme.io/t"): d.some("a", "", "not a label!", strings.Repeat("x", 64))}}
	}
	if d.maybe(4) {
		p["extraVolumeMounts"] = []any{d.mount()}
	}
	if d.maybe(4) {
		p["gitEnvFrom"] = []any{object{"secretRef": object{"name": d.secret()}}, object{"configMapRef": object{"name": "settings"}}}
	}
	if d.maybe(4) {
		p["checkout"] = object{d.some("skip", "noSubmodules"): d.maybe(2), "gitCredentialsSecret": object{"secretName": d.secret()}}
	}
	if d.maybe(20) {
		p[d.some("podspec", "sidecar", "image")] = object{}
	}
	if d.maybe(5) {
		p["jobActiveDeadlineSeconds"] = d.IntN(100) - 2
	}
	return p
}

func (d *dice) image() string {
	if d.maybe(30) {
		return d.some("Upper/Case", "a b", "ghcr.io/acme/app@sha256:0")
	}
	return d.some("node:22", "ghcr.io/acme/app:v1", "postgres")
}

func (d *dice) secret() string {
	if d.maybe(8) {
		return "onejob-agent-token"
	}
	return d.some("git", "ssh-key", "Not_A_Name")
}

func (d *dice) pod(whole bool) object {
	s := object{}
	var containers []any
	for i := range 1 + d.IntN(2) {
		c := d.container(d.some("", "test", fmt.Sprintf("c%d", i)))
		if !whole {
			c["name"] = d.some("container-0", "agent", "test", "proxy")
		}
		containers = append(containers, c)
	}
	s["containers"] = containers
	s["volumes"] = []any{object{"name": d.some("cache", "data"), d.some("emptyDir", "emptyDir", "configMap", "secret", "hostPath", "persistentVolumeClaim"): d.source()}}
	if d.maybe(5) {
		s["initContainers"] = []any{d.container("setup")}
	}
	if d.maybe(5) {
		s["nodeSelector"] = object{d.some("pool", "pool", "a/b/c"): d.some("ci", "ci", "!")}
	}
	if d.maybe(5) {
		s["tolerations"] = []any{object{"key": d.some("ci", "", "node-role.kubernetes.io/control-plane"), "operator": d.some("Exists", "Equal", "Near")}}
	}
	if d.maybe(10) {
		s[d.some("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")] = true
	}
	if d.maybe(10) {
		s[d.some("serviceAccountName", "nodeName", "priorityClassName", "hostname")] = d.some("builder", "Bad Name")
	}
	if d.maybe(5) {
		s["securityContext"] = object{d.some("runAsUser", "fsGroup", "runAsGroup"): d.IntN(2000) - 2}
	}
	return s
}

// source fits some kinds of volumes, so that some are wrong.
func (d *dice) source() object {
	switch d.IntN(4) {
	case 0:
		return object{"name": d.some("settings", "")}
	case 1:
		return object{"secretName": d.secret()}
	case 2:
		return object{"path": d.some("/", "/var/lib/kubelet", "../x")}
	}
	return object{}
}

func (d *dice) mount() object {
	return object{"name": d.some("cache", "data", "gone"), "mountPath": d.some("/mnt/a", "/usr/local/bin", "relative", "/a:b", "")}
}

func (d *dice) container(name string) object {
	c := object{"image": d.image(), "name": name}
	if name == "" {
		delete(c, "name")
	}
	if d.maybe(3) {
		c["command"] = []any{d.some("make", "a b")}
	}
	if d.maybe(4) {
		c["env"] = []any{object{"name": d.some("A", "B", "has=equals", ""), "value": d.some("x", "")}}
	}
	if d.maybe(4) {
		c["resources"] = object{"requests": object{d.some("cpu", "memory", "nvidia.com/gpu", "gpu"): d.some("1", "500m", "2Gi", "-1", "3", "3", "4", "lots")}, "limits": object{"memory": d.some("1Gi", "64Gi")}}
	}
	if d.maybe(4) {
		c["volumeMounts"] = []any{d.mount()}
	}
	if d.maybe(8) {
		c["securityContext"] = object{d.some("privileged", "allowPrivilegeEscalation", "readOnlyRootFilesystem"): true}
	}
	if d.maybe(10) {
		c["ports"] = []any{object{"containerPort": d.number(80, 0, 70000), "hostPort": d.number(0, 0, 80)}}
	}
	if d.maybe(12) {
		c["imagePullPolicy"] = d.some("Always", "Sometimes")
	}
	return c
}

func (d *dice) number(of ...int) int { return of[d.IntN(len(of))] }
