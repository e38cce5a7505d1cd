package simulator_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/simulator"
)

// The page's data has each step with what it waits for, and how many are before it.
func TestPageGraph(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		w.build(`steps: [{command: a, key: a}, {command: b, key: b}, wait, {command: c, key: c, depends_on: a}, {block: go}, {command: d, key: d}]`)
		_, data := w.control("GET", "?data", "")
		var page struct {
			Builds []struct {
				Graph []struct {
					ID, Type, Name, State string
					Level                 int
					After                 []string
				}
			}
		}
		if err := json.Unmarshal([]byte(data), &page); err != nil {
			t.Fatal(err)
		}
		names, got := map[string]string{}, []string{}
		for _, s := range page.Builds[0].Graph {
			if names[s.ID] = s.Name; s.Name == "" {
				names[s.ID] = s.Type
			}
			after := []string{}
			for _, id := range s.After {
				after = append(after, names[id])
			}
			got = append(got, strings.Join([]string{names[s.ID], s.State, strings.Repeat("›", s.Level), strings.Join(after, "+")}, " "))
		}
		want := "a ready  , b ready  , wait waiting_for_dependencies › a+b, c waiting_for_dependencies › a, go waiting_for_dependencies ›› c+wait, d waiting_for_dependencies ››› go"
		if strings.Join(got, ", ") != want {
			t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
		}
	})
}

// A step that failed softly is none that passed.
func TestPageGraphOfSoftFailure(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		ids := w.build(`steps: [{command: a, key: a, soft_fail: true}, {command: b, key: b}]`)
		w.run(ids[0], "1")
		w.run(ids[1], "0")
		_, data := w.control("GET", "?data", "")
		for _, want := range []string{`"name":"a","state":"soft_failed"`, `"name":"b","state":"passed"`} {
			if !strings.Contains(data, want) {
				t.Errorf("the page's data lacks %s:\n%s", want, data)
			}
		}
	})
}

// A log becomes a page with its colours, which runs nothing of what the job wrote.
func TestLogPage(t *testing.T) {
	inBubble(t, simulator.Config{}, func(w *wire) {
		id := w.job("label: x")
		token := w.acquire(w.session(), id)
		w.call("PUT", "jobs/"+id+"/start", token, "", 200)
		w.chunk(id, token, "\x1b_bk;t=1767323045000\x07~~~ Setting up\n\x1b[31mred\x1b[0m <script>alert(1)</script>\n")
		code, html := w.control("GET", "_sim/jobs/"+id+"/log.html", "")
		if code != 200 || !strings.Contains(html, `<span class="term-fg31">red</span>`) || strings.Contains(html, "<script>") || !strings.Contains(html, "&lt;script&gt;") {
			t.Errorf("%d %s", code, html)
		}
		if code, _ := w.control("GET", "_sim/jobs/none/log.html", ""); code != 404 {
			t.Errorf("of no job: %d", code)
		}
	})
}
