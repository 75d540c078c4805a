package storage

import "io/fs"

// inode: Windows gives neither with a plain stat; time and size tell files
// apart there.
func inode(fs.FileInfo) (ino, links uint64) { return 0, 1 }
