package fsx

import (
	"io/fs"
	"path/filepath"
	"sync"
)

// Stamp is what a file system tells about a file in one call: enough to see
// that it is the file that was seen before.
type Stamp struct {
	Ino   uint64      // 0 where the system gives none
	Links uint64      // number of hard links, at least 1
	Size  int64       // bytes
	MTime int64       // time of the last change, nanoseconds since 1970
	Mode  fs.FileMode // type and permission bits
}

// Dir is a folder below a Root that is held open for work on thousands of small
// files in it: each operation takes the system calls that it must and no walk
// down from the Root. Names are single parts. It is safe for concurrent use.
//
// An operation in a folder that was removed meanwhile gives fs.ErrNotExist, one
// after Close fs.ErrClosed.
type Dir struct {
	name string // for messages
	h    dirHandle

	mu     sync.RWMutex // held while the handle is in use
	closed bool
}

// OpenDir opens a folder that exists. Names with a link on the way, or below
// .git, are refused as in every other method of Root.
func (r *Root) OpenDir(name string) (*Dir, error) {
	if err := r.Check(filepath.Join(name, "x")); err != nil {
		return nil, err
	}
	h, err := openDirHandle(r.root, name)
	if err != nil {
		return nil, err
	}
	return &Dir{name: filepath.Join(r.dir, name), h: h}, nil
}

// Close lets go of the folder.
func (d *Dir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return d.h.Close()
}

// use calls do while the handle stays open.
func (d *Dir) use(op, name string, do func() error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	err := fs.ErrClosed
	if !d.closed {
		err = do()
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: filepath.Join(d.name, name), Err: err}
	}
	return nil
}

// Put makes name a file with the content data and the mode perm less the umask,
// in one step and replacing what is there. The stamp is that of the new file.
// Nothing is flushed: see Root.Sync.
func (d *Dir) Put(name string, data []byte, perm fs.FileMode) (s Stamp, err error) {
	err = d.use("write", name, func() (err error) { s, err = d.h.put(name, data, perm); return err })
	return s, FullDisk(err)
}

// Lstat describes a file, not following a link.
func (d *Dir) Lstat(name string) (s Stamp, err error) {
	err = d.use("lstat", name, func() (err error) { s, err = d.h.lstat(name); return err })
	return s, err
}

// Chmod sets the permission bits of a file.
func (d *Dir) Chmod(name string, perm fs.FileMode) error {
	return d.use("chmod", name, func() error { return d.h.chmod(name, perm) })
}

// Read reads a file that is no link into buf. n is len(buf) when the file is as
// long as that or longer. The stamp is from after the reading.
func (d *Dir) Read(name string, buf []byte) (n int, s Stamp, err error) {
	err = d.use("read", name, func() (err error) { n, s, err = d.h.read(name, buf); return err })
	return n, s, err
}

// ReadInto reads the file at path, following links, into buf. n is len(buf) when
// the file is as long as that or longer. The stamp is from after the reading.
func ReadInto(path string, buf []byte) (n int, s Stamp, err error) {
	if n, s, err = readInto(path, buf); err != nil {
		return 0, s, &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return n, s, nil
}
