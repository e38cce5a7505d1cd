package contract

import (
	"strings"
	"testing"
)

func TestCheckEndpoint(t *testing.T) {
	for in, says := range map[string]string{
		"https://agent.buildkite.com/v3": "",
		"http://[::1]:8080/v3":           "",
		"http://buildkite.test":          "",
		"":                               "no http or https scheme",
		"buildkite":                      "no http or https scheme",
		"ftp://x/v3":                     "no http or https scheme",
		"http:///v3":                     "no host",
		"http://:80/v3":                  "no host",
		"http://x:0/v3":                  "port",
		"http://x:65536/v3":              "port",
		"http://x:y/v3":                  "is not a URL",
		"http://x/v3?a=b":                "query",
		"http://x/v3#a":                  "fragment",
		"https://ci:hunter2@x/v3":        "user name or password",
		"https://ci:hunter2%zz@x/v3":     "is not a URL",
		"https://ci:hunter2":             "is not a URL",
		"https://ci:hunter2\n@x/v3":      "is not a URL",
		"https:/ci:hunter2@x/v3":         "no host",
		"https:ci:hunter2@x/v3":          "no host",
		"ci:hunter2@x/v3":                "no http or https scheme",
		"http://x/v3?token=hunter2":      "query",
	} {
		err := CheckEndpoint(in)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("CheckEndpoint(%q) = %v, want an error that says %q", in, err, says)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a password is told: %v", err)
		}
	}
}
