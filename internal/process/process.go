// Package process is what ctrx asks the operating system about other processes
// of this machine: whether one still lives, and to end those that a dead one
// left behind.
package process

import "os"

// ID names a process for as long as the machine runs. A process id alone is
// given out again after its process has ended.
type ID struct {
	PID   int    `json:"pid"`
	Start string `json:"start,omitempty"` // when it began, in a form of the system; "" where that is unknown
	Boot  string `json:"boot,omitempty"`  // which start of the machine; "" where that is unknown
	Host  string `json:"host,omitempty"`
}

// Self names the calling process.
func Self() ID { return Of(os.Getpid()) }

// Of names the process that has this id now.
func Of(pid int) ID {
	host, _ := os.Hostname()
	return ID{PID: pid, Start: startOf(pid), Boot: bootID(), Host: host}
}

// Here tells whether the process is one of this machine, so that it can be
// asked about.
func (id ID) Here() bool {
	host, _ := os.Hostname()
	return id.Host == "" || id.Host == host
}

// Alive tells whether the process still runs. About one of another machine that
// is not known, and it counts as alive.
func (id ID) Alive() bool {
	if !id.Here() {
		return true
	}
	if id.Boot != "" && id.Boot != bootID() {
		return false
	}
	return Alive(id.PID) && (id.Start == "" || id.Start == startOf(id.PID))
}
