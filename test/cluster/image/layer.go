package image

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// layer is a tar file of an image. Its id says what is in it, without reading
// a quarter of a gigabyte: layers with the same id have the same content.
type layer struct{ path, id string }

// packTree writes the tree below root as a layer to path: sorted, with owners
// and modes as they are and every time the same. What belongs to a running
// system (devices, sockets, the contents of /proc) is left out.
func packTree(path, root string) error {
	return packSome(path, root, func(fs.FileInfo) bool { return true })
}

// packSome is packTree of those entries that are wanted.
func packSome(path, root string, wanted func(fs.FileInfo) bool) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	archive := tar.NewWriter(file)
	// The first name of each file with several: the others are links to it.
	linked := map[uint64]string{}

	err = filepath.WalkDir(root, func(from string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, from)
		if err != nil || name == "." {
			return err
		}
		for _, dir := range []string{"proc/", "sys/", "dev/"} {
			if strings.HasPrefix(name, dir) {
				return nil
			}
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if !wanted(info) {
			return nil
		}
		return packEntry(archive, from, name, info, linked)
	})
	if err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return file.Close()
}

func packEntry(archive *tar.Writer, from, name string, info fs.FileInfo, linked map[uint64]string) error {
	stat := info.Sys().(*syscall.Stat_t)
	var target string
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		var err error
		if target, err = os.Readlink(from); err != nil {
			return err
		}
	case 0, fs.ModeDir:
	default:
		return nil // a device, a socket, a pipe
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Name = name
	if info.IsDir() {
		header.Name += "/"
	}
	header.ModTime = created
	header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
	header.Uname, header.Gname = "", ""
	header.Uid, header.Gid = int(stat.Uid), int(stat.Gid)
	if info.Mode().IsRegular() && stat.Nlink > 1 {
		if first, ok := linked[stat.Ino]; ok {
			header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
			return archive.WriteHeader(header)
		}
		linked[stat.Ino] = name
	}
	if err := archive.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(archive, file); err != nil {
		return fmt.Errorf("packing %s: %w", name, err)
	}
	return nil
}
