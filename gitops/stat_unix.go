//go:build unix

package gitops

import (
	"io/fs"
	"syscall"

	gitindex "github.com/go-git/go-git/v5/plumbing/format/index"
)

// sameInode compares the inode. A difference alone does not mean a change (the
// file may have been copied here), but a reason to read it.
func sameInode(info fs.FileInfo, e gitindex.Entry) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || e.Inode == 0 || uint32(st.Ino) == e.Inode
}

// noteStat records what git compares beside size and time.
func noteStat(info fs.FileInfo, e *gitindex.Entry) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		e.Dev, e.Inode, e.UID, e.GID = uint32(st.Dev), uint32(st.Ino), st.Uid, st.Gid
		e.CreatedAt = changeTime(st)
	}
}
