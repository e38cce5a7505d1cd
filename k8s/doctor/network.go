package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/onejob-dev/onejob/contract"
)

// endpoint asks whether Buildkite's API is reached from here at all, and by which proxy.
func (p *Patient) endpoint(ctx context.Context) []Finding {
	f := about("endpoint", p.Config.Endpoint)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Config.Endpoint, nil)
	if err != nil {
		return []Finding{f.not(Fail, err.Error(), "set endpoint in the configuration to Buildkite's, or leave it out")}
	}
	through, proxyErr := http.ProxyFromEnvironment(req)
	if proxyErr != nil {
		return []Finding{f.not(Fail, contract.Sentence(proxyErr.Error()), "set HTTPS_PROXY to the URL of the proxy, such as http://proxy:3128")}
	}
	resp, err := (&http.Client{Transport: p.transport, CheckRedirect: stay}).Do(req)
	if err != nil {
		return []Finding{f.not(Fail, contract.Sentence(err.Error())+by(through), fixOf(err))}
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	return []Finding{f.ok("it answers" + by(through) + certificate(resp.TLS))}
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// by names the proxy, without its password.
func by(through *url.URL) string {
	if through == nil {
		return ", without a proxy"
	}
	return ", through the proxy " + through.Redacted()
}

// certificate says who vouches for the other side: a company's proxy that reads along
// shows here.
func certificate(state *tls.ConnectionState) string {
	if state == nil || len(state.PeerCertificates) == 0 {
		return ", without TLS"
	}
	return fmt.Sprintf(", its certificate is from %s", contract.Word(state.PeerCertificates[0].Issuer.String()))
}

// fixOf says what to do about a request that got no answer.
func fixOf(err error) string {
	var (
		certificate *tls.CertificateVerificationError
		dns         *net.DNSError
		op          *net.OpError
	)
	switch {
	case errors.As(err, &certificate):
		return "if a proxy of your own ends TLS, give its CA: caBundle in the chart's values, or SSL_CERT_FILE; else check this machine's clock"
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return "check HTTPS_PROXY, and that the proxy lets this host through"
	case errors.As(err, &dns):
		return "check the name in endpoint, and that DNS is allowed by the namespace's NetworkPolicy"
	}
	return "allow HTTPS to this host in firewalls and NetworkPolicies, or set HTTPS_PROXY"
}

// proxy asks whether requests to the API server leave by a proxy, which breaks watches
// and is never meant.
func (p *Patient) proxy(context.Context) []Finding {
	f := about("proxy", "the API server")
	proxyOf := p.REST.Proxy
	if proxyOf == nil {
		proxyOf = http.ProxyFromEnvironment
	}
	target, err := url.Parse(p.REST.Host)
	if err != nil {
		return []Finding{f.not(Skip, contract.Sentence(err.Error()), "")}
	}
	through, err := proxyOf(&http.Request{URL: target})
	switch {
	case err != nil:
		return []Finding{f.not(Fail, contract.Sentence(err.Error()), "set HTTPS_PROXY to the URL of the proxy")}
	case through != nil:
		return []Finding{f.not(Warn, "requests to "+target.Host+" go through the proxy "+through.Redacted(), "add "+target.Hostname()+" to NO_PROXY, unless the cluster is reached by this proxy alone")}
	}
	return []Finding{f.ok("requests go to it directly")}
}
