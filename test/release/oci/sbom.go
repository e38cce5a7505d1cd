package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// dpkgStatus is Debian's list of what is installed.
const dpkgStatus = "var/lib/dpkg/status"

// sbom says what is in an image: Debian's packages, by dpkg's list, and the Go modules
// of each program, by what the Go command has written into it.
func (s spec) sbom(i imageSpec, p platform, digest v1.Hash) (*spdx.Document, error) {
	d := &document{seen: map[common.ElementID]bool{}, version: s.Version}
	d.Document = spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: i.Name + " " + s.Version + " linux/" + p.Arch, DocumentNamespace: s.Source + "/sbom/" + digest.Hex,
		CreationInfo: &spdx.CreationInfo{Created: s.Created.UTC().Format(time.RFC3339), Creators: []common.Creator{{CreatorType: "Tool", Creator: "onejob-release-" + s.Version}}},
	}
	image := d.add("image", i.Name, s.Version, "pkg:oci/"+i.Name+"@"+strings.ReplaceAll(digest.String(), ":", "%3A")+"?arch="+p.Arch)
	d.relate("DOCUMENT", "DESCRIBES", image)
	for _, layer := range p.Layers {
		if err := d.layer(layer, image); err != nil {
			return nil, fmt.Errorf("SBOM: %w", err)
		}
	}
	return &d.Document, nil
}

func writeSBOM(doc *spdx.Document, w io.Writer) error {
	return spdxjson.Write(doc, w, spdxjson.Indent(" "))
}

// document is one that grows.
type document struct {
	spdx.Document
	version string // of what has none of its own
	seen    map[common.ElementID]bool
}

// add adds a package, unless it is there, and returns its ID.
func (d *document) add(kind, name, version, purl string) common.ElementID {
	id := common.ElementID(fmt.Sprintf("%s-%x", kind, sha256.Sum256([]byte(purl)))[:len(kind)+17])
	if d.seen[id] {
		return id
	}
	d.seen[id] = true
	d.Packages = append(d.Packages, &spdx.Package{
		PackageName: name, PackageVersion: version, PackageSPDXIdentifier: id,
		PackageDownloadLocation: "NOASSERTION", PackageLicenseConcluded: "NOASSERTION", PackageLicenseDeclared: "NOASSERTION", PackageCopyrightText: "NOASSERTION",
		PackageExternalReferences: []*spdx.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: purl}},
	})
	return id
}

func (d *document) relate(a common.ElementID, how string, b common.ElementID) {
	d.Relationships = append(d.Relationships, &spdx.Relationship{
		RefA: common.MakeDocElementID("", string(a)), RefB: common.MakeDocElementID("", string(b)), Relationship: how,
	})
}

// layer adds what a layer brings.
func (d *document) layer(file string, image common.ElementID) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	archive := tar.NewReader(f)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		program := h.FileInfo().Mode().IsRegular() && h.Mode&0o111 != 0 && path.Dir(h.Name) == "usr/local/bin"
		switch {
		case h.Name == dpkgStatus:
			err = d.debian(archive, image)
		case program:
			err = d.program(h.Name, archive, image)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// debian adds the packages of a dpkg status file: stanzas of "Field: value" lines.
func (d *document) debian(r io.Reader, image common.ElementID) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	fields := map[string]string{}
	flush := func() {
		if strings.HasSuffix(fields["Status"], " installed") {
			purl := fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", fields["Package"], strings.ReplaceAll(fields["Version"], ":", "%3A"), fields["Architecture"])
			d.relate(image, "CONTAINS", d.add("deb", fields["Package"], fields["Version"], purl))
		}
		clear(fields)
	}
	for lines.Scan() {
		switch key, value, ok := strings.Cut(lines.Text(), ": "); {
		case lines.Text() == "":
			flush()
		case ok && !strings.HasPrefix(key, " "):
			fields[key] = value
		}
	}
	flush()
	return lines.Err()
}

// program adds a Go program and the modules that are linked into it. What the Go command
// didn't build is left out.
func (d *document) program(name string, r io.Reader, image common.ElementID) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(b))
	if err != nil {
		return nil //nolint:nilerr // a script
	}
	version := info.Main.Version
	if version == "" || version == "(devel)" { // this repository's own
		version = d.version
	}
	main := d.add("program", path.Base(name), version, golang(info.Path, version))
	d.relate(image, "CONTAINS", main)
	d.relate(main, "DEPENDS_ON", d.add("go", "stdlib", strings.TrimPrefix(info.GoVersion, "go"), golang("stdlib", strings.TrimPrefix(info.GoVersion, "go"))))
	deps := slices.SortedFunc(slices.Values(info.Deps), func(a, b *debug.Module) int { return strings.Compare(a.Path, b.Path) })
	for _, m := range deps {
		if m.Replace != nil {
			m = m.Replace
		}
		d.relate(main, "DEPENDS_ON", d.add("go", m.Path, m.Version, golang(m.Path, m.Version)))
	}
	return nil
}

func golang(path, version string) string {
	purl := "pkg:golang/" + path
	if version != "" {
		purl += "@" + strings.ReplaceAll(version, "+", "%2B")
	}
	return purl
}
