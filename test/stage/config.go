package stage

import "fmt"

// QueueConfig is what a user writes for Options.Config: one queue, jobs in the
// image that was built here, with small requests, and a TTL.
func QueueConfig(maxInFlight, ttlSeconds int) string {
	return fmt.Sprintf(`queues:
- name: default
  max-in-flight: %d
  template:
    inline:
      apiVersion: batch/v1
      kind: Job
      spec:
        ttlSecondsAfterFinished: %d
        template:
          spec:
            terminationGracePeriodSeconds: 30
            containers:
            - name: agent
              image: localhost/onejob-agent:dev
              imagePullPolicy: Never
              resources: {requests: {cpu: 10m, memory: 32Mi}}
`, maxInFlight, ttlSeconds)
}
