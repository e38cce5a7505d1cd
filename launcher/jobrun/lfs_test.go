package jobrun

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A job's checkout is searched for pointers of Git LFS, whatever the job left in it.
func TestPointerIn(t *testing.T) {
	const attributes = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
	const file = pointer + "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
	for _, tt := range []struct {
		name  string
		files map[string]string
		more  func(dir string) error
		want  string
	}{
		{name: "a pointer", files: map[string]string{".gitattributes": attributes, "a/b/c.bin": file, "a/d": "x"}, want: "a/b/c.bin"},
		{name: "the file itself", files: map[string]string{".gitattributes": attributes, "c.bin": "\x00\x01"}},
		{name: "a repository without LFS", files: map[string]string{"c.bin": file}},
		{name: "a text that is longer", files: map[string]string{".gitattributes": attributes, "c.bin": file + strings.Repeat("x", maxPointer)}},
		{name: "in git's own folder", files: map[string]string{".gitattributes": attributes, ".git/c.bin": file}},
		{name: "by a link from outside", files: map[string]string{".gitattributes": attributes, "../../../../out/c.bin": file}, more: func(dir string) error {
			return os.Symlink("../../../../out", filepath.Join(dir, "link"))
		}},
		{name: "a pipe in the place of the attributes", files: map[string]string{"c.bin": file}, more: func(dir string) error {
			return syscall.Mkfifo(filepath.Join(dir, ".gitattributes"), 0o600)
		}},
		{name: "a pipe", files: map[string]string{".gitattributes": attributes}, more: func(dir string) error {
			return syscall.Mkfifo(filepath.Join(dir, "c.bin"), 0o600)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			builds := filepath.Join(t.TempDir(), "builds")
			checkout := checkoutOf(map[string]string{"BUILDKITE_AGENT_NAME": "a.b", "BUILDKITE_ORGANIZATION_SLUG": "org", "BUILDKITE_PIPELINE_SLUG": "pipeline"})
			dir := filepath.Join(builds, "a-b", "org", "pipeline")
			for name, text := range tt.files {
				write(t, filepath.Join(dir, name), text)
			}
			if tt.more != nil {
				if err := tt.more(dir); err != nil {
					t.Fatal(err)
				}
			}
			if got := pointerIn(builds, checkout, maxEntries); got != tt.want {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

// However much there is, no more is looked at than a part, that at the top first.
func TestPointerInIsBounded(t *testing.T) {
	const most = 3 * minEntries
	dir := t.TempDir()
	write(t, filepath.Join(dir, ".gitattributes"), "* filter=lfs\n")
	write(t, filepath.Join(dir, "folder", "c.bin"), pointer)
	for i := range most {
		if i == minEntries/2 {
			if got := pointerIn(dir, ".", most); got != "folder/c.bin" {
				t.Errorf("found %q among %d files", got, i)
			}
		}
		write(t, filepath.Join(dir, fmt.Sprint(i)), "x")
	}
	if got := pointerIn(dir, ".", most); got != "" {
		t.Errorf("found %q behind more files than are looked at", got)
	}
	for builds, checkout := range map[string]string{filepath.Join(dir, "none"): ".", dir: "../x"} {
		if got := pointerIn(builds, checkout, maxEntries); got != "" {
			t.Errorf("found %q in %s of %s", got, checkout, builds)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
