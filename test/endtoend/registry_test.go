package endtoend

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/test/cluster/image"
)

// registry serves the runner's image: first it refuses to, then, once it was told
// to hold, it lets each request wait until it is released.
type registry struct {
	tar      *os.File
	blobs    map[string]*io.SectionReader // by digest
	manifest string                       // its digest
	released chan struct{}

	mu      sync.Mutex
	holding bool
	release func() // once and for all
}

// late is the registry late.test.
var late *registry

func newRegistry(ctx context.Context, host string) (*registry, string, error) {
	name, err := image.Agent(ctx, image.Options{})
	if err != nil {
		return nil, "", err
	}
	r := &registry{blobs: map[string]*io.SectionReader{}, released: make(chan struct{})}
	r.release = sync.OnceFunc(func() { close(r.released) })
	if r.tar, err = os.Open(name); err != nil {
		return nil, "", err
	}
	if err := r.read(); err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, "", err
	}
	srv := &http.Server{Handler: r, ReadHeaderTimeout: time.Minute}
	go srv.Serve(listener) //nolint:errcheck // it ends with the process
	return r, listener.Addr().String(), nil
}

// read finds the blobs in the image's OCI layout.
func (r *registry) read() error {
	for files := tar.NewReader(r.tar); ; {
		h, err := files.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Name == "index.json" {
			var index struct {
				Manifests []struct{ Digest string }
			}
			if err := json.NewDecoder(files).Decode(&index); err != nil {
				return err
			}
			r.manifest = index.Manifests[0].Digest
		}
		if hex, ok := strings.CutPrefix(h.Name, "blobs/sha256/"); ok {
			at, err := r.tar.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			r.blobs["sha256:"+hex] = io.NewSectionReader(r.tar, at, h.Size)
		}
	}
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	holding := r.holding
	r.mu.Unlock()
	if !holding {
		http.Error(w, "not yet", http.StatusServiceUnavailable)
		return
	}
	select {
	case <-r.released:
	case <-req.Context().Done():
		return
	}
	digest := path.Base(req.URL.Path)
	w.Header().Set("Content-Type", "application/octet-stream")
	if path.Base(path.Dir(req.URL.Path)) == "manifests" {
		digest = r.manifest
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", digest)
	}
	blob := r.blobs[digest]
	if blob == nil {
		http.NotFound(w, req)
		return
	}
	http.ServeContent(w, req, "", time.Time{}, io.NewSectionReader(blob, 0, blob.Size()))
}

func (r *registry) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holding = true
}
