package mirror

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	// mostEntries bounds how many files of a mirror are looked at.
	mostEntries = 100_000
	// restAge is the age at which half a pack is waste: whoever writes one goes on writing.
	restAge = time.Hour
	// upkeepAge is the same for locks of gc's, as git has it for its own gc.pid.
	upkeepAge = 12 * time.Hour
)

// found is what a killed git may have left in a mirror.
type found struct {
	// broken: the mirror is no repository, and never was one.
	broken bool
	// locks are the files that keep git from fetching, and rest are those that only take room.
	locks []file
	rest  []string
}

// file is a file as it was at a time.
type file struct {
	name, short string
	changed     time.Time
	size        int64
}

func (f found) any() bool { return f.broken || len(f.locks) > 0 || len(f.rest) > 0 }

func (f found) same(o found) bool { return slices.Equal(f.locks, o.locks) }

// old reports whether nobody can still hold any of the locks.
func (f found) old() bool {
	return !slices.ContainsFunc(f.locks, func(l file) bool { return time.Since(l.changed) < old })
}

func (f found) names() (short []string) {
	for _, l := range f.locks {
		short = append(short, l.short)
	}
	return short
}

// look looks at a mirror. A mirror that isn't there, or isn't a folder, has nothing to find.
func look(root *os.Root, name string) (f found) {
	if info, err := root.Lstat(name); err != nil || !info.IsDir() {
		return found{}
	}
	files := root.FS()
	packs, _ := fs.ReadDir(files, path.Join(name, "objects", "pack"))
	if f.broken = isBroken(files, name, packs); f.broken {
		return f
	}
	for _, e := range packs {
		if strings.HasPrefix(e.Name(), "tmp_") && age(e) > restAge {
			f.rest = append(f.rest, path.Join(name, "objects", "pack", e.Name()))
		}
	}
	for _, dir := range []string{"objects", "objects/info", "objects/info/commit-graphs", "objects/pack"} {
		entries, _ := fs.ReadDir(files, path.Join(name, dir))
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".lock") && age(e) > upkeepAge {
				f.rest = append(f.rest, path.Join(name, dir, e.Name()))
			}
		}
	}
	top, _ := fs.ReadDir(files, name)
	for _, e := range top {
		// git makes packed-refs.new only where there is none, too.
		if strings.HasSuffix(e.Name(), ".lock") || e.Name() == "packed-refs.new" {
			f.add(name, e.Name(), e)
		}
	}
	seen := 0
	_ = fs.WalkDir(files, path.Join(name, "refs"), func(at string, e fs.DirEntry, err error) error {
		if seen++; err != nil || seen > mostEntries {
			return fs.SkipAll
		}
		if strings.HasSuffix(at, ".lock") && !e.IsDir() { // no branch can be called so
			f.add(name, strings.TrimPrefix(at, name+"/"), e)
		}
		return nil
	})
	return f
}

func (f *found) add(mirror, short string, e fs.DirEntry) {
	if info, err := e.Info(); err == nil {
		f.locks = append(f.locks, file{path.Join(mirror, short), short, info.ModTime(), info.Size()})
	}
}

// isBroken reports whether git was killed before a mirror could be one. A mirror with a
// pack is left to people, whatever it lacks: checkouts may use its objects.
func isBroken(files fs.FS, name string, packs []fs.DirEntry) bool {
	if slices.ContainsFunc(packs, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), ".pack") }) {
		return false
	}
	head, err := read(files, path.Join(name, "HEAD"))
	if lacks(err) || err == nil && len(bytes.TrimSpace(head)) == 0 {
		return true
	}
	config, err := read(files, path.Join(name, "config"))
	if lacks(err) || err == nil && !bytes.Contains(config, []byte(`[remote "origin"]`)) {
		return true
	}
	for _, dir := range []string{"objects", "refs"} {
		if _, err := fs.Stat(files, path.Join(name, dir)); lacks(err) {
			return true
		}
	}
	return false
}

// read reads a file, as far as git's own are long.
func read(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	return io.ReadAll(io.LimitReader(f, 1<<20))
}

func lacks(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// age is how long ago an entry was changed, 0 if that can't be known.
func age(e fs.DirEntry) time.Duration {
	info, err := e.Info()
	if err != nil {
		return 0
	}
	return time.Since(info.ModTime())
}
