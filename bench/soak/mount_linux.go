package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mountSmall mounts a file system of so many bytes in memory.
func mountSmall(dir string, size int64) error {
	return unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size))
}

func unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }
