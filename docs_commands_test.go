package onejob_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/test/pages"
)

// The commands of Helm's that the pages use, and their flags, with a "=" if they have a
// value. kubectl's commands are typed on a cluster: TestDocumentedKubectl.
var (
	helmCommon = "-n= --namespace="
	helmVerbs  = map[string]string{
		"install":   "-f= --values= --set= --set-file= --create-namespace --wait --timeout=",
		"upgrade":   "-f= --values= --set= --set-file= --install --take-ownership --create-namespace --reuse-values --wait --timeout=",
		"test":      "--logs --timeout=",
		"uninstall": "--no-hooks --wait",
		"rollback":  "--wait",
		"template":  "-f= --values= --set= --set-file=",
		"package":   "--version= --app-version= --destination= -d=",
		"push":      "",
	}
)

// Each helm, make and docker command of the pages is one that there is: the command, its
// flags, targets.
func TestDocumentedTools(t *testing.T) {
	targets := regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(read(t, "Makefile"), -1)
	found := 0
	for _, c := range pages.Commands(t) {
		found++
		args := c.Words[1:]
		var fault string
		switch c.Program() {
		case "helm":
			fault = unknownIn(args, c.Inline)
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

// unknownIn says what of a command of Helm's isn't known; it is empty if all is. One that
// stands in a sentence may be a part.
func unknownIn(args []string, inline bool) string {
	if len(args) == 0 {
		return "it has no command"
	}
	flags, isVerb := helmVerbs[args[0]]
	if !isVerb {
		return "there is no command " + args[0]
	}
	allowed := strings.Fields(helmCommon + " " + flags)
	for i := 1; i < len(args); i++ {
		flag, _, hasValue := strings.Cut(args[i], "=")
		switch {
		case !strings.HasPrefix(flag, "-"), slices.Contains(allowed, flag):
		case !slices.Contains(allowed, flag+"="):
			return args[0] + " has no flag " + flag
		case hasValue:
		case i+1 < len(args):
			i++
		case !inline:
			return flag + " has no value"
		}
	}
	return ""
}

func TestUnknownIn(t *testing.T) {
	for line, ok := range map[string]bool{
		"install onejob deploy/chart -n x --set a=b --wait": true,
		"upgrade --timeout=3m onejob chart":                 true,
		"instal onejob chart":                               false,
		"install onejob chart --wate":                       false,
		"install onejob chart -n":                           false,
		"":                                                  false,
	} {
		if fault := unknownIn(strings.Fields(line), false); (fault == "") != ok {
			t.Errorf("helm %s: %q", line, fault)
		}
	}
}
