package gitops

import (
	"io/fs"

	gitindex "github.com/go-git/go-git/v5/plumbing/format/index"
)

// sameInode has nothing to compare on Windows, where git records no inode.
func sameInode(fs.FileInfo, gitindex.Entry) bool { return true }

// noteStat has nothing to record on Windows.
func noteStat(fs.FileInfo, *gitindex.Entry) {}
