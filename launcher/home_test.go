package launcher

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tree makes files in a folder of its own: a name that ends with / is a folder, a
// text that begins with -> is a link.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		at := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		target, isLink := strings.CutPrefix(files[name], "->")
		switch {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(at, 0o755)
		case isLink:
			err = os.Symlink(target, at)
		default:
			err = os.WriteFile(at, []byte(files[name]), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// found is what tree would make the folder of.
func found(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, at)
		switch {
		case err != nil || d.IsDir():
			return err
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(at)
			files[name] = "->" + target
			return err
		}
		b, err := os.ReadFile(at)
		files[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestCopyHome(t *testing.T) {
	for _, tt := range []struct {
		name              string
		image, home, want map[string]string
		hidden            []string
	}{
		{name: "nothing", want: map[string]string{}},
		{
			name:  "an empty volume",
			image: map[string]string{".gitconfig": "[user]", ".ssh/known_hosts": "host", ".ssh/keys/": "", "tool": "->.local/tool", ".local/tool": "bin"},
			want:  map[string]string{".gitconfig": "[user]", ".ssh/known_hosts": "host", "tool": "->.local/tool", ".local/tool": "bin"},
		},
		{
			name:  "what the template mounts stays",
			image: map[string]string{".ssh/known_hosts": "host", ".ssh/config": "the image's", "a": "->b", "c": "file", "d/e": "e"},
			home:  map[string]string{".ssh/config": "another", "a": "a file", "c/x": "x", "d": "a file"},
			want:  map[string]string{".ssh/known_hosts": "host", ".ssh/config": "another", "a": "a file", "c/x": "x", "d": "a file"},
			// A file and a folder, in either way; what is in a hidden folder is hidden with it.
			hidden: []string{".ssh/config: another is there", "a: another is there", "c: another is there", "d: another is there"},
		},
		{
			name:  "copied before",
			image: map[string]string{".gitconfig": "[user]", "dir/link": "->x"},
			home:  map[string]string{".gitconfig": "[user]", "dir/link": "->x", "mine": "1"},
			want:  map[string]string{".gitconfig": "[user]", "dir/link": "->x", "mine": "1"},
		},
		{
			// What an earlier job left leads nowhere.
			name:   "a link out of the home",
			image:  map[string]string{"out/file": "the image's"},
			home:   map[string]string{"out": "->/tmp"},
			want:   map[string]string{"out": "->/tmp"},
			hidden: []string{"out: another is there"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image, home := tree(t, tt.image), tree(t, tt.home)
			h, err := CopyHome(t.Context(), image, home)
			if err != nil {
				t.Fatal(err)
			}
			got := found(t, home)
			if len(got) != len(tt.want) {
				t.Errorf("the home has %v, want %v", got, tt.want)
			}
			for name, text := range tt.want {
				if got[name] != text {
					t.Errorf("%s is %q, want %q", name, got[name], text)
				}
			}
			if !slices.Equal(h.Hidden, tt.hidden) {
				t.Errorf("hidden are %q, want %q", h.Hidden, tt.hidden)
			}
			if (h.Warning(1000) == "") != (len(tt.hidden) == 0) {
				t.Errorf("the warning is %q", h.Warning(1000))
			}
		})
	}
}

// TestCopyHomeKeeps: modes and times, and a home that isn't there yet is made.
func TestCopyHomeKeeps(t *testing.T) {
	image, home := tree(t, map[string]string{"run": "#!", ".ssh/id": "key"}), filepath.Join(t.TempDir(), "a", "home")
	old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	for name, mode := range map[string]fs.FileMode{"run": 0o755, ".ssh/id": 0o600, ".ssh": 0o700} {
		if err := os.Chmod(filepath.Join(image, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(filepath.Join(image, "run"), old, old); err != nil {
		t.Fatal(err)
	}
	if h, err := CopyHome(t.Context(), image, home); err != nil || h.Files != 2 || h.Bytes != 5 {
		t.Errorf("copied %+v, %v", h, err)
	}
	for name, want := range map[string]string{"run": "-rwxr-xr-x", ".ssh/id": "-rw-------", ".ssh": "drwx------"} {
		info, err := os.Stat(filepath.Join(home, name))
		if err != nil || info.Mode().String() != want {
			t.Errorf("%s: %v, %v; want %s", name, info, err, want)
		}
		if name == "run" && !info.ModTime().Equal(old) {
			t.Errorf("its time is %v", info.ModTime())
		}
	}
	// There is nothing to copy, or nobody wants it.
	if h, err := CopyHome(t.Context(), home, home+"/"); err != nil || h.Files != 0 {
		t.Errorf("a home onto itself: %+v, %v", h, err)
	}
	if h, err := CopyHome(t.Context(), "", home); err != nil || h.Files != 0 {
		t.Errorf("no home: %+v, %v", h, err)
	}
	if _, err := CopyHome(t.Context(), filepath.Join(image, "none"), home); err == nil {
		t.Error("a home that isn't there is no error")
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if h, err := CopyHome(stopped, image, t.TempDir()); err == nil || h.Files != 0 {
		t.Errorf("stopped: %+v, %v", h, err)
	}
}

func TestHomeWarning(t *testing.T) {
	var h Home
	for range 12 {
		h.hide(".ssh/id", &fs.PathError{Op: "openat", Path: ".ssh/id", Err: os.ErrPermission})
	}
	if got := h.Warning(12345); !strings.Contains(got, ".ssh/id: permission denied; ") || !strings.Contains(got, "; and 2 more: make them readable for uid 12345") {
		t.Errorf("the warning is %q", got)
	}
}
