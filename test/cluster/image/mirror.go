package image

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mirrorOf returns the address of the Debian archive that this machine's apt
// takes suite from: it is the one that is reached from here.
func mirrorOf(suite string) (string, error) {
	var files []string
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*.sources", "/etc/apt/sources.list.d/*.list"} {
		more, _ := filepath.Glob(pattern)
		files = append(files, more...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if mirror := mirrorIn(string(text), suite, strings.HasSuffix(file, ".sources")); mirror != "" {
			return mirror, nil
		}
	}
	return "", errors.New("apt has no source of Debian's " + suite + ": debootstrap takes its mirror from there")
}

// mirrorIn returns the first address in an apt sources file that has the suite,
// with the component main. See sources.list(5) for the two formats.
func mirrorIn(text, suite string, deb822 bool) string {
	if !deb822 {
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			if len(fields) > 1 && strings.HasPrefix(fields[1], "[") {
				end := slices.IndexFunc(fields, func(s string) bool { return strings.HasSuffix(s, "]") })
				fields = slices.Delete(fields, 1, max(end, 1)+1)
			}
			if len(fields) > 3 && fields[0] == "deb" && fields[2] == suite && slices.Contains(fields[3:], "main") {
				return fields[1]
			}
		}
		return ""
	}
	for stanza := range strings.SplitSeq(text, "\n\n") {
		values := map[string][]string{}
		for line := range strings.Lines(stanza) {
			if key, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, "#") {
				values[strings.ToLower(key)] = strings.Fields(value)
			}
		}
		enabled := len(values["enabled"]) == 0 || values["enabled"][0] != "no"
		if enabled && slices.Contains(values["types"], "deb") && slices.Contains(values["suites"], suite) &&
			slices.Contains(values["components"], "main") && len(values["uris"]) > 0 {
			return values["uris"][0]
		}
	}
	return ""
}
