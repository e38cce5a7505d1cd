package steps

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// Fault is one error in a step's description of its pod.
type Fault struct {
	// Field is the faulty field, such as kubernetes.podSpec.containers[test].image.
	Field string
	Text  string
}

func (f Fault) Error() string { return f.Field + ": " + f.Text }

type faults struct{ list []error }

func (f *faults) bad(field, format string, args ...any) {
	f.list = append(f.list, Fault{field, fmt.Sprintf(format, args...)})
}

func (f *faults) err() error {
	slices.SortFunc(f.list, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	f.list = slices.CompactFunc(f.list, func(a, b error) bool { return a.Error() == b.Error() })
	if more := len(f.list) - maxFaults; more > 0 {
		return errors.Join(append(slices.Clone(f.list[:maxFaults]), fmt.Errorf("and %d more", more))...)
	}
	return errors.Join(f.list...)
}

func (f *faults) oneOf(field, value string, words []string) {
	if value != "" && !slices.Contains(words, value) {
		f.bad(field, "%q is not one of %s", contract.Line(value, maxShown), list(words))
	}
}

// imageName matches the image names that a container runtime takes: an optional host with a
// port, a path in lower case, a tag, a digest. It is the grammar of distribution/reference.
var imageName = regexp.MustCompile(`^` +
	`(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?` +
	`[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*` +
	`(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$`)

// CheckImage returns why name is not an image name, nil if it is one.
func CheckImage(name string) error {
	f := &faults{}
	f.image("image", name)
	return f.err()
}

func (f *faults) image(field, name string) {
	switch {
	case len(name) > contract.MaxName:
		f.bad(field, "it has %d characters, and an image's name has %d at the most", len(name), contract.MaxName)
	case !imageName.MatchString(name):
		f.bad(field, "%q is not an image name, such as registry.example/team/app:1.2; repositories are in lower case", contract.Line(name, maxShown))
	}
}

func (f *faults) podImages(at string, s *corev1.PodSpec) {
	if s == nil {
		return
	}
	for _, l := range []struct {
		name string
		of   []corev1.Container
	}{{"initContainers", s.InitContainers}, {"containers", s.Containers}} {
		for i, c := range l.of {
			if c.Image != "" {
				f.image(place(at+"."+l.name, i, c.Name)+".image", c.Image)
			}
		}
	}
}

// place is the path of a list's entry, with the entry's name or else its index.
func place(at string, i int, name string) string {
	if name == "" {
		return fmt.Sprintf("%s[%d]", at, i)
	}
	return fmt.Sprintf("%s[%s]", at, contract.Line(name, maxShown))
}

// list joins words for an error message.
func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
