package simulator

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
)

// Limits of https://buildkite.com/docs/platform/limits and of the matrix. The limits of jobs
// and uploads don't apply to the pipeline of CreateBuild, because tests may need more jobs.
const (
	maxJobsPerUpload    = 500
	maxUploadsPerBuild  = 500
	maxJobsPerBuild     = 4000
	maxMatrixJobs       = 50
	maxMatrixDimensions = 6
	maxMatrixElements   = 25
	maxAdjustments      = 12
	maxArtifactsPerJob  = 5000
	maxAnnotation       = 1 << 20
	maxMetaData         = 100 << 10
	maxOIDCLifetime     = 2 * 60 * 60 // seconds
	maxSecret           = 32 << 10
	maxLog              = 1 << 30 // its uncompressed bytes
	maxArtifact         = 10 << 30
	maxArtifactCalls    = 600 // a minute, create and update together
)

// tooLarge is the answer to a text of size bytes, nil if size is within limit.
func tooLarge(what string, size, limit int) *reply {
	if size <= limit {
		return nil
	}
	return failure(http.StatusUnprocessableEntity, fmt.Sprintf("%s is too large (%d bytes, maximum is %d)", what, size, limit))
}

// CheckSecrets returns an error that names the secrets that Buildkite wouldn't take, because
// they are too large.
func CheckSecrets(secrets map[string]string) error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(secrets)) {
		if n := len(secrets[key]); n > maxSecret {
			errs = append(errs, fmt.Errorf("the secret %s is too large (%d bytes, maximum is %d)", key, n, maxSecret))
		}
	}
	return errors.Join(errs...)
}

// artifactLimited answers a call that is one too many in a minute, nil if it isn't.
func (s *Simulator) artifactLimited(c *call) *reply {
	if s.conf.RateLimits.Disabled {
		return nil
	}
	_, allowed, left := s.artifactCalls.take(c.now, maxArtifactCalls, false)
	if allowed {
		return nil
	}
	return failure(http.StatusTooManyRequests, tooManyCalls(int(math.Ceil(left.Seconds()))))
}

// checkUpload refuses an upload that makes a build too large.
func (b *build) checkUpload(plans []plan) error {
	more, jobs := 0, 0
	for i := range plans {
		more += len(plans[i].variants)
	}
	for _, n := range b.nodes {
		jobs += len(n.jobs)
	}
	switch {
	case more > maxJobsPerUpload:
		return fmt.Errorf("the number of jobs in this upload (%d) exceeds the limit of %d", more, maxJobsPerUpload)
	case b.uploads >= maxUploadsPerBuild:
		return fmt.Errorf("this build has reached its limit of %d pipeline uploads", maxUploadsPerBuild)
	case jobs+more > maxJobsPerBuild:
		return fmt.Errorf("the number of jobs in this build (%d) exceeds the limit of %d", jobs+more, maxJobsPerBuild)
	}
	b.uploads++
	return nil
}
