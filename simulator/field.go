package simulator

import (
	"fmt"
	"math"
	"sort"
	"time"

	"github.com/buildkite/go-pipeline/ordered"
)

// plain converts the parser's ordered maps into Go maps, recursively.
func plain(v any) any { return ordered.ToMapRecursive(v) }

func parseAgents(value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case map[string]any:
		var rules []string
		for key, val := range v {
			if val == nil {
				val = "" // agents: {gpu: } asks for any value
			}
			rules = append(rules, fmt.Sprintf("%s=%v", key, val))
		}
		sort.Strings(rules)
		return rules, nil
	}
	return parseStrings("agents", value)
}

func parseStrings(name string, value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		var out []string
		for _, item := range v {
			text, isText := item.(string)
			if !isText {
				return nil, fmt.Errorf("%s holds %v: want strings", name, item)
			}
			out = append(out, text)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%s is %v: want a string or a list of strings", name, value)
}

func parseImage(value any) (string, error) {
	image, isText := value.(string)
	if !isText {
		return "", fmt.Errorf("image is %v: want a string", value)
	}
	return image, nil
}

func parseInt(name string, value any) (int, error) {
	switch v := value.(type) {
	case int:
		return v, nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<31 {
			return int(v), nil
		}
	case string:
		var n int
		if _, err := fmt.Sscanf(v, "%d", &n); err == nil && fmt.Sprint(n) == v {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%s is %v: want an integer", name, value)
}

// parseSwitch reads a boolean. It also takes the strings "true" and "false", which an
// interpolated variable leaves.
func parseSwitch(name string, value any) (bool, error) {
	switch value {
	case true, "true":
		return true, nil
	case nil, false, "false":
		return false, nil
	}
	return false, fmt.Errorf("%s is %v: want true or false", name, value)
}

// parseMinutes reads timeout_in_minutes. It allows fractions, so that a test needn't wait for
// a minute.
func parseMinutes(value any) (time.Duration, error) {
	if f, isFloat := value.(float64); isFloat && f > 0 && f < 1e6 {
		return time.Duration(f * float64(time.Minute)), nil
	}
	n, err := parseInt("timeout_in_minutes", value)
	if err != nil || n < 0 || n > 1e6 {
		return 0, fmt.Errorf("timeout_in_minutes is %v: want a number of minutes", value)
	}
	return time.Duration(n) * time.Minute, nil
}

// parseSkip reads a boolean or a reason; a reason means true. It also takes the strings
// "true" and "false", which an interpolated variable leaves.
func parseSkip(value any) (skipped bool, reason string, err error) {
	switch skip := value.(type) {
	case nil:
		return false, "", nil
	case bool:
		return skip, "", nil
	case string:
		switch skip {
		case "", "false":
			return false, "", nil
		case "true":
			return true, "", nil
		}
		return true, skip, nil
	}
	return false, "", fmt.Errorf("skip is %v: want true, false or a reason", value)
}

// parseSoftFail reads a boolean, or a list of exit statuses, each as {exit_status: N} or as
// N. It also takes the strings "true" and "false", which an interpolated variable leaves.
func parseSoftFail(value any) (softFail, error) {
	list, isList := value.([]any)
	if !isList {
		soft, err := parseSwitch("soft_fail", value)
		if err != nil {
			err = fmt.Errorf("soft_fail is %v: want true, false or a list", value)
		}
		return softFail{any: soft}, err
	}
	var f softFail
	for _, item := range list {
		if m, isMap := item.(map[string]any); isMap {
			item = m["exit_status"]
		}
		if item == "*" {
			f.any = true
			continue
		}
		code, err := parseInt("exit_status", item)
		if err != nil {
			return f, err
		}
		f.codes = append(f.codes, code)
	}
	return f, nil
}

func parseDependsOn(value any) ([]dependency, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		return []dependency{{key: v}}, nil
	case []any:
		var deps []dependency
		for _, item := range v {
			switch item := item.(type) {
			case string:
				deps = append(deps, dependency{key: item})
			case map[string]any:
				for _, name := range sortedNames(item) {
					if name != "step" && name != "allow_failure" {
						return nil, notValid(name, "the `depends_on` configuration", []string{"step", "allow_failure"})
					}
				}
				key, isText := item["step"].(string)
				if !isText {
					return nil, fmt.Errorf("depends_on holds %v: want a step", item)
				}
				allow, err := parseSwitch("allow_failure", item["allow_failure"])
				if err != nil {
					return nil, err
				}
				deps = append(deps, dependency{key, allow})
			default:
				return nil, fmt.Errorf("depends_on holds %v: want step keys", item)
			}
		}
		return deps, nil
	}
	return nil, fmt.Errorf("depends_on is %v: want step keys", value)
}
