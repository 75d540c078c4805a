package storage

import (
	"errors"
	"io/fs"
	"path/filepath"

	"ctrx/internal/fsx"
)

// shelves are the two-digit folders of a cache, opened when first needed and
// kept open: what an object by itself costs is then one file, not the way to it.
type shelves struct {
	dirs [256]*fsx.Dir
}

// shelf gives the open folder that the object d belongs into, and the object's
// name there. create makes a missing folder; without it the error wraps
// fs.ErrNotExist.
func (c *Cache) shelf(d Digest, create bool) (*fsx.Dir, string, error) {
	if !d.Valid() {
		_, err := c.name(d)
		return nil, "", err
	}
	i, name := hexValue(d[0])<<4|hexValue(d[1]), string(d[2:])
	c.mu.Lock()
	dir := c.shelves.dirs[i]
	c.mu.Unlock()
	if dir != nil {
		return dir, name, nil
	}
	r, err := c.open(create)
	if err != nil {
		return nil, "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shelves.dirs[i] == nil {
		if create {
			if err := c.mkdir(r, filepath.Join(string(d[:2]), name)); err != nil {
				return nil, "", err
			}
		}
		dir, err := r.OpenDir(string(d[:2]))
		if err != nil {
			return nil, "", err
		}
		c.shelves.dirs[i] = dir
	}
	return c.shelves.dirs[i], name, nil
}

func hexValue(c byte) int {
	if c >= 'a' {
		return int(c-'a') + 10
	}
	return int(c - '0')
}

// forgetShelves closes the folders, to open them anew.
func (c *Cache) forgetShelves() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.root != nil {
		c.root.Forget()
	}
	return c.shelves.close()
}

func (s *shelves) close() error {
	var err error
	for i, d := range s.dirs {
		if d != nil {
			err = errors.Join(err, d.Close())
			s.dirs[i] = nil
		}
	}
	return err
}

// putSmall stores data, which has the digest d, unless it is there.
func (b *batch) putSmall(d Digest, data []byte) error {
	dir, name, err := b.cache.shelf(d, true)
	if err != nil {
		return err
	}
	if s, err := dir.Lstat(name); err == nil && s.Mode == objectMode {
		return nil
	}
	_, err = dir.Put(name, data, 0o666)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed) { // the folder was removed behind our back
		if err := b.cache.forgetShelves(); err != nil {
			return err
		}
		if dir, name, err = b.cache.shelf(d, true); err == nil {
			_, err = dir.Put(name, data, 0o666)
		}
	}
	if err != nil {
		return err
	}
	return b.stored(filepath.Join(string(d[:2]), name), int64(len(data)), false)
}

// read gives the content of the object d if it is smaller than the buffer, in a
// piece of it. ok is false where it is larger, or needs a closer look.
func (c *Cache) read(d Digest, buf []byte) (data []byte, ok bool) {
	dir, name, err := c.shelf(d, false)
	if err != nil {
		return nil, false
	}
	n, _, err := dir.Read(name, buf)
	if err != nil || n == len(buf) {
		return nil, false
	}
	return buf[:n], true
}

// shelfHas tells whether a file with the mode of a whole object has the name of
// the object d. False means that a closer look is needed.
func (c *Cache) shelfHas(d Digest) bool {
	dir, name, err := c.shelf(d, false)
	if err != nil {
		return false
	}
	s, err := dir.Lstat(name)
	return err == nil && s.Mode == objectMode
}
