//go:build unix

package storage

import (
	"io/fs"
	"syscall"
)

// inode gives the file number and the number of hard links.
func inode(info fs.FileInfo) (ino, links uint64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Ino), uint64(st.Nlink)
	}
	return 0, 1
}
