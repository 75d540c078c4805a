package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// startOf reads when a process began, in clock ticks since the machine started.
func startOf(pid int) string {
	fields := stat(pid)
	if len(fields) < 20 {
		return ""
	}
	return fields[19] // field 22; the list begins with field 3
}

// stat gives the fields of /proc/PID/stat behind the name of the program, from
// the third on.
func stat(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	i := bytes.LastIndexByte(data, ')')
	if i < 0 {
		return nil
	}
	return strings.Fields(string(data[i+1:]))
}

// zombie tells whether a process has ended and only waits to be asked for its
// exit code.
func zombie(pid int) bool {
	fields := stat(pid)
	return len(fields) > 0 && fields[0] == "Z"
}

func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// all lists the ids of all processes.
func all() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil
	}
	var pids []int
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
