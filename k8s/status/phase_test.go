package status

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The jobs of each phase are counted, those that wait and aren't listed too, and the
// count leads to these jobs.
func TestPhases(t *testing.T) {
	c := some(250)
	c.Jobs[7].Phase, c.Jobs[9].Phase = "lost", "waiting"
	c.Queues[0].Waiting, c.Queues[1].Waiting = 3, 4000
	want := []Phased{{"lost", 1}, {"pending", 125}, {"waiting", 4003}, {"running", 123}}
	if diff := cmp.Diff(want, byPhase(c)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	var got []string
	for _, a := range all(parsed(t, c, "/?queue=default&phase=lost"), "a") {
		phase, is := strings.CutPrefix(attribute(a, "href"), "?phase=")
		if phase, _, _ = strings.Cut(phase, "#"); !is || !strings.HasPrefix(attribute(a, "class"), "tile") {
			continue
		}
		got = append(got, text(a))
		if (attribute(a, "aria-current") != "") != (phase == "lost") {
			t.Errorf("the chosen phase is %s", text(a))
		}
		count := text(all(parsed(t, c, "/?phase="+phase), "p")[1])
		shown := regexp.MustCompile(`of (\d+),`).FindStringSubmatch(count)
		if phase != "waiting" && (shown == nil || text(a) != shown[1]+" "+phase) {
			t.Errorf("%q leads to %q", text(a), count)
		}
	}
	if want := []string{"1 lost", "125 pending", "4003 waiting", "123 running"}; !slices.Equal(got, want) {
		t.Errorf("the counts are %q, want %q", got, want)
	}
}
