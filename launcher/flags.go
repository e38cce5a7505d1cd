package launcher

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// field calls f for each option with its tags.
func (o *Options) fields(f func(tag reflect.StructTag, ptr any)) {
	v := reflect.ValueOf(o).Elem()
	for i := range v.NumField() {
		if !v.Type().Field(i).IsExported() {
			continue
		}
		f(v.Type().Field(i).Tag, v.Field(i).Addr().Interface())
	}
}

// Flags returns o's options as flags that write into o, each with its
// environment variable and the agent's default.
func (o *Options) Flags() []cli.Flag {
	var flags []cli.Flag
	o.fields(func(tag reflect.StructTag, ptr any) {
		name, usage, def := tag.Get("flag"), tag.Get("usage"), tag.Get("default")
		env := strings.Split(tag.Get("env"), ",")
		const category = "As buildkite-agent start"
		switch p := ptr.(type) {
		case *string:
			flags = append(flags, &cli.StringFlag{Name: name, Usage: usage, EnvVars: env, Value: os.ExpandEnv(def), DefaultText: def, Destination: p, Category: category})
		case *bool:
			flags = append(flags, &cli.BoolFlag{Name: name, Usage: usage, EnvVars: env, Value: def == "true", Destination: p, Category: category})
		case *int:
			n, _ := strconv.Atoi(def) //nolint:errcheck // the table's test reads every default
			flags = append(flags, &cli.IntFlag{Name: name, Usage: usage, EnvVars: env, Value: n, Destination: p, Category: category})
		case *time.Duration:
			d, _ := time.ParseDuration(def) //nolint:errcheck // the table's test reads every default
			flags = append(flags, &cli.DurationFlag{Name: name, Usage: usage, EnvVars: env, Value: d, Destination: p, Category: category})
		case *[]string:
			// urfave/cli has no plain destination for lists: Read fetches it.
			flags = append(flags, &cli.StringSliceFlag{Name: name, Usage: usage, EnvVars: env, Value: cli.NewStringSlice(split(def)...), Category: category})
		default:
			panic(fmt.Sprintf("option %s has a type that no flag has: %T", name, ptr))
		}
	})
	return append(flags, renamedFlags()...)
}

// Read completes o from the parsed command line: the lists, the paths ("~" and
// variables in them, as the agent expands them), and the agent's rules between
// options.
func (o *Options) Read(c *cli.Context) {
	o.fields(func(tag reflect.StructTag, ptr any) {
		switch p := ptr.(type) {
		case *[]string:
			*p = nil
			for _, s := range c.StringSlice(tag.Get("flag")) {
				*p = append(*p, split(s)...)
			}
		case *string:
			if tag.Get("path") != "" && *p != "" {
				*p = expandPath(*p)
			}
		}
	})
	o.readRenamed(c)
	// No commands or no local hooks means no plugins, which could do either,
	// unless plugins were allowed by name.
	if (o.NoCommandEval || o.NoLocalHooks) && !c.IsSet("no-plugins") {
		o.NoPlugins = true
	}
}

// ConfigNames returns the names of the variables that configure the agent: as
// in the stock agent, the job's environment has none of them but those that the
// agent sets itself.
func ConfigNames() []string {
	var names []string
	for _, omitted := range NotOffered {
		names = append(names, omitted.Env)
	}
	for _, env := range renamed {
		names = append(names, env)
	}
	new(Options).fields(func(tag reflect.StructTag, _ any) {
		names = append(names, strings.Split(tag.Get("env"), ",")...)
	})
	return names
}

func split(s string) []string {
	var list []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

func expandPath(p string) string {
	if p == "~" || strings.HasPrefix(p, "~/") {
		p = "$HOME" + p[1:]
	}
	p = os.ExpandEnv(p)
	if abs, err := filepath.Abs(p); err == nil {
		return abs
	}
	return p
}
