package jobrun

import (
	"fmt"
	"os"

	"github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/onejob-dev/onejob/launcher"
)

// verificationKeys reads the key set that job signatures are verified with; nil
// if there is none.
func verificationKeys(o launcher.Options) (any, error) {
	if o.VerificationJWKSFile == "" {
		return nil, nil
	}
	return keySet("verification-jwks-file", o.VerificationJWKSFile)
}

// keySet reads a key set that the agent can use: one that isn't empty, and
// whose keys all name their algorithm.
func keySet(option, path string) (jwk.Set, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", option, err)
	}
	set, err := jwk.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %s is not a JSON Web Key Set: %w", option, path, err)
	}
	if set.Len() == 0 {
		return nil, fmt.Errorf("%s: %s has no keys", option, path)
	}
	for i := range set.Len() {
		key, _ := set.Key(i)
		if _, ok := key.Algorithm(); !ok {
			return nil, fmt.Errorf(`%s: key %d of %s has no algorithm ("alg"), which the agent needs`, option, i, path)
		}
	}
	return set, nil
}
