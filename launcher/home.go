package launcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Home is the result of copying the image's home.
type Home struct {
	// Files and Bytes were copied.
	Files int
	Bytes int64
	// Hidden are the files that the job doesn't find in its home, each with the
	// reason; Left counts those beyond maxHidden.
	Hidden []string
	Left   int
	// Denied says that the user may not read one of them.
	Denied bool
}

// maxHidden is how many files a warning names.
const maxHidden = 10

func (h *Home) hide(name string, reason error) {
	h.Denied = h.Denied || errors.Is(reason, fs.ErrPermission)
	if len(h.Hidden) == maxHidden {
		h.Left++
		return
	}
	var at *fs.PathError
	if errors.As(reason, &at) {
		reason = at.Err
	}
	h.Hidden = append(h.Hidden, fmt.Sprintf("%s: %v", name, reason))
}

// errOther is why a file isn't copied: another one is in its place.
var errOther = errors.New("another is there")

// CopyHome copies the image's own home, image, to the job's home: a volume, which is
// empty and hides what the image has in its place. It leaves what is there already:
// that was mounted, or is an earlier job's. An error of one file doesn't end the job.
// If ctx ends, the copying ends.
func CopyHome(ctx context.Context, image, home string) (h Home, err error) {
	if image == "" || home == "" || path.Clean(image) == path.Clean(home) {
		return h, nil
	}
	from, err := os.OpenRoot(image)
	if err != nil {
		return h, fmt.Errorf("opening the image's home: %w", err)
	}
	defer from.Close()                               //nolint:errcheck // only read
	if err := os.MkdirAll(home, 0o777); err != nil { //nolint:gosec // the umask narrows it
		return h, fmt.Errorf("making the job's home: %w", err)
	}
	// A link of an earlier job in it can't lead outside.
	to, err := os.OpenRoot(home)
	if err != nil {
		return h, fmt.Errorf("opening the job's home: %w", err)
	}
	defer to.Close() //nolint:errcheck // every file is closed
	err = fs.WalkDir(from.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case name == ".":
			return err
		case err != nil:
			h.hide(name, err)
			return nil
		}
		copied, err := copyEntry(from, to, name, d)
		if err != nil {
			h.hide(name, err)
			if d.IsDir() {
				return fs.SkipDir
			}
		}
		if copied >= 0 && !d.IsDir() {
			h.Files++
			h.Bytes += copied
		}
		return nil
	})
	return h, err
}

// copyEntry copies one file, folder or link, without a folder's content. It returns the
// number of bytes, or a negative number if there was nothing to do.
func copyEntry(from, to *os.Root, name string, d fs.DirEntry) (int64, error) {
	info, err := d.Info()
	if err != nil {
		return -1, err
	}
	is, err := to.Lstat(name)
	there := err == nil
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return -1, err
	case there && is.IsDir() && d.IsDir():
		return -1, nil
	case there && is.Mode().Type() == info.Mode().Type() && is.Size() == info.Size():
		return -1, nil
	case there:
		return -1, errOther
	case d.IsDir():
		return -1, to.Mkdir(name, info.Mode().Perm()|0o700)
	case d.Type() == fs.ModeSymlink:
		target, err := from.Readlink(name)
		if err == nil {
			err = to.Symlink(target, name)
		}
		return 0, err
	case d.Type() != 0:
		return -1, nil // a socket is nobody's without the process
	}
	return copyFile(from, to, name, info)
}

// copyFile copies a plain file in one step: a volume may outlive a pod that is killed.
func copyFile(from, to *os.Root, name string, info fs.FileInfo) (n int64, err error) {
	src, err := from.Open(name)
	if err != nil {
		return -1, err
	}
	defer src.Close() //nolint:errcheck // only read
	part := path.Join(path.Dir(name), ".onejob-part")
	dst, err := to.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return -1, err
	}
	n, err = io.Copy(dst, src)
	if err = errors.Join(err, dst.Close()); err == nil {
		err = to.Chmod(part, info.Mode().Perm())
	}
	if err == nil {
		err = to.Chtimes(part, info.ModTime(), info.ModTime())
	}
	if err == nil {
		err = to.Rename(part, name)
	}
	if err != nil {
		return -1, errors.Join(err, to.Remove(part))
	}
	return n, nil
}

// Warning says which files the job's home lacks, and what to do; "" if none.
func (h Home) Warning(uid int) string {
	if len(h.Hidden) == 0 {
		return ""
	}
	list := strings.Join(h.Hidden, "; ")
	if h.Left > 0 {
		list += fmt.Sprintf("; and %d more", h.Left)
	}
	hint := "the template mounts something else there, or the volume is an earlier job's"
	if h.Denied {
		hint = fmt.Sprintf("make them readable for uid %d in the image (RUN chmod -R a+rX ~)", uid)
	}
	return fmt.Sprintf("the job's home lacks files that the image's home has: %s: %s", list, hint)
}
