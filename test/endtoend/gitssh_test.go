package endtoend

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/test/fixture"
)

// serveSSH serves the repositories by ssh to whoever has the key in the Secret git-ssh,
// which has the server's, too, by the names of the stock agent's image. It returns the
// address of one.
func serveSSH(t *testing.T, ctx context.Context) (url string) {
	t.Helper()
	_, host, err1 := ed25519.GenerateKey(rand.Reader)
	_, user, err2 := ed25519.GenerateKey(rand.Reader)
	hostSigner, err3 := ssh.NewSignerFromKey(host)
	userSigner, err4 := ssh.NewSignerFromKey(user)
	key, err5 := ssh.MarshalPrivateKey(user, "")
	l, err6 := net.Listen("tcp", net.JoinHostPort(on.Cluster.HostAddress, "0"))
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	conf := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(k.Marshal(), userSigner.PublicKey().Marshal()) {
			return nil, errors.New("another's key")
		}
		return nil, nil
	}}
	conf.AddHostKey(hostSigner)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveSSHConn(ctx, c, conf)
		}
	}()
	at, port, _ := net.SplitHostPort(l.Addr().String())
	_, err := on.Cluster.Client().CoreV1().Secrets(fixture.Namespace).Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "git-ssh"},
		StringData: map[string]string{
			"SSH_PRIVATE_ED25519_KEY": strings.TrimSpace(string(pem.EncodeToMemory(key))),
			"SSH_KNOWN_HOSTS":         "[" + at + "]:" + port + " " + string(ssh.MarshalAuthorizedKey(hostSigner.PublicKey())),
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return "ssh://git@" + l.Addr().String() + "/lib.git"
}

// serveSSHConn runs what one client asks for, if it is a fetch.
func serveSSHConn(ctx context.Context, c net.Conn, conf *ssh.ServerConfig) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return // ssh-keyscan wants no more than the key
	}
	go ssh.DiscardRequests(requests)
	for ch := range channels {
		channel, asked, err := ch.Accept()
		if err != nil {
			return
		}
		for r := range asked {
			var payload struct{ Command string }
			if r.Type != "exec" || ssh.Unmarshal(r.Payload, &payload) != nil {
				r.Reply(r.Type == "env", nil)
				continue
			}
			r.Reply(true, nil)
			repo := strings.Trim(strings.TrimPrefix(payload.Command, "git-upload-pack "), "'/")
			cmd := exec.CommandContext(ctx, "git-upload-pack", filepath.Join(served, filepath.Base(repo)))
			cmd.Stdin, cmd.Stdout, cmd.Stderr = channel, channel, channel.Stderr()
			cmd.WaitDelay = time.Second // a client that doesn't end its part
			status := struct{ Status uint32 }{}
			if cmd.Run() != nil {
				status.Status = 1
			}
			channel.SendRequest("exit-status", false, ssh.Marshal(&status))
			channel.Close()
		}
	}
}
