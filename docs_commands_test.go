package onejob_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/test/pages"
)

// verb is what a command of kubectl's or helm's takes: flags, with a "=" if they have a
// value, and what its first argument may be, if that is a resource.
type verb struct {
	flags     string
	resources bool
}

// The commands of kubectl's that the pages use, with the flags that kubectl 1.36 documents
// for them. There is no kubectl where the tests run.
var (
	kubectlCommon = "-n= --namespace= --context= --kubeconfig="
	kubectlVerbs  = map[string]verb{
		"get":          {"-A --all-namespaces -o= --output= -l= --selector= --sort-by= --field-selector= --raw= -w --watch", true},
		"describe":     {"-A -l=", true},
		"logs":         {"-l= --tail= --all-containers --previous -p -c= -f", false},
		"create":       {"--from-file= --from-literal= --type= --dry-run= -o= --verb= --resource= --role= --serviceaccount= --docker-server= -f=", true},
		"apply":        {"-f= -k= --dry-run= --server-side", false},
		"delete":       {"-f= -k= -l= --ignore-not-found --now --force --grace-period=", true},
		"label":        {"--overwrite", true},
		"annotate":     {"--overwrite", true},
		"scale":        {"--replicas=", true},
		"wait":         {"--for= -l= --timeout=", true},
		"rollout":      {"--timeout=", false},
		"exec":         {"-c= -i -t -it", true},
		"port-forward": {"", true},
		"drain":        {"--disable-eviction --timeout= --grace-period= --ignore-daemonsets --delete-emptydir-data", false},
		"cordon":       {"", false},
		"uncordon":     {"", false},
		"onejob":       {"*", false}, // cmd/onejob's test
		"config":       {"*", false},
	}
	kubectlKinds = []string{
		"pod", "pods", "job", "jobs", "deployment", "deploy", "secret", "secrets", "configmap", "namespace", "lease", "role", "rolebinding", "event", "events", "node", "nodes",
		"networkpolicy", "resourcequota", "priorityclass", "poddisruptionbudget", "pvc", "validatingadmissionpolicy", "validatingadmissionpolicybinding", "serviceaccount",
	}
	helmCommon = "-n= --namespace="
	helmVerbs  = map[string]verb{
		"install":   {"-f= --values= --set= --set-file= --create-namespace --wait --timeout=", false},
		"upgrade":   {"-f= --values= --set= --set-file= --install --take-ownership --create-namespace --reuse-values --wait --timeout=", false},
		"test":      {"--logs --timeout=", false},
		"uninstall": {"--no-hooks --wait", false},
		"rollback":  {"--wait", false},
		"template":  {"-f= --values= --set= --set-file=", false},
		"package":   {"--version= --app-version= --destination= -d=", false},
		"push":      {"", false},
	}
)

// Each kubectl, helm, make and docker command of the pages is one that there is: the
// command, its flags, kinds of objects, files of this repository, targets.
func TestDocumentedTools(t *testing.T) {
	targets := regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(read(t, "Makefile"), -1)
	found := 0
	for _, c := range pages.Commands(t) {
		found++
		args := c.Words[1:]
		var fault string
		switch c.Program() {
		case "kubectl":
			fault = unknownIn(kubectlVerbs, kubectlCommon, args, c.Inline)
		case "helm":
			fault = unknownIn(helmVerbs, helmCommon, args, c.Inline)
		case "make":
			if len(args) == 0 || !slices.ContainsFunc(targets, func(m []string) bool { return m[1] == args[0] }) {
				fault = "the Makefile has no such target"
			}
		case "docker":
			if i := slices.Index(args, "--target"); i > 0 && !strings.Contains(read(t, "Dockerfile.agent"), " AS "+args[i+1]+"\n") {
				fault = "Dockerfile.agent has no stage " + args[i+1]
			}
		}
		if fault != "" {
			t.Errorf("%s: %s", c, fault)
		}
	}
	if found < 150 {
		t.Errorf("found %d commands", found)
	}
}

// unknownIn says what of a command isn't known; it is empty if all is.
func unknownIn(verbs map[string]verb, common string, args []string, inline bool) string {
	name, rest, isPlain := "", []string(nil), true
	var v verb
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		a := args[i]
		flag, value, hasValue := strings.Cut(a, "=")
		switch allowed := strings.Fields(common + " " + v.flags); {
		case v.flags == "*":
			return ""
		case !strings.HasPrefix(a, "-") || a == "-":
			if name == "" {
				var ok bool
				if v, ok = verbs[a]; !ok {
					return "there is no command " + a
				}
				name = a
				continue
			}
			rest = append(rest, a)
		case slices.Contains(allowed, flag):
			isPlain = false
		case slices.Contains(allowed, flag+"="):
			isPlain = false
			if !hasValue && i+1 < len(args) {
				i++
				value, hasValue = args[i], true
			}
			if !hasValue && !inline {
				return flag + " has no value"
			}
			if fault := missing(flag, value); fault != "" {
				return fault
			}
		default:
			return name + " has no flag " + flag
		}
	}
	switch {
	case name == "" && !inline:
		return "it has no command"
	case v.resources && len(rest) > 0:
		for kind := range strings.SplitSeq(rest[0], ",") {
			if kind, _, _ = strings.Cut(kind, "/"); !slices.Contains(kubectlKinds, kind) && name != "exec" {
				return "no test knows the kind of object " + kind
			}
		}
	case v.resources && isPlain && !inline:
		return name + " has nothing to act on"
	}
	return ""
}

// missing: a file or folder of the repository that a flag names and that isn't there.
func missing(flag, value string) string {
	if flag != "-f" && flag != "-k" || !strings.HasPrefix(value, "deploy/") && !strings.HasPrefix(value, "examples/") {
		return ""
	}
	if _, err := os.Stat(value); err != nil {
		return err.Error()
	}
	return ""
}

func TestUnknownIn(t *testing.T) {
	for line, ok := range map[string]bool{
		"-n x get pods -o wide":               true,
		"get jobs,pods -l a=b":                true,
		"exec deploy/onejob -- onejob --what": true,
		"apply -k deploy/base":                true,
		"get podz":                            false,
		"gett pods":                           false,
		"get pods --wide":                     false,
		"apply -k deploy/bass":                false,
		"-n x":                                false,
		"logs x --tail":                       false,
		"describe":                            false,
	} {
		if fault := unknownIn(kubectlVerbs, kubectlCommon, strings.Fields(line), false); (fault == "") != ok {
			t.Errorf("kubectl %s: %q", line, fault)
		}
	}
}
