package local

import (
	"errors"
	"io/fs"
	"path/filepath"

	"ctrx/internal/fsx"
)

// maxDirs bounds the folders that are held open: the 256 of a layout, and some.
const maxDirs = 300

// folder gives an open folder below the remote's, made if create is set; nil
// where too many are open.
func (b *Backend) folder(r *fsx.Root, name string, create bool) (*fsx.Dir, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.dirs[name]; d != nil || len(b.dirs) >= maxDirs {
		return d, nil
	}
	if create {
		if err := b.mkdir(r, name); err != nil {
			return nil, err
		}
	}
	d, err := r.OpenDir(name)
	if err != nil {
		return nil, err
	}
	if b.dirs == nil {
		b.dirs = map[string]*fsx.Dir{}
	}
	b.dirs[name] = d
	return d, nil
}

// closeDirs lets go of the open folders.
func (b *Backend) closeDirs() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var err error
	for _, d := range b.dirs {
		err = errors.Join(err, d.Close())
	}
	b.dirs = nil
	if b.root != nil {
		b.root.Forget()
	}
	return err
}

func (b *Backend) mkdir(r *fsx.Root, dir string) error {
	if _, err := r.Lstat(dir); err == nil {
		return nil
	}
	if !b.opts.Shared {
		return r.MkdirAll(dir, 0o777)
	}
	if parent := filepath.Dir(dir); parent != "." {
		if err := b.mkdir(r, parent); err != nil {
			return err
		}
	}
	if err := r.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return r.Chmod(dir, 0o775|fs.ModeSetgid)
}
