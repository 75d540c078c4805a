//go:build unix

package usage

import (
	"context"
	"slices"

	"github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sys/unix"
)

// members lists the processes in the groups that leaders lead.
func members(ctx context.Context, leaders []int) []int32 {
	pids, err := process.PidsWithContext(ctx)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(pids, func(pid int32) bool {
		group, err := unix.Getpgid(int(pid))
		return err != nil || !slices.Contains(leaders, group)
	})
}
