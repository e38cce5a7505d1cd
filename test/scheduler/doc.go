// Package scheduler has the tests of `onejob schedule` as a process on a real
// control plane: several of them at a time, and outages on either side in the
// middle of a burst. Players report for kubelets and runners, see
// test/rehearsal.
package scheduler
