package fsx

// Space is what is left on a file system for this user.
type Space struct {
	Bytes int64
	Files int64 // that can be made; negative where there is no limit, or none is known
	Block int64 // bytes that a file takes at least, and in steps of which it grows
}

// Takes is the space on the disk of a file of so many bytes.
func (s Space) Takes(size int64) int64 {
	if s.Block <= 1 {
		return size
	}
	return (size + s.Block - 1) / s.Block * s.Block
}

// Free tells the space left on the file system of a folder. Where the system
// does not tell, the error is errors.ErrUnsupported.
func Free(dir string) (Space, error) { return free(dir) }
