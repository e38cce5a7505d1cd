// Package operate has people's commands: reacquire, cancel, explain and list. It reads
// the cluster itself and needs no scheduler.
package operate
