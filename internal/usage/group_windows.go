package usage

import (
	"context"
	"slices"

	"github.com/shirou/gopsutil/v4/process"
)

// members lists the leaders and what they started, directly or not: Windows has
// no process groups that could be asked for their members.
func members(ctx context.Context, leaders []int) []int32 {
	pids, err := process.PidsWithContext(ctx)
	if err != nil {
		return nil
	}
	parents := map[int32]int32{}
	for _, pid := range pids {
		if parent, err := (&process.Process{Pid: pid}).PpidWithContext(ctx); err == nil {
			parents[pid] = parent
		}
	}
	return slices.DeleteFunc(pids, func(pid int32) bool {
		for range 64 { // parents may go in circles, as numbers are given out again
			if slices.Contains(leaders, int(pid)) {
				return false
			}
			parent, ok := parents[pid]
			if !ok || parent == pid {
				return true
			}
			pid = parent
		}
		return true
	})
}
