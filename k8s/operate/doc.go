// Package operate is what people's commands do: reacquire and cancel a job,
// explain it, list all. It looks at the cluster itself, and needs no scheduler.
package operate
