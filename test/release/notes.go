package release

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// mostNotes bounds the notes of a first release, before which there is no tag.
const mostNotes = 100

// Notes are a release's: the subjects of the commits since the last tag, by area.
// since says which commits these are.
func Notes(ctx context.Context, version string) (notes, since string, err error) {
	span := []string{"log", "--no-merges", "--format=%s"}
	// The tag that this release has itself isn't the last one.
	last, err := output(ctx, "git", "describe", "--tags", "--abbrev=0", "--exclude", version, "HEAD")
	if err != nil {
		span, since = append(span, fmt.Sprintf("-%d", mostNotes)), fmt.Sprintf("of the last %d commits, because no release was tagged before", mostNotes)
	} else {
		span, since = append(span, last+"..HEAD"), "since "+last
	}
	subjects, err := output(ctx, "git", span...)
	if err != nil {
		return "", "", err
	}
	return byArea(version, strings.Split(subjects, "\n")), since, nil
}

// byArea sorts subjects, each "area: effect" or "area, area: effect"; others come last.
func byArea(version string, subjects []string) string {
	const other = "other"
	areas := map[string][]string{}
	for _, s := range subjects {
		area, effect, ok := strings.Cut(s, ": ")
		if !ok || strings.Contains(strings.ReplaceAll(area, ", ", ","), " ") {
			area, effect = other, s
		}
		if s != "" && !slices.Contains(areas[area], effect) {
			areas[area] = append(areas[area], effect)
		}
	}
	names := slices.Sorted(maps.Keys(areas))
	if i := slices.Index(names, other); i >= 0 {
		names = append(slices.Delete(names, i, i+1), other)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# onejob %s\n", version)
	for _, name := range names {
		fmt.Fprintf(&b, "\n## %s\n\n", name)
		for _, effect := range areas[name] {
			fmt.Fprintf(&b, "- %s\n", effect)
		}
	}
	return b.String()
}
