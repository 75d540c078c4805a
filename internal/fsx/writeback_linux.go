package fsx

import (
	"os"

	"golang.org/x/sys/unix"
)

// StartFlush begins to write a part of a file to the disk, so that a flush later
// has less to wait for. It promises nothing.
func StartFlush(f *os.File, offset, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, n, unix.SYNC_FILE_RANGE_WRITE)
}
