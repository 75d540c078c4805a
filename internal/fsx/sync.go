package fsx

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"
)

// syncEach is the number of files from which on flushing the whole file system
// is cheaper than flushing them one by one.
const syncEach = 16

// syncEachFile flushes the named files, several at a time so that the journal
// can take them together.
func syncEachFile(r *os.Root, files []string) error {
	var g errgroup.Group
	g.SetLimit(16)
	for _, name := range files {
		g.Go(func() error {
			f, err := openForSync(r, name)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed meanwhile: nothing to keep
			}
			if err != nil {
				return err
			}
			err = f.Sync()
			if e := f.Close(); err == nil {
				err = e
			}
			return FullDisk(err)
		})
	}
	return g.Wait()
}
