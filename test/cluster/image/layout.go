package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// created is the time of everything in an image: the same input gives the same
// bytes on any day. It isn't zero because some programs take that for unset.
var created = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Config is what an image says about running it, named as in the OCI image
// specification.
type Config struct {
	User       string   `json:"User,omitempty"`
	Env        []string `json:"Env,omitempty"`
	Entrypoint []string `json:"Entrypoint,omitempty"`
	Cmd        []string `json:"Cmd,omitempty"`
	WorkingDir string   `json:"WorkingDir,omitempty"`
}

type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar" // plain: packing costs more than it saves on one machine
)

// writeLayout writes an image with the given name, architecture, layers (in order) and
// configuration as an OCI image layout in a tar file, in one step. One that was
// written of the same is left as it is.
func writeLayout(path, name, arch string, config Config, layers []layer) (err error) {
	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s %+q\n", name, arch, config)
	for _, layer := range layers {
		fmt.Fprintln(hash, layer.id)
	}
	key, keyPath := fmt.Sprintf("%x\n", hash.Sum(nil)), path+".key"
	if old, err := os.ReadFile(keyPath); err == nil && string(old) == key {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	// Gone before the image changes: if this is interrupted, it is written again.
	if err := os.Remove(keyPath); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := writeArchive(path, name, arch, config, layers); err != nil {
		return err
	}
	return os.WriteFile(keyPath, []byte(key), 0o644)
}

func writeArchive(path, name, arch string, config Config, layers []layer) (err error) {
	temporary := path + ".new"
	file, err := os.Create(temporary)
	if err != nil {
		return err
	}
	defer func() {
		file.Close()
		if err != nil {
			os.Remove(temporary)
		}
	}()
	archive := tar.NewWriter(file)

	var descriptors []descriptor
	var diffs []string
	for _, layer := range layers {
		d, err := addLayer(archive, layer.path)
		if err != nil {
			return fmt.Errorf("adding layer %s: %w", layer.path, err)
		}
		descriptors, diffs = append(descriptors, d), append(diffs, d.Digest)
	}
	described, err := addJSON(archive, mediaConfig, map[string]any{
		"created":      created,
		"architecture": arch,
		"os":           "linux",
		"config":       config,
		"rootfs":       map[string]any{"type": "layers", "diff_ids": diffs},
	})
	if err != nil {
		return err
	}
	manifest, err := addJSON(archive, mediaManifest, map[string]any{
		"schemaVersion": 2, "mediaType": mediaManifest, "config": described, "layers": descriptors,
	})
	if err != nil {
		return err
	}
	manifest.Annotations = map[string]string{"io.containerd.image.name": name}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": []descriptor{manifest}})
	if err != nil {
		return err
	}
	if err := addFile(archive, "index.json", index); err != nil {
		return err
	}
	if err := addFile(archive, "oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// addLayer reads the file twice: its name in the archive is its digest.
func addLayer(archive *tar.Writer, path string) (descriptor, error) {
	layer, err := os.Open(path)
	if err != nil {
		return descriptor{}, err
	}
	defer layer.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, layer)
	if err != nil {
		return descriptor{}, err
	}
	if _, err := layer.Seek(0, io.SeekStart); err != nil {
		return descriptor{}, err
	}
	sum := fmt.Sprintf("%x", hash.Sum(nil))
	return descriptor{MediaType: mediaLayer, Digest: "sha256:" + sum, Size: size}, add(archive, "blobs/sha256/"+sum, size, layer)
}

func addJSON(archive *tar.Writer, media string, value any) (descriptor, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return descriptor{}, err
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(data))
	return descriptor{MediaType: media, Digest: "sha256:" + sum, Size: int64(len(data))}, addFile(archive, "blobs/sha256/"+sum, data)
}

func addFile(archive *tar.Writer, name string, data []byte) error {
	return add(archive, name, int64(len(data)), bytes.NewReader(data))
}

func add(archive *tar.Writer, name string, size int64, content io.Reader) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: created}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := io.Copy(archive, content)
	return err
}
