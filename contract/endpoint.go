package contract

import (
	"fmt"
	"net/url"
	"strconv"
)

// CheckEndpoint says what is wrong with the base URL of Buildkite's Agent API and
// Stacks API. The runner refuses to start with a bad one (ExitConfig), so the
// scheduler's configuration must not have it. The error doesn't quote the URL, because
// a part of a broken URL may be a password.
func CheckEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	wrong := ""
	switch {
	case err != nil:
		wrong = "is not a URL"
	case u.User != nil:
		wrong = "has a user name or password in it"
	case u.Scheme != "https" && u.Scheme != "http":
		wrong = "has no http or https scheme"
	case u.Hostname() == "":
		wrong = "has no host"
	case u.Port() != "" && !validPort(u.Port()):
		wrong = "has a port that isn't between 1 and 65535"
	case u.RawQuery != "" || u.Fragment != "":
		wrong = "has a query or a fragment"
	default:
		return nil
	}
	return fmt.Errorf("it %s; %s", wrong, endpointHint)
}

const endpointHint = "it is the base URL of the Agent API, such as https://agent.buildkite.com/v3"

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
