// Package containerd2 has onejob on nodes with containerd 2 and a new runc, which the test
// cluster builds itself (cluster.Config.Containerd2): what Debian's can't do.
//
//	a step's own image, programs by an image volume, and copied   TestPrograms
//	root in a job's container is nobody on the node               TestUsersOfItsOwn
//
// It takes a cluster of its own and a build of minutes, so that its tests have a build tag
// and make test only vets them: make test-containerd2. What Debian's runtime says of both is in test/endtoend.
package containerd2
