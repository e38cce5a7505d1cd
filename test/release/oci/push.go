package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// serve starts a registry on this machine, which forgets everything when it stops.
func serve() (address string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))}
	go func() { _ = srv.Serve(l) }()
	return l.Addr().String(), func() { _ = srv.Close() }, nil
}

// push pushes the layout in dir, all tags of it and its SBOMs, to the registry and looks
// at what has arrived. Credentials are those that docker login and its like have stored.
func push(ctx context.Context, dir, to string, p packed) error {
	var plain []name.Option
	if strings.HasPrefix(to, "127.0.0.1:") {
		plain = append(plain, name.Insecure)
	}
	repository, err := name.NewRepository(to+"/"+p.Name, plain...)
	if err != nil {
		return err
	}
	from, err := layout.FromPath(dir)
	if err != nil {
		return err
	}
	root, err := from.ImageIndex()
	if err != nil {
		return err
	}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	index, err := root.ImageIndex(p.Digest)
	if err != nil {
		return err
	}
	for _, tag := range p.Tags {
		if err := remote.WriteIndex(repository.Tag(tag), index, options...); err != nil {
			return fmt.Errorf("pushing %s: %w", repository.Tag(tag), err)
		}
	}
	for _, one := range p.Platforms {
		sbom, err := root.Image(one.SBOM)
		if err != nil {
			return err
		}
		if err := remote.Write(repository.Digest(one.SBOM.String()), sbom, options...); err != nil {
			return fmt.Errorf("pushing the SBOM of %s: %w", one.Platform, err)
		}
	}
	return arrived(repository, p, options)
}

// arrived pulls each tag, and compares.
func arrived(repository name.Repository, p packed, options []remote.Option) error {
	for _, tag := range p.Tags {
		got, err := remote.Index(repository.Tag(tag), options...)
		if err != nil {
			return err
		}
		digest, err := got.Digest()
		if err != nil {
			return err
		}
		if digest != p.Digest {
			return fmt.Errorf("%s is %s there, and %s here", repository.Tag(tag), digest, p.Digest)
		}
		if err := validate.Index(got, validate.Fast); err != nil {
			return fmt.Errorf("%s: %w", repository.Tag(tag), err)
		}
	}
	for _, one := range p.Platforms {
		referrers, err := remote.Referrers(repository.Digest(one.Digest.String()), options...)
		if err != nil {
			return err
		}
		if !has(referrers, one.SBOM) {
			return fmt.Errorf("%s has no SBOM in %s", one.Platform, repository)
		}
	}
	return nil
}

func has(index v1.ImageIndex, digest v1.Hash) bool {
	m, err := index.IndexManifest()
	if err != nil {
		return false
	}
	for _, d := range m.Manifests {
		if d.Digest == digest {
			return true
		}
	}
	return false
}
