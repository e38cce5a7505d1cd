package assumptions

import (
	"math/rand/v2"
	"reflect"
	"strings"
)

// Answer is a Profile's answer to a question, empty if there is none or no such question.
func (p Profile) Answer(name string) string {
	field, ok := p.field(name)
	if !ok {
		return ""
	}
	return field.String()
}

// With is the Profile with another answer to one question. It panics if there is no such
// question or answer. Only a mistake in code causes that, because people's profiles go
// through Parse.
func (p Profile) With(name, side string) Profile {
	p.set(name, side)
	if err := p.Check(); err != nil || p.Answer(name) == "" {
		panic("assumptions: " + name + ": " + side)
	}
	return p
}

// Shipped is the Profile that onejob-sim plays by default, and that onejob assumes where it
// must.
func Shipped() Profile { return Profile{}.WithDefaults() }

// WithDefaults is the Profile with the shipped answer in each empty field.
func (p Profile) WithDefaults() Profile {
	for _, a := range All {
		if p.Answer(a.Name) == "" {
			p.set(a.Name, a.Sides[0].Name)
		}
	}
	return p
}

// Opposite is a Profile that differs from p in each answer. The Opposite of Shipped has the
// last side of each question.
func (p Profile) Opposite() Profile {
	p = p.WithDefaults()
	for _, a := range All {
		p.set(a.Name, a.other(p.Answer(a.Name)))
	}
	return p
}

// Random is a Profile of random answers.
func Random(rng *rand.Rand) Profile {
	var p Profile
	for _, a := range All {
		p.set(a.Name, a.Sides[rng.IntN(len(a.Sides))].Name)
	}
	return p
}

// Difference is a question that two profiles answer differently.
type Difference struct{ Name, A, B string }

// Diff are the questions that a and b answer differently, in the order of All.
func Diff(a, b Profile) (out []Difference) {
	a, b = a.WithDefaults(), b.WithDefaults()
	for _, q := range All {
		if x, y := a.Answer(q.Name), b.Answer(q.Name); x != y {
			out = append(out, Difference{q.Name, x, y})
		}
	}
	return out
}

// String lists the answers that differ from the shipped profile.
func (p Profile) String() string {
	var out []string
	for _, d := range Diff(Shipped(), p) {
		out = append(out, d.Name+"="+d.B)
	}
	if len(out) == 0 {
		return "as shipped"
	}
	return strings.Join(out, " ")
}

func (p *Profile) set(name, side string) {
	v := reflect.ValueOf(p).Elem()
	if i := fieldOf(name); i >= 0 {
		v.Field(i).SetString(side)
	}
}

func (p Profile) field(name string) (reflect.Value, bool) {
	i := fieldOf(name)
	if i < 0 {
		return reflect.Value{}, false
	}
	return reflect.ValueOf(p).Field(i), true
}

// fieldOf is the index of Profile's field with a JSON name, or -1.
func fieldOf(name string) int {
	for i := range profileType.NumField() {
		if tag, _, _ := strings.Cut(profileType.Field(i).Tag.Get("json"), ","); tag == name {
			return i
		}
	}
	return -1
}

var profileType = reflect.TypeFor[Profile]()
