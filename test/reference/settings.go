package reference

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// Setting is one key of a configuration, or what a list or a map has for each of its own.
type Setting struct {
	Key string
	// Text is for people: plain sentences, `code` and paths of pages.
	Text string
	// Value says what the setting can be.
	Value string
	// Default is nil if there is none, or if Text says which.
	Default any
	// Required: it can't be left out.
	Required bool
	// Of are the keys of a mapping.
	Of []Setting

	schema    object // the rest of its JSON schema
	isMapping bool   // with the keys of Of, and no others
}

// object is a JSON object whose keys have an order. That of lines begins a line with each.
type object []pair

type lines object

type pair struct {
	key   string
	value any
}

// reader makes settings of types.
type reader struct {
	testing.TB
	comments
}

// raw are the types of what the configuration keeps as JSON and others read.
var raw = map[string]reflect.Type{"Queue.StepDefaults": reflect.TypeFor[steps.Setting]()}

// Settings are the keys of onejob.yaml.
func Settings(tb testing.TB) []Setting {
	tb.Helper()
	r := reader{tb, comments{}}
	r.read(tb, "k8s/config")
	r.read(tb, "k8s/steps")
	c, err := config.Parse([]byte("queues: [{name: any}]"), "any")
	if err != nil {
		tb.Fatal(err)
	}
	return r.fields(reflect.ValueOf(*c))
}

// fields are those of a struct that a file has; v has their defaults.
func (r reader) fields(v reflect.Value) (settings []Setting) {
	for f := range v.Type().Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || name == "" {
			continue
		}
		s := Setting{Key: name, Text: r.of(r, v.Type(), f), Required: options == ""}
		t := f.Type
		if other, ok := raw[v.Type().Name()+"."+f.Name]; ok {
			t = other
		}
		r.describe(&s, t, f.Tag, v.FieldByIndex(f.Index))
		if s.Required || byDefault.MatchString(s.Text) {
			s.Default = nil
		}
		settings = append(settings, s)
	}
	return settings
}

// byDefault is the sentence of a default that depends on something.
var byDefault = regexp.MustCompile(`(?:^| )By default ([^.]+)\.`)

// describe sets what a type and a field's tags say.
func (r reader) describe(s *Setting, t reflect.Type, tag reflect.StructTag, v reflect.Value) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
		if v.Kind() == reflect.Pointer && !v.IsNil() {
			v = v.Elem()
		}
	}
	known := v.Kind() != reflect.Pointer && v.Type() == t // else nothing is known of a default
	switch {
	case t == reflect.TypeFor[config.Duration]():
		s.Value, s.schema = "duration"+atLeast(tag.Get("min")), object{{"type", "string"}}
		if known {
			s.Default = shortest(time.Duration(v.Int()))
		}
	case t == reflect.TypeFor[config.Amount]():
		s.Value, s.Default = "number or percentage", 0
		s.schema = object{{"oneOf", []object{{{"type", "integer"}, {"minimum", 0}}, {{"type", "string"}, {"pattern", "^[0-9]+%?$"}}}}}
	case t == reflect.TypeFor[corev1.ResourceList]():
		s.Value, s.schema = "quantities", object{{"type", "object"}, {"additionalProperties", object{{"type", []string{"string", "number"}}}}}
	case t == reflect.TypeFor[resource.Quantity]():
		s.Value, s.schema = "quantity", object{{"type", []string{"string", "number"}}}
	case isOwn(t):
		r.mapping(s, t, tag, v)
	default:
		r.plain(s, t, tag, v, known)
	}
}

// plain is describe for what isn't a struct of ours.
func (r reader) plain(s *Setting, t reflect.Type, tag reflect.StructTag, v reflect.Value, known bool) {
	switch t.Kind() {
	case reflect.Bool:
		s.Value, s.schema = "true or false", object{{"type", "boolean"}}
		if known {
			s.Default = v.Bool()
		}
	case reflect.Int:
		s.number(tag)
		if known {
			s.Default = int(v.Int())
		}
	case reflect.String:
		s.text(tag)
		if known && v.String() != "" {
			s.Default = v.String()
		}
		if d := tag.Get("default"); d != "" {
			s.Default = d
		}
	case reflect.Slice:
		r.list(s, t, tag)
	case reflect.Map:
		each := Setting{}
		r.describe(&each, t.Elem(), "", reflect.Zero(t.Elem()))
		s.Value, s.Of, s.schema = "mapping", each.Of, object{{"type", "object"}}
		if p := tag.Get("pattern"); p != "" {
			s.schema = append(s.schema, pair{"propertyNames", object{{"pattern", p}}})
		}
		if least := tag.Get("min"); least != "" {
			s.schema = append(s.schema, pair{"minProperties", asInt(least)})
		}
		s.schema = append(s.schema, pair{"additionalProperties", &each})
	default: // a struct of Kubernetes'
		s.Value, s.schema = "as in Kubernetes", object{{"type", "object"}}
	}
}

func (r reader) mapping(s *Setting, t reflect.Type, tag reflect.StructTag, v reflect.Value) {
	if v.Type() != t {
		v = reflect.Zero(t)
	}
	s.Value, s.isMapping, s.Of, s.schema = "mapping", true, r.fields(v), object{{"type", "object"}, {"additionalProperties", false}}
	if most := tag.Get("max"); most != "" {
		s.schema = append(s.schema, pair{"maxProperties", asInt(most)})
	}
}

func (r reader) list(s *Setting, t reflect.Type, tag reflect.StructTag) {
	if t.Elem().Kind() == reflect.Uint8 { // JSON
		s.Value, s.schema = "mapping", object{{"type", "object"}}
		return
	}
	each := Setting{}
	v := reflect.Zero(t.Elem())
	if t.Elem() == reflect.TypeFor[config.Queue]() { // of which Parse sets defaults
		c, err := config.Parse([]byte("queues: [{name: any}]"), "any")
		if err != nil {
			r.Fatal(err)
		}
		v = reflect.ValueOf(c.Queues[0])
	}
	r.describe(&each, t.Elem(), "", v)
	s.Value, s.Of, s.schema = "list", each.Of, object{{"type", "array"}}
	if p := tag.Get("pattern"); p != "" {
		s.Value = "list of texts like `" + p + "`"
		each.schema = append(each.schema, pair{"pattern", p})
	}
	if least := tag.Get("min"); least != "" {
		s.schema = append(s.schema, pair{"minItems", asInt(least)})
	}
	s.schema = append(s.schema, pair{"items", &each})
}

func (s *Setting) number(tag reflect.StructTag) {
	least, most := tag.Get("min"), tag.Get("max")
	s.schema = object{{"type", "integer"}, {"minimum", asInt(least)}}
	s.Value = "number, " + strconv.Itoa(asInt(least)) + " or more"
	if most != "" {
		s.schema = append(s.schema, pair{"maximum", asInt(most)})
		s.Value = "number, " + strconv.Itoa(asInt(least)) + " to " + most
	}
}

func (s *Setting) text(tag reflect.StructTag) {
	if words := strings.Fields(tag.Get("enum")); len(words) > 0 {
		s.schema = object{{"enum", words}}
		s.Value = "`" + strings.Join(words, "`, `") + "`"
		return
	}
	s.Value, s.schema = "text", object{{"type", "string"}}
	if tag.Get("min") == "1" {
		s.schema = append(s.schema, pair{"minLength", 1})
	}
	for _, key := range []string{"format", "pattern"} {
		if limit := tag.Get(key); limit != "" {
			s.schema = append(s.schema, pair{key, limit})
		}
	}
	switch p := tag.Get("pattern"); {
	case tag.Get("format") == "uri":
		s.Value = "URL"
	case p != "":
		s.Value = "text like `" + p + "`"
	}
}

// isOwn: a struct of this repository.
func isOwn(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && strings.HasPrefix(t.PkgPath(), "github.com/onejob-dev/onejob/")
}

func atLeast(least string) string {
	if least == "" {
		return ""
	}
	return ", " + least + " or more"
}

// asInt is a tag's number; none is 0.
func asInt(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// shortest is a duration as people write it: 15m, not 15m0s.
func shortest(d time.Duration) string {
	return regexp.MustCompile(`([hm])0[ms](0s)?$`).ReplaceAllString(d.String(), "$1")
}
