package config

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a time.Duration written as Go writes it: "1s", "15m".
type Duration time.Duration

// UnmarshalJSON reads a string; a bare number would leave the unit open.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a duration is a string such as \"90s\", not %s", b)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }
