package simulator

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Unblock unblocks a block or input step, as a person does. The fields become the build's
// meta-data. The value of a field with several options has one on each line. It is an error
// if the step doesn't wait for a person, or a value is invalid.
func (s *Simulator) Unblock(stepID string, fields map[string]string) error {
	return s.lockedWrite(func(now time.Time) error {
		n := s.stepByID[stepID]
		switch {
		case n == nil:
			return notFound("step", stepID)
		case !n.gate():
			return fmt.Errorf("step %s is a %s step: only a block or input step can be unblocked", stepID, n.kind)
		case n.state != nodeOpen:
			return fmt.Errorf("step %s is %s and can't be unblocked", stepID, n.stateName())
		}
		values, err := n.form.fill(fields)
		if err != nil {
			return err
		}
		for key, value := range values {
			n.build.metaData[key] = value
		}
		n.build.unblocker = creatorName
		s.advance(n.build, n.done(false), now)
		s.relink(n.build, now)
		return nil
	})
}

// fill checks the given values of the fields, and adds the defaults.
func (f *form) fill(given map[string]string) (map[string]string, error) {
	values := map[string]string{}
	for _, field := range f.fields {
		value, set := given[field.Key]
		if !set {
			value = strings.Join(field.Default, "\n")
		}
		value = strings.ReplaceAll(value, "\r\n", "\n")
		if err := field.check(value); err != nil {
			return nil, err
		}
		values[field.Key] = value
	}
	for _, key := range sortedNames(given) {
		if _, known := values[key]; !known {
			return nil, fmt.Errorf("the step has no field %q", key)
		}
	}
	return values, nil
}

func (f Field) check(value string) error {
	switch {
	case value == "" && f.Required:
		return fmt.Errorf("the field %q is required", f.Key)
	case value == "":
		return nil
	case f.Format != "" && !regexp.MustCompile("^(?:"+f.Format+")$").MatchString(value):
		return fmt.Errorf("the field %q is %q: want it to match %s", f.Key, value, f.Format)
	case len(f.Options) == 0:
		return nil
	}
	chosen := []string{value}
	if f.Multiple {
		chosen = strings.Split(value, "\n")
	}
	for _, one := range chosen {
		if !slices.ContainsFunc(f.Options, func(o Option) bool { return o.Value == one }) {
			return fmt.Errorf("the field %q is %q: it has no such option", f.Key, one)
		}
	}
	return nil
}
