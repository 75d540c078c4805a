//go:build linux || darwin

package fsx

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func free(dir string) (Space, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Statfs(dir, &st) }); err != nil {
		return Space{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	s := Space{Bytes: int64(st.Bavail) * int64(st.Bsize), Files: int64(st.Ffree), Block: int64(st.Bsize)}
	if st.Files == 0 { // btrfs and others make inodes as they are needed
		s.Files = -1
	}
	return s, nil
}
