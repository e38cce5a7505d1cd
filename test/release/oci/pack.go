package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	annotationName = "org.opencontainers.image.ref.name"
	mediaSBOM      = types.MediaType("application/spdx+json")
)

// packed is one image, for all platforms.
type packed struct {
	Name      string           `json:"name"`
	Digest    v1.Hash          `json:"digest"`
	Tags      []string         `json:"tags"`
	Platforms []packedPlatform `json:"platforms"`
}

type packedPlatform struct {
	Platform string  `json:"platform"`
	Digest   v1.Hash `json:"digest"`
	Pull     int64   `json:"pull_bytes"`     // compressed, as nodes pull it
	Unpacked int64   `json:"unpacked_bytes"` // on a node's disk
	SBOM     v1.Hash `json:"sbom_digest"`
	Packages int     `json:"sbom_packages"`
}

// pack writes an image's layout to out/NAME, and its SBOMs beside it.
func (s spec) pack(i imageSpec, out string) (packed, error) {
	p := packed{Name: i.Name, Tags: s.Tags}
	dir := filepath.Join(out, i.Name)
	if err := os.RemoveAll(dir); err != nil {
		return p, err
	}
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return p, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, one := range i.Platforms {
		img, err := s.image(i, one)
		if err != nil {
			return p, fmt.Errorf("%s for %s: %w", i.Name, one.Arch, err)
		}
		// Written before it is asked for its digest again: each time means compressing it.
		if err := to.WriteImage(img); err != nil {
			return p, err
		}
		done, sbom, err := s.describe(i, one, img, out)
		if err != nil {
			return p, fmt.Errorf("%s for %s: %w", i.Name, one.Arch, err)
		}
		if i.MaxPull > 0 && done.Pull > i.MaxPull {
			return p, fmt.Errorf("%s for %s has %d bytes to pull, and may have %d", i.Name, one.Arch, done.Pull, i.MaxPull)
		}
		if err := to.AppendImage(sbom); err != nil {
			return p, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: one.Arch}},
		})
		p.Platforms = append(p.Platforms, done)
	}
	index = mutate.Annotations(index, s.labels(i)).(v1.ImageIndex)
	if p.Digest, err = index.Digest(); err != nil {
		return p, err
	}
	for _, tag := range s.Tags {
		if err := to.AppendIndex(index, layout.WithAnnotations(map[string]string{annotationName: tag})); err != nil {
			return p, err
		}
	}
	return p, nil
}

// image is the image for one platform.
func (s spec) image(i imageSpec, p platform) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	created := v1.Time{Time: s.Created.UTC()}
	var adds []mutate.Addendum
	for _, path := range p.Layers {
		l, err := tarball.LayerFromFile(path, tarball.WithCompressionLevel(gzip.DefaultCompression), tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
		if err != nil {
			return nil, err
		}
		adds = append(adds, mutate.Addendum{Layer: l, History: v1.History{Created: created, CreatedBy: "Dockerfile.agent"}})
	}
	img, err := mutate.Append(img, adds...)
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", p.Arch, created
	config.Config = p.Config
	config.Config.Labels = s.labels(i)
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, err
	}
	return mutate.Annotations(img, s.labels(i)).(v1.Image), nil
}

// describe writes the SBOM of an image, and returns what is told of the image and the
// manifest by which a registry attaches the one to the other (a referrer).
func (s spec) describe(i imageSpec, p platform, img v1.Image, out string) (packedPlatform, v1.Image, error) {
	done := packedPlatform{Platform: "linux/" + p.Arch}
	manifest, err := img.Manifest()
	if err != nil {
		return done, nil, err
	}
	done.Pull = manifest.Config.Size
	for _, l := range manifest.Layers {
		done.Pull += l.Size
	}
	for _, path := range p.Layers {
		info, err := os.Stat(path)
		if err != nil {
			return done, nil, err
		}
		done.Unpacked += info.Size()
	}
	if done.Digest, err = img.Digest(); err != nil {
		return done, nil, err
	}
	size, err := img.Size()
	if err != nil {
		return done, nil, err
	}
	doc, err := s.sbom(i, p, done.Digest)
	if err != nil {
		return done, nil, err
	}
	done.Packages = len(doc.Packages)
	var text bytes.Buffer
	if err := writeSBOM(doc, &text); err != nil {
		return done, nil, err
	}
	if err := os.WriteFile(filepath.Join(out, i.Name+"-"+p.Arch+".spdx.json"), text.Bytes(), 0o644); err != nil {
		return done, nil, err
	}
	sbom, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), static.NewLayer(text.Bytes(), mediaSBOM))
	if err != nil {
		return done, nil, err
	}
	// The configuration's type is what registries tell as the artifact's.
	sbom = mutate.ConfigMediaType(sbom, mediaSBOM)
	sbom = mutate.Subject(sbom, v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: done.Digest, Size: size}).(v1.Image)
	done.SBOM, err = sbom.Digest()
	return done, sbom, err
}
