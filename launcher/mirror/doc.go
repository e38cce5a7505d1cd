// Package mirror repairs git mirrors on a volume that outlives its pods.
//
//	one pod                       killed in the middle         the next pod
//	flock NAME.clonelockf     ->  ended by the kernel
//	git's refs/heads/x.lock   ->  stays, and no git can    ->  onejob-step mirror removes it,
//	                              fetch that branch again      and starts the bootstrap
//
// The stock agent keeps its jobs out of each other's way with flock, a lock that ends with
// its process. Git's own locks are files, which a git that is killed leaves behind. Each
// later fetch then fails with "File exists", in every pod of the volume, until somebody
// removes the file.
package mirror
