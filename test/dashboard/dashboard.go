// Package dashboard reads the chart's dashboard, for those who ask what Grafana would.
package dashboard

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/onejob-dev/onejob/test/repo"
)

// Panel is one of its panels. The panels of a row that is closed at first follow the row.
type Panel struct {
	ID      int
	Title   string
	Type    string
	GridPos struct{ X, Y, W, H int }
	Targets []Target
	Panels  []Panel
}

// Target is one question of a panel.
type Target struct{ Expr, LegendFormat string }

// Variable is what a person can choose from.
type Variable struct{ Name, Query string }

// Read reads them.
func Read() (panels []Panel, variables []Variable, err error) {
	root, err := repo.Root()
	if err != nil {
		return nil, nil, err
	}
	b, err := os.ReadFile(filepath.Join(root, "deploy", "chart", "dashboards", "onejob.json"))
	if err != nil {
		return nil, nil, err
	}
	var d struct {
		Panels     []Panel
		Templating struct{ List []Variable }
	}
	err = json.Unmarshal(b, &d)
	for _, p := range d.Panels {
		panels = append(append(panels, p), p.Panels...)
	}
	return panels, d.Templating.List, err
}

// Filled is an expression as Grafana sends it to Prometheus: with everything chosen, and
// rates over so long a time.
func Filled(expr, rate string) string {
	return strings.NewReplacer("$__rate_interval", rate, "$namespace", ".*", "$queue", ".*", "$pipeline", ".*").Replace(expr)
}
