package runner_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// page is a fault in which something on the way answers with a page of its own.
func page(endpoint string, status, times int) simulator.Fault {
	return simulator.Fault{Endpoint: endpoint, Status: status, Times: times, Body: "<html>Accept our terms</html>", Header: map[string]string{"Content-Type": "text/html"}}
}

// foreignSequences are about answers that aren't Buildkite's.
func foreignSequences() []sequence {
	const ran = "register connect acquire start finish disconnect"
	list := []sequence{
		{
			name: "hb-408", command: "sleep 3", faults: one(simulator.Fault{Endpoint: "heartbeat", Status: 408, Times: 1}), drop: []string{"chunks"},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start heartbeat:408 finish disconnect", job: "0//", stock: unrecorded,
		},
		{
			name: "hb-page", command: "sleep 3", faults: one(page("heartbeat", 404, 0)), drop: []string{"chunks", "heartbeat"},
			outcome: contract.OutcomeFinished, calls: ran, job: "0//", stock: unrecorded,
			check: func(l *lab, _ string, m contract.Message) {
				if l.Count("heartbeat", 404) == 0 || m.SessionLost {
					l.Errorf("%d heartbeats met the page; message %+v", l.Count("heartbeat", 404), m)
				}
			},
		},
		{
			name: "state-page", command: "sleep 3", faults: one(page("job_state", 401, 0)), drop: []string{"chunks", "job_state"},
			outcome: contract.OutcomeFinished, calls: ran, job: "0//", stock: unrecorded,
		},
		{
			name: "finish-page-403", faults: one(page("finish", 403, 2)), drop: []string{"chunks"},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start finish:403*2 finish disconnect", job: "0//", stock: unrecorded,
		},
		{
			// Its reply is lost, and a sign-in page is all that answers since: that
			// doesn't show that Buildkite has it.
			name: "finish-lost-sign-in", flags: []string{"--cancel-grace-period=6", "--signal-grace-period-seconds=2"},
			faults: func() []simulator.Fault {
				return []simulator.Fault{{Endpoint: "finish", Reset: "after", Times: 1}}
			},
			act: func(l *lab, p *process, _ string) {
				l.awaitFault("fault-1")
				all := l.AddFault(page("*", 401, 0))
				l.awaitFault(all)
				p.signal(syscall.SIGTERM)
			},
			drop: []string{"chunks", "finish", "heartbeat", "job_state", "stop", "disconnect"},
			exit: contract.ExitNotRun, outcome: contract.OutcomeUndelivered, calls: "register connect acquire start", job: "0//", stock: unrecorded,
		},
	}
	for _, status := range []int{200, 302, 403} {
		shown := map[int]string{200: "", 302: ":302", 403: ":403"}[status]
		for _, call := range []string{"register", "connect", "acquire"} {
			calls := strings.Replace(ran, call, strings.TrimSuffix(call+shown+" "+call, " "), 1)
			if status == 200 {
				calls = strings.Replace(ran, call, call+"*2", 1)
			}
			list = append(list, sequence{
				name: call + "-portal" + shown, faults: one(page(call, status, 1)), oursFlags: quick, drop: []string{"chunks"},
				outcome: contract.OutcomeFinished, calls: calls, job: "0//", stock: unrecorded,
			})
		}
	}
	return list
}

// TestCertificateChangesUnderWay has a certificate that nobody trusts for a few
// seconds while a job runs, as a wrong load balancer does: the job goes on.
func TestCertificateChangesUnderWay(t *testing.T) {
	t.Parallel()
	var wrong atomic.Bool
	var shown atomic.Int64
	other := &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}}
	var server *httptest.Server
	l := serve(t, simulator.Config{}, func(s *httptest.Server) {
		server = s
		s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if wrong.Load() {
				shown.Add(1)
				return other, nil
			}
			return nil, nil
		}}
		s.StartTLS()
	})
	ca := l.write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})), 0o644)
	id := l.command("echo begun; while ! [ -e " + filepath.Join(l.dir, "over") + " ]; do sleep 0.1; done")
	cmd := l.oursCommand(id)
	cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+ca)
	p := l.start(cmd)
	begun(l, id)
	wrong.Store(true)
	server.CloseClientConnections()
	l.await("heartbeats that meet the wrong certificate", func() bool {
		return shown.Load() > 1 && strings.Contains(p.output(), "x509") && strings.Contains(p.output(), "heartbeat")
	})
	time.Sleep(2 * time.Second)
	wrong.Store(false)
	l.write("over", "", 0o644)
	p.wantExit(contract.ExitOK)
	if m := p.wantOutcome(contract.OutcomeFinished); m.SessionLost {
		t.Errorf("message %+v", m)
	}
	l.wantJob(id, "0", "", "")
	l.wantSettled(id)
}

// selfSigned makes a certificate for the address of test servers.
func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestSessionLostIsTold: the message of a job that was stopped because Buildkite
// ended the session says so.
func TestSessionLostIsTold(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	id := l.command(long)
	p := l.ours(id)
	begun(l, id)
	l.AddFault(simulator.Fault{Endpoint: "heartbeat", Status: 410, Body: `{"message":"No agent found"}`})
	m := p.wantOutcome(contract.OutcomeFinished)
	if !m.SessionLost || !strings.Contains(m.Reason, "No agent found") || len(m.Reason) > 190 { // a notification's 256, with the scheduler's share
		t.Errorf("message %+v, want it to say why", m)
	}
	if b, err := os.ReadFile(filepath.Join(p.dir, "message")); err != nil || !strings.Contains(string(b), `"session_lost":true`) {
		t.Errorf("%s, %v", b, err)
	}
	l.wantJob(id, "-1", "SIGTERM", "agent_stop")
}
