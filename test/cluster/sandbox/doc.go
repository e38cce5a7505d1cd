// Package sandbox runs daemons in Linux namespaces of their own, and makes
// sure that nothing of them outlives the process that asked for them.
//
// Killing what one started is a promise that a process can't keep once it is
// itself killed with SIGKILL. The kernel can: when process 1 of a PID namespace
// ends, it kills every other process in it, and mounts, network interfaces and
// IPC objects vanish with the last process of their namespaces. So all that is
// left to do is to end process 1 when the owner ends, whichever way.
//
//	owner (a test, a command)
//	  │ socket ─────────────────────────────┐
//	  ▼                                     ▼
//	keeper ── clone(PID, mount, net, IPC) ─▶ init, process 1 of the sandbox
//	  locks a slot, makes cgroups,            starts, signals and reaps daemons;
//	  a veth pair and a directory;            exits when the socket closes, and
//	  removes them when init has ended        the kernel ends all the rest
//
// A keeper that is killed takes init along (PR_SET_PDEATHSIG); its cgroups and
// its directory are then swept by the next keeper, which finds the slot's lock
// free.
//
// Machine-wide settings stay as they are: in the sandbox, files lie over the
// sysctls that a kubelet sets, and a tmpfs over the directories that container
// runtimes write to by fixed paths.
package sandbox
