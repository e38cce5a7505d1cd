// Command hunter is what the security test runs as a job: it looks for the
// secrets that HUNT_SECRETS holds, backwards, and asks the API server and the
// kubelet for what a job has no business with.
package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/test/hunt"
)

func main() {
	var secrets []string
	for _, s := range strings.Fields(os.Getenv("HUNT_SECRETS")) {
		secrets = append(secrets, hunt.Backwards(s))
	}
	if err := hunt.Run(os.Stdout, secrets, time.Time{}, "/builds", "/home", "/var", "/etc", "/dev", "/onejob"); err != nil {
		fmt.Println("hunt:", err)
		os.Exit(1)
	}
	credentials := map[string]string{"nobody": ""}
	for _, env := range os.Environ() {
		if name, value, _ := strings.Cut(env, "="); strings.Contains(name, "TOKEN") {
			credentials[name] = value
		}
	}
	// What Kubernetes mounts for pods with an account.
	_ = filepath.WalkDir("/var/run/secrets", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			b, _ := os.ReadFile(path)
			credentials[path] = string(b)
			fmt.Println("MOUNTED", path)
		}
		return nil
	})
	api := os.Getenv("HUNT_API_SERVER")
	namespace := api + "/api/v1/namespaces/onejob"
	urls := []string{
		namespace + "/secrets", namespace + "/secrets/onejob-agent-token", namespace + "/pods", namespace + "/configmaps/onejob",
		namespace + "/serviceaccounts", api + "/apis/batch/v1/namespaces/onejob/jobs", api + "/api/v1/nodes",
		"https://" + net.JoinHostPort(os.Getenv("HUNT_NODE"), "10250") + "/pods",
		"https://" + net.JoinHostPort(os.Getenv("HUNT_NODE"), "10250") + "/metrics",
	}
	for _, url := range urls {
		for who, token := range credentials {
			fmt.Println("asked as", who, ask(url, token), url)
		}
	}
}

// ask returns an answer's status, or why there was none.
func ask(url, token string) string {
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // nothing is sent that could be stolen
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	}
	resp, err := client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return fmt.Sprint(resp.StatusCode)
}
