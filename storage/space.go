package storage

import (
	"fmt"
	"os"

	"ctrx/internal/errs"
)

// NoSpaceError says that data does not fit on the disk of the cache. Nothing was
// written. Its kind is Failed.
type NoSpaceError struct {
	Dir       string // of the cache
	Need      int64  // bytes on the disk
	Free      int64  // bytes that this user may take
	NeedFiles int64  // files to be made
	FreeFiles int64  // that the file system can still make; negative: no limit
}

// Error names what is needed and what there is.
func (e *NoSpaceError) Error() string {
	if e.Need <= e.Free {
		return fmt.Sprintf("not enough room in the cache %s: %d files are to be stored, the file system can make %d", e.Dir, e.NeedFiles, e.FreeFiles)
	}
	return fmt.Sprintf("not enough space for the cache %s: %s are needed, %s are free", e.Dir, SizeText(e.Need), SizeText(e.Free))
}

// Kind is Failed.
func (e *NoSpaceError) Kind() errs.Kind { return errs.Failed }

// Hint names the ways out.
func (e *NoSpaceError) Hint() string {
	return "free some space (`ctrx gc -w` removes what no file of the workspace needs), or put the cache on another disk: `ctrx cache dir PATH`; nothing was changed"
}

// SizeText is a number of bytes for people.
func SizeText(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d bytes", n)
	}
	if n < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// roomFor gives a *NoSpaceError if files of the given sizes do not fit on the
// disk of the cache. Files that share their blocks with the workspace (sample is
// one of those to be stored) take none.
func (c *Cache) roomFor(sizes []int64, sample string) error {
	if len(sizes) == 0 {
		return nil
	}
	space, err := c.free(c.objectsDir())
	if err != nil {
		return nil // unknown: a disk that is full says so
	}
	e := &NoSpaceError{Dir: c.dir, Free: space.Bytes, NeedFiles: int64(len(sizes)), FreeFiles: space.Files}
	for _, n := range sizes {
		e.Need += space.Takes(n)
	}
	if e.Need <= e.Free && (e.FreeFiles < 0 || e.NeedFiles <= e.FreeFiles) {
		return nil
	}
	if e.Need > e.Free && c.sharesBlocksOf(sample) {
		return nil
	}
	return e
}

// sharesBlocksOf tells whether the cache can take a file without copying it.
func (c *Cache) sharesBlocksOf(path string) bool {
	b, err := c.newBatch()
	if err != nil {
		return false
	}
	src, err := os.Open(path)
	if err != nil {
		return false
	}
	defer src.Close()
	t, err := b.cloneOf(src, "probe")
	if t == nil || err != nil {
		return false
	}
	t.Discard()
	return true
}
