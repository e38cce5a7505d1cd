package probe

import (
	"fmt"
	"strings"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
)

// Report is the result of a run.
type Report struct {
	Queue string `json:"queue"`
	Mark  string `json:"mark"`
	// Findings are in the order of assumptions.All.
	Findings []Finding `json:"findings"`
	// Noted is what was seen of the questions of assumptions.Unplayed that were asked.
	Noted []Finding `json:"noted,omitempty"`
	// Differs are the answers that aren't the shipped ones.
	Differs []Difference `json:"differs"`
	// Left names what the run couldn't clean up, and what to do about it.
	Left []string `json:"left,omitempty"`
}

// Difference is a question whose answer isn't the shipped one.
type Difference struct {
	Name    string `json:"name"`
	Answer  string `json:"answer"`
	Shipped string `json:"shipped"`
}

func (p *prober) report(left []string) Report {
	r := Report{Queue: p.Queue, Mark: p.Mark, Left: left, Findings: []Finding{}, Differs: []Difference{}}
	shipped := assumptions.Shipped()
	for _, a := range assumptions.All {
		f, asked := p.findings[a.Name]
		if !asked {
			f = Finding{Name: a.Name, Seen: "the question was not asked"}
		}
		f.Seen = contract.Sentence(f.Seen)
		r.Findings = append(r.Findings, f)
		if usual := shipped.Answer(a.Name); f.Answer != "" && f.Answer != usual {
			r.Differs = append(r.Differs, Difference{a.Name, f.Answer, usual})
		}
	}
	for _, a := range assumptions.Unplayed {
		if f, asked := p.findings[a.Name]; asked {
			r.Noted = append(r.Noted, Finding{Name: f.Name, Seen: contract.Sentence(f.Seen)})
		}
	}
	return r
}

// Unknown are the questions without an answer.
func (r Report) Unknown() (out []Finding) {
	for _, f := range r.Findings {
		if f.Answer == "" {
			out = append(out, f)
		}
	}
	return out
}

// YAML is the profile that the run found, as assumptions.Parse reads it. Observations are
// comments. An unknown answer is a comment, too, so that Parse sets the shipped one.
func (r Report) YAML() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# What onejob probe saw in the queue %s. A missing line means the shipped answer.\n", r.Queue)
	for _, f := range r.Findings {
		if f.Answer == "" {
			fmt.Fprintf(&b, "# %s: unknown: %s\n", f.Name, f.Seen)
			continue
		}
		fmt.Fprintf(&b, "%s: %q # %s\n", f.Name, f.Answer, f.Seen) // without quotes, null would not be a string
	}
	for i, f := range r.Noted {
		if i == 0 {
			b.WriteString("# No profile has an answer to these.\n")
		}
		fmt.Fprintf(&b, "# %s: %s\n", f.Name, f.Seen)
	}
	return []byte(b.String())
}
