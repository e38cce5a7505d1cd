package sandbox

// The owner and init speak JSON, one object a line, over a Unix socket pair.
// Both ends are built from this package in one go, so there is no version.

// request goes from the owner to init. Each has one reply with the same Seq.
type request struct {
	Seq    int64    `json:"seq"`
	Start  *Command `json:"start,omitempty"`
	Signal int      `json:"signal,omitempty"`
	Pid    int      `json:"pid,omitempty"` // of Signal, as the sandbox counts
}

// event goes from init to the owner: a reply (Seq set) or a process's end.
type event struct {
	Seq    int64  `json:"seq,omitempty"`
	Err    string `json:"err,omitempty"`
	Pid    int    `json:"pid,omitempty"`
	Exited bool   `json:"exited,omitempty"`
	Status int    `json:"status,omitempty"` // exit code, or 128 + signal
}

// report is what the keeper tells the owner once, when the sandbox stands or
// can't be made.
type report struct {
	Err  string `json:"err,omitempty"`
	Slot int    `json:"slot"`
	Dir  string `json:"dir"`
}

// Descriptors that are handed down, numbered as os/exec's ExtraFiles are.
const (
	socketFD = 3 // owner -> keeper -> init: the socket
	reportFD = 4 // owner -> keeper: where the report goes
	lockFD   = 4 // keeper -> init: the slot's lock, so that it outlives neither
)
