package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// extract writes the plain file at path in the topmost of layers that has it to
// out.
func extract(layers []layer, path, out string) error {
	name := strings.TrimPrefix(path, "/")
	for n := len(layers) - 1; n >= 0; n-- {
		found, err := extractFrom(layers[n].path, name, out)
		if found || err != nil {
			return err
		}
	}
	return fmt.Errorf("no plain file %s in that stage", path)
}

func extractFrom(layer, name, out string) (bool, error) {
	file, err := os.Open(layer)
	if err != nil {
		return false, err
	}
	defer file.Close()
	archive := tar.NewReader(file)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if header.Name != name || header.Typeflag != tar.TypeReg {
			continue
		}
		to, err := os.OpenFile(out, os.O_CREATE|os.O_EXCL|os.O_WRONLY, header.FileInfo().Mode().Perm())
		if err != nil {
			return false, err
		}
		defer to.Close()
		if _, err := io.Copy(to, archive); err != nil {
			return false, err
		}
		return true, to.Close()
	}
}
