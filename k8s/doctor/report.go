package doctor

// Result of a check.
type Result string

// The results. Skip: it could not be looked at, because something is missing here that
// the installation may have.
const (
	OK   Result = "ok"
	Warn Result = "warn"
	Fail Result = "fail"
	Skip Result = "skip"
)

// Finding is what one check found.
type Finding struct {
	Check  string `json:"check"`
	Of     string `json:"of,omitempty"`
	Result Result `json:"result"`
	Found  string `json:"found"`
	Fix    string `json:"fix,omitempty"`
}

// Report is what was found, in the order in which things depend on each other.
type Report []Finding

// Failed counts the checks that failed.
func (r Report) Failed() (n int) {
	for _, f := range r {
		if f.Result == Fail {
			n++
		}
	}
	return n
}

// about begins a finding of a check of something.
func about(check, of string) Finding { return Finding{Check: check, Of: of, Result: OK} }

func (f Finding) ok(found string) Finding {
	f.Found = found
	return f
}

func (f Finding) not(result Result, found, fix string) Finding {
	f.Result, f.Found, f.Fix = result, found, fix
	return f
}
