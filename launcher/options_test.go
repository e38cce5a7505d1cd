package launcher

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buildkite/agent/v3/clicommand"
	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"
)

// agentFlag is what the pinned agent's flag table says of an option.
type agentFlag struct{ kind, env, value string }

func agentFlags(t *testing.T) map[string]agentFlag {
	t.Helper()
	flags := map[string]agentFlag{}
	for _, f := range clicommand.AgentStartCommand.Flags {
		v := reflect.ValueOf(f)
		value := ""
		if field := v.FieldByName("Value"); field.IsValid() {
			value = strings.Trim(fmt.Sprint(field.Interface()), "[]&{}")
		}
		if value == "<nil>" {
			value = ""
		}
		flags[v.FieldByName("Name").String()] = agentFlag{v.Type().Name(), v.FieldByName("EnvVar").String(), value}
	}
	if len(flags) < 100 {
		t.Fatalf("the agent's flag table has only %d flags: it is read wrongly", len(flags))
	}
	return flags
}

// TestOptionsAreTheAgents compares our table with the pinned agent's: no option
// is forgotten, none is made up, none has another variable, type or default.
func TestOptionsAreTheAgents(t *testing.T) {
	t.Setenv("HOME", "/home/somebody")
	theirs := agentFlags(t)
	kinds := map[string]string{"string": "StringFlag", "bool": "BoolFlag", "int": "IntFlag", "time.Duration": "DurationFlag", "[]string": "StringSliceFlag"}
	ours := map[string]bool{}
	new(Options).fields(func(tag reflect.StructTag, ptr any) {
		name := tag.Get("flag")
		ours[name] = true
		want, ok := theirs[name]
		if !ok {
			t.Errorf("the agent has no option --%s", name)
			return
		}
		got := agentFlag{kinds[reflect.TypeOf(ptr).Elem().String()], tag.Get("env"), os.ExpandEnv(tag.Get("default"))}
		switch {
		case want.kind == "BoolTFlag": // a boolean that is true by default
			want.kind, want.value = "BoolFlag", "true"
		case want.kind == "IntFlag" && got.value == "":
			got.value = "0"
		case name == "sockets-path": // the agent computed it when the test began
			want.value = "/home/somebody/.buildkite-agent/sockets"
		case name == "plugins-path": // as TestPackagesSettings wants it
			want.value = "/home/somebody/.buildkite-agent/plugins"
		}
		if got != want {
			t.Errorf("--%s is %+v, the agent's is %+v", name, got, want)
		}
		if tag.Get("usage") == "" {
			t.Errorf("--%s says nothing of its use", name)
		}
	})
	for name, flag := range theirs {
		omitted, isOmitted := NotOffered[name]
		switch {
		case ours[name] && isOmitted:
			t.Errorf("--%s is both offered and not", name)
		case !ours[name] && !isOmitted:
			t.Errorf("the agent's --%s (%s) is neither offered nor listed with a reason", name, flag.env)
		case isOmitted && (omitted.Env != flag.env || omitted.Reason == ""):
			t.Errorf("--%s is listed as %+v, its variable is %s", name, omitted, flag.env)
		}
	}
	for name := range NotOffered {
		if _, ok := theirs[name]; !ok {
			t.Errorf("--%s is listed as not offered, and the agent hasn't got it either", name)
		}
	}
}

// TestPackagesSettings: what the stock packages set by their configuration file
// works here without one. With plain flags a stock agent has no plugins.
func TestPackagesSettings(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/buildkite/agent/v3").Output()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "packaging", "github", "linux", "buildkite-agent.cfg"))
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	new(Options).fields(func(tag reflect.StructTag, _ any) { defaults[tag.Get("flag")] = tag.Get("default") })
	dockerfile, err := os.ReadFile(filepath.Join("..", "Dockerfile.agent"))
	if err != nil {
		t.Fatal(err)
	}
	// What has no default here, and where it comes from.
	elsewhere := map[string]string{
		"token":      "",                      // never a default's
		"name":       "",                      // left to Buildkite, which knows the host's
		"build-path": "BUILDKITE_BUILD_PATH=", // of the image; without it the runner says so
		"hooks-path": "BUILDKITE_HOOKS_PATH=", // of the image; without it there are none
	}
	settings := regexp.MustCompile(`(?m)^([a-z-]+)="(.*)"$`).FindAllStringSubmatch(string(text), -1)
	if len(settings) < 5 {
		t.Errorf("the configuration file has %d settings: it is read wrongly", len(settings))
	}
	for _, s := range settings {
		if where, is := elsewhere[s[1]]; is {
			if !strings.Contains(string(dockerfile), where) {
				t.Errorf("%s is not in the image", where)
			}
		} else if defaults[s[1]] != s[2] {
			t.Errorf("--%s is %q by default, the stock packages have %q", s[1], defaults[s[1]], s[2])
		}
	}
}

// TestFolders: plugins and sockets have a folder that can be written, unless one
// is named.
func TestFolders(t *testing.T) {
	builds, home := t.TempDir(), t.TempDir()
	file := filepath.Join(home, "a-file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, home string
		args       []string
		plugins    string
		sockets    string
	}{
		{"a home", home, nil, home + "/.buildkite-agent/plugins", home + "/.buildkite-agent/sockets"},
		{"no home", "", nil, builds + "/.buildkite-agent/plugins", builds + "/.buildkite-agent/sockets"},
		{"a home that is none", file, nil, builds + "/.buildkite-agent/plugins", builds + "/.buildkite-agent/sockets"},
		{"named", home, []string{"--plugins-path", file + "/p", "--sockets-path", file + "/s"}, file + "/p", file + "/s"},
		{"named empty", home, []string{"--plugins-path="}, home + "/.buildkite-agent/plugins", home + "/.buildkite-agent/sockets"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("HOME", tt.home)
			o := parse(t, append([]string{"--build-path", builds, "--bootstrap-script=/bin/sh"}, tt.args...)...)
			if err := o.Validate(); err != nil {
				t.Fatal(err)
			}
			if o.PluginsPath != tt.plugins || o.SocketsPath != tt.sockets {
				t.Errorf("plugins in %s, sockets in %s; want %s, %s", o.PluginsPath, o.SocketsPath, tt.plugins, tt.sockets)
			}
		})
	}
}

// parse runs args through the flags, as main does.
func parse(t *testing.T, args ...string) Options {
	t.Helper()
	var o Options
	app := cli.NewApp()
	app.Flags = o.Flags()
	app.Action = func(c *cli.Context) error { o.Read(c); return nil }
	if err := app.Run(append([]string{"test"}, args...)); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestOptionsParse(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("BUILDKITE_AGENT_TAGS", "a=b, c=d,")
	t.Setenv("BUILDKITE_HOOKS_PATH", "$HOME/hooks")
	t.Setenv("BUILDKITE_CANCEL_GRACE_PERIOD", "42")
	o := parse(t, "--build-path", "~/builds", "--no-local-hooks", "--redacted-vars", "X_*", "--wait-for-ec2-tags-timeout", "3s")
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"tags", o.Tags, []string{"a=b", "c=d"}},
		{"build-path", o.BuildPath, filepath.Join(home, "builds")},
		{"hooks-path", o.HooksPath, filepath.Join(home, "hooks")},
		{"sockets-path", o.SocketsPath, filepath.Join(home, ".buildkite-agent/sockets")},
		{"cancel-grace-period", o.CancelGracePeriod, 42},
		{"no-plugins follows no-local-hooks", o.NoPlugins, true},
		{"redacted-vars", o.RedactedVars, []string{"X_*"}},
		{"no-plugin-validation", o.NoPluginValidation, true},
		{"wait-for-ec2-tags-timeout", o.WaitForEC2TagsTimeout, 3 * time.Second},
		{"git-clean-flags", o.GitCleanFlags, "-ffxdq"},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	if o := parse(t, "--no-command-eval", "--no-plugins=false"); o.NoPlugins {
		t.Error("plugins that were allowed by name are off")
	}
	if n := len(parse(t).RedactedVars); n != 9 {
		t.Errorf("%d redacted-vars by default, want the agent's 9", n)
	}
}

func TestOptionsValidate(t *testing.T) {
	dir := t.TempDir()
	bootstrap := filepath.Join(dir, "boot strap")
	if err := os.WriteFile(bootstrap, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	good := []string{"--build-path", dir, "--bootstrap-script", "'" + bootstrap + "' x"}
	o := parse(t, append(good, "--cancel-signal", "sigint")...)
	if err := o.Validate(); err != nil || o.CancelSignal != "SIGINT" {
		t.Errorf("good options: %v, cancel-signal %q", err, o.CancelSignal)
	}
	for _, tt := range []struct{ args, says string }{
		{"--endpoint=ftp://x/v3", "no http or https scheme"},
		{"--endpoint=https://", "no host"},
		{"--endpoint=http://:8080/v3", "no host"},
		{"--endpoint=http://127.0.0.1:65536/v3", "65535"},
		{"--endpoint=http://127.0.0.1:0/v3", "65535"},
		{"--endpoint=::", "not a URL"},
		{"--endpoint=https://a:b@c/v3", "password"},
		{"--endpoint=https://a/v3?x=1", "query"},
		{"--build-path=", "no folder for builds"},
		{"--cancel-signal=SIGNOTHING", "cancel-signal"},
		{"--log-format=xml", "log-format"},
		{"--checkout-override-mode=x", "checkout-override-mode"},
		{"--git-mirror-checkout-mode=x", "git-mirror-checkout-mode"},
		{"--git-sparse-checkout-mode=x", "git-sparse-checkout-mode"},
		{"--git-commit-verification=x", "git-commit-verification"},
		{"--verification-failure-behavior=x", "verification-failure-behavior"},
		{"--tracing-backend=x", "tracing-backend"},
		{"--trace-context-encoding=x", "trace-context-encoding"},
		{"--allowed-repositories=[", "regular expression"},
		{"--allowed-environment-variables=X", "enable-environment-variable-allowlist"},
		{"--queue=a --tags=queue=b", "set twice"},
		{"--bootstrap-script=" + filepath.Join(dir, "missing"), "no such file"},
		{"--bootstrap-script='", "not a command"},
	} {
		o := parse(t, append(slices.Clone(good), strings.Fields(tt.args)...)...)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %v, want one that says %q", tt.args, err, tt.says)
		}
	}
	bad := parse(t, append(slices.Clone(good), "--endpoint=x", "--log-format=y", "--tracing-backend=z")...)
	if err := bad.Validate(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("three mistakes are not told at once: %v", err)
	}
}

func TestJobEnvironment(t *testing.T) {
	environ := []string{"PATH=/bin", "BUILDKITE_AGENT_TOKEN=secret", "BUILDKITE_AGENT_ACQUIRE_JOB=x", "ONEJOB_ATTEMPT=1", "ONEJOB_ANYTHING=x", "BUILDKITE_SHELL=x", "BUILDKITE_AGENT_SPAWN=3", "MINE=1", "BUILDKITE_DISABLE_GIT_SUBMODULES=1"}
	if diff := cmp.Diff([]string{"PATH=/bin", "MINE=1"}, jobEnvironment(environ)); diff != "" {
		t.Errorf("what reaches the job (-want +got):\n%s", diff)
	}
	// As the agent does: every variable that configures it is taken out.
	names := ConfigNames()
	for name, flag := range agentFlags(t) {
		for env := range strings.SplitSeq(flag.env, ",") {
			if !slices.Contains(names, env) {
				t.Errorf("--%s's variable %s would reach the job", name, env)
			}
		}
	}
}
