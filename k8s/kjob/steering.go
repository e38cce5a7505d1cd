package kjob

import (
	"regexp"
	"strings"
	"sync"
)

// The names of variables and of annotations are free, so no list can have every harmless
// name. These lists have the dangerous names, each group with its reason. If a program reads
// a whole family of names, the list has the family.

// anyOf compiles when it is first asked: a scheduler whose templates have no variables
// never does, and these two are half a megabyte.
func anyOf(flags, end string, patterns ...string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(flags + "^(" + strings.Join(patterns, "|") + ")" + end)
	})
}

// steering matches the variables that change where the runner, or a program that
// is started with the token, gets its settings, its code or its peers from.
var steering = anyOf("(?i)", "$",
	// the runner's settings, the agent's, and where its API server is
	`(BUILDKITE|ONEJOB|KUBERNETES)_.*`,
	// the loader and the C library: code, configuration and names of hosts
	`(LD|DYLD|GLIBC|GCONV|MALLOC|NSS)_.*`, `.*PRELOAD.*`, `GETCONF_DIR`, `LOCPATH`, `NLSPATH`, `HOSTALIASES`, `LOCALDOMAIN`, `RES_OPTIONS`,
	// the Go runtime: the runner is a Go program
	`GODEBUG`, `GOTRACEBACK`, `GOMEMLIMIT`, `GOMAXPROCS`, `GOGC`, `GORACE`, `GOCOVERDIR`,
	// shells, and where whoever runs a program looks for it and its settings
	`BASH.*`, `PATH`, `HOME`, `USER`, `LOGNAME`, `ENV`, `SHELL`, `SHELLOPTS`, `ZDOTDIR`, `FPATH`, `IFS`, `CDPATH`, `PS4`, `PROMPT_COMMAND`, `TMPDIR`, `XDG_.*`,
	`TERMINFO.*`, `TERMCAP`,
	// git, ssh and the programs that they start
	`(GIT|SSH)_.*`, `GNUPGHOME`, `GPG_.*`, `EDITOR`, `VISUAL`, `PAGER`, `LESS(OPEN|CLOSE|KEY.*)?`,
	// certificates that are trusted, and proxies
	`(SSL|OPENSSL|CURL|KRB5|GRPC)_.*`, `.*_PROXY`, `.*CA_?BUNDLE.*`, `.*_CA_CERTS?`,
	// the clouds' libraries, which read tags, keys and secrets: files, programs to start, endpoints
	`(AWS|EC2|ECS|GCE|GCP|GOOGLE|GCLOUD|CLOUDSDK|AZURE|ARM|MSI|IDENTITY)_.*`,
	// where traces and metrics go
	`(OTEL|DD|DATADOG|STATSD)_.*`,
	// interpreters of hooks: code that is loaded first
	`(PYTHON|PERL|RUBY|PHP).*`, `(NODE|JAVA|_JAVA|JDK|LUA)_.*`,
)

// restraints match the keys of annotations that a program of the cluster acts on. Such a
// program could loosen a container's confinement, give the pod a role, a network or Secrets,
// or choose the image and the settings of a container that it adds. Kubernetes leaves keys
// without a prefix to users, but runtimes use some of those keys, too.
var restraints = anyOf("", "",
	// the scheduler reads them back
	`onejob\.dev/`,
	// container runtimes: devices, seccomp profiles, paths of the hypervisor, properties of the unit
	`io\.`, `org\.(systemd|opencontainers)\.`, `run\.oci\.`, `dev\.gvisor\.`,
	// Kubernetes, its projects, and networks: AppArmor, seccomp, devices, queues
	`([^/]*[.-])?(k8s|kubernetes|cri-o|crio|cncf|cilium|projectcalico|openshift)\.(io|org)/`, `([^/]*\.)?x-k8s\.io/`,
	// roles and identities of a cloud
	`([^/]*\.)?(amazonaws\.com|gke\.io|googleapis\.com|azure\.com|azure\.workload\.identity)/`,
	// programs that put containers, code or Secrets into a pod
	`([^/]*\.)?(istio\.io|linkerd\.io|dapr\.io|kuma\.io|hashicorp\.com|opentelemetry\.io|datadoghq\.com|dynatrace\.com|newrelic\.com|jaegertracing\.io|banzaicloud\.io|1password\.io|1password\.com|doppler\.com|infisical\.com)/`,
)
