package stage

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TrustFront goes to the end of a QueueConfig whose endpoint is behind TLS: the
// runner trusts the certificate that install puts beside the configuration.
const TrustFront = `              env: [{name: SSL_CERT_FILE, value: /etc/front/ca.pem}]
              volumeMounts: [{name: front, mountPath: /etc/front, readOnly: true}]
            volumes: [{name: front, configMap: {name: onejob, items: [{key: ca.pem, path: ca.pem}]}}]
`

// Front is what terminates TLS before the simulator, with a certificate that pods
// are told to trust. Some of them can be made to meet something else.
type Front struct {
	net.Listener   // of plain TCP
	trusted, other tls.Certificate

	mu    sync.Mutex
	lies  map[*lie]bool
	conns map[*frontConn]bool
}

// lie is what clients from some addresses meet.
type lie struct {
	to    []netip.Prefix
	plain bool // HTTP in clear text, as a captive portal's; else a certificate that nobody trusts
}

func newFront(l net.Listener, address string) (*Front, error) {
	f := &Front{Listener: l, lies: map[*lie]bool{}, conns: map[*frontConn]bool{}}
	var err error
	if f.trusted, err = certificate(address); err == nil {
		f.other, err = certificate(address)
	}
	return f, err
}

// certificate makes one that signs itself.
func certificate(address string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.ParseIP(address)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func (f *Front) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.trusted.Certificate[0]}))
}

// listener speaks TLS, and HTTP/1.1 alone in it: faults tear connections.
func (f *Front) listener() net.Listener {
	return tls.NewListener(f, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if l := f.lieTo(hello.Conn.RemoteAddr()); l != nil {
				return &f.other, nil
			}
			return &f.trusted, nil
		},
	})
}

// Lie has clients from some addresses (as Cluster.Cut takes them) meet a certificate that they don't trust, or HTTP in clear text, and
// tears the connections that they have. It returns what ends it.
func (f *Front) Lie(to string, plain bool) (mend func(), err error) {
	l := &lie{plain: plain}
	for part := range strings.SplitSeq(to, ",") {
		address, err := netip.ParseAddr(part)
		prefix := netip.PrefixFrom(address, address.BitLen())
		if err != nil {
			if prefix, err = netip.ParsePrefix(part); err != nil {
				return nil, err
			}
		}
		l.to = append(l.to, prefix)
	}
	f.mu.Lock()
	f.lies[l] = true
	open := maps.Clone(f.conns)
	f.mu.Unlock()
	for c := range open {
		if l.concerns(c.RemoteAddr()) {
			_ = c.Close()
		}
	}
	return func() { f.mu.Lock(); defer f.mu.Unlock(); delete(f.lies, l) }, nil
}

func (l *lie) concerns(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && slices.ContainsFunc(l.to, func(p netip.Prefix) bool { return p.Contains(tcp.AddrPort().Addr().Unmap()) })
}

func (f *Front) lieTo(a net.Addr) *lie {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.lies {
		if l.concerns(a) {
			return l
		}
	}
	return nil
}

// Accept returns connections of those who aren't answered in clear text.
func (f *Front) Accept() (net.Conn, error) {
	for {
		c, err := f.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l := f.lieTo(c.RemoteAddr()); l != nil && l.plain {
			go func() {
				_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html>Accept our terms</html>"))
				_ = c.Close()
			}()
			continue
		}
		fc := &frontConn{c, f}
		f.mu.Lock()
		f.conns[fc] = true
		f.mu.Unlock()
		return fc, nil
	}
}

type frontConn struct {
	net.Conn
	front *Front
}

func (c *frontConn) Close() error {
	c.front.mu.Lock()
	delete(c.front.conns, c)
	c.front.mu.Unlock()
	return c.Conn.Close()
}

// trustFront has the scheduler trust the certificate beside its configuration.
func trustFront(d *unstructured.Unstructured) error {
	containers, _, err := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return err
	}
	c := containers[0].(map[string]any)
	env, _ := c["env"].([]any)
	c["env"] = append(env, map[string]any{"name": "SSL_CERT_FILE", "value": "/etc/onejob/ca.pem"})
	return unstructured.SetNestedSlice(d.Object, containers, "spec", "template", "spec", "containers")
}
