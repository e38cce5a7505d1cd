package stage

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// Those who are lied to meet what they can't trust, on connections that they have
// too; all others are served meanwhile, and they are when it is over.
func TestFront(t *testing.T) {
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := newFront(plain, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
	go server.Serve(f.listener())
	defer server.Close()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(f.pem())) {
		t.Fatal("no certificate")
	}
	client := func(from net.IP) *http.Client {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
		return &http.Client{Transport: &http.Transport{DialContext: d.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	}
	url := "https://" + plain.Addr().String()
	ask := func(c *http.Client) error {
		resp, err := c.Get(url)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		return err
	}
	one, other := client(net.IPv4(127, 0, 0, 2)), client(net.IPv4(127, 1, 0, 2))
	for name, tt := range map[string]struct {
		plain bool
		want  func(error) bool
	}{
		"certificate": {false, func(err error) bool { var u x509.UnknownAuthorityError; return errors.As(err, &u) }},
		"clear text":  {true, func(err error) bool { return err != nil }},
	} {
		t.Run(name, func(t *testing.T) {
			if err := errors.Join(ask(one), ask(other)); err != nil {
				t.Fatal(err)
			}
			mend, err := f.Lie("127.5.0.0/16,127.0.0.0/24", tt.plain)
			if err != nil {
				t.Fatal(err)
			}
			if err := ask(one); !tt.want(err) {
				t.Errorf("one who is lied to: %v", err)
			}
			if err := ask(other); err != nil {
				t.Errorf("another: %v", err)
			}
			mend()
			if err := ask(one); err != nil {
				t.Errorf("when it is over: %v", err)
			}
		})
	}
}
