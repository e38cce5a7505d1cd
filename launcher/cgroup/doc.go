// Package cgroup reads what this container has used from the kernel's own count: its
// cgroup, of version 2 or 1, as the container sees it.
//
//	/proc/self/cgroup   the path, which the container's view of the tree may not have
//	/sys/fs/cgroup      version 2: all controllers in one folder
//	/sys/fs/cgroup/*    version 1: a tree for each controller
//
// The pod's volumes on the node's disk (disk.go) no cgroup counts, so they are walked through,
// for a quarter of a second at the most.
//
// A container's cgroup is as old as the container, so its counts are the container's.
// Whatever can't be read is left out: no number is better than a guess.
package cgroup
