package assumptions

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/yaml"
)

// Parse reads a profile, YAML or JSON. A question that is left out has the shipped answer. An
// unknown question or answer is an error, which lists the known ones.
func Parse(text []byte) (Profile, error) {
	raw := map[string]json.RawMessage{}
	if err := yaml.UnmarshalStrict(text, &raw); err != nil {
		return Profile{}, fmt.Errorf("reading the profile: %w", err)
	}
	var p Profile
	var errs []error
	for name, value := range raw {
		var side string
		switch err := json.Unmarshal(value, &side); {
		case fieldOf(name) < 0:
			errs = append(errs, fmt.Errorf("%q is not one of %s", name, strings.Join(questions(), ", ")))
		case err != nil || side == "":
			errs = append(errs, fmt.Errorf("%s must be a string", name))
		default:
			p.set(name, side)
		}
	}
	if err := errors.Join(append(errs, p.Check())...); err != nil {
		return Profile{}, fmt.Errorf("reading the profile: %w", err)
	}
	return p.WithDefaults(), nil
}

// Check returns an error that names every unknown answer. An empty field is no error.
func (p Profile) Check() error {
	var errs []error
	for _, a := range All {
		if side := p.Answer(a.Name); side != "" && !a.has(side) {
			errs = append(errs, fmt.Errorf("%s: %q is not one of %s", a.Name, side, strings.Join(a.names(), ", ")))
		}
	}
	return errors.Join(errs...)
}

// The profiles that Load knows by name.
const (
	NameShipped  = "shipped"
	NameOpposite = "opposite"
)

// Load is the profile with a name (NameShipped, NameOpposite), or the one in a file.
func Load(nameOrFile string) (Profile, error) {
	switch nameOrFile {
	case NameShipped:
		return Shipped(), nil
	case NameOpposite:
		return Shipped().Opposite(), nil
	}
	text, err := os.ReadFile(nameOrFile)
	if err != nil {
		return Profile{}, fmt.Errorf("%q is neither %s nor %s, and as a file: %w", nameOrFile, NameShipped, NameOpposite, err)
	}
	return Parse(text)
}

// YAML is the profile as Parse reads it, each answer in a line, in the order of All.
func (p Profile) YAML() []byte {
	p = p.WithDefaults()
	var out strings.Builder
	for _, a := range All {
		fmt.Fprintf(&out, "%s: %q\n", a.Name, p.Answer(a.Name)) // without quotes, null would not be a string
	}
	return []byte(out.String())
}

func questions() []string {
	out := make([]string, len(All))
	for i, a := range All {
		out[i] = a.Name
	}
	return out
}
