package config

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Amount is a count or a percentage ("10%").
type Amount struct {
	N       int
	Percent bool
}

// UnmarshalJSON reads 5, "5" or "10%".
func (a *Amount) UnmarshalJSON(b []byte) error {
	s, percent := strings.CutSuffix(strings.Trim(string(b), `"`), "%")
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return fmt.Errorf("an amount is a number such as 5, or a percentage such as \"10%%\", not %s", b)
	}
	*a = Amount{n, percent}
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (a Amount) MarshalJSON() ([]byte, error) {
	if a.Percent {
		return json.Marshal(fmt.Sprintf("%d%%", a.N))
	}
	return json.Marshal(a.N)
}

// Of is the amount as a number: a percentage is of n, rounded up.
func (a Amount) Of(n int) int {
	if a.Percent {
		return (a.N*n + 99) / 100
	}
	return a.N
}
