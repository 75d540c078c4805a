package fsx

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// dirHandle is a folder by means of os.Root.
type dirHandle struct{ root *os.Root }

func openDirHandle(r *os.Root, name string) (dirHandle, error) {
	sub, err := r.OpenRoot(name)
	return dirHandle{sub}, err
}

// Close lets go of the folder.
func (h dirHandle) Close() error { return h.root.Close() }

func (h dirHandle) put(name string, data []byte, perm fs.FileMode) (Stamp, error) {
	t, err := createTemp(h.root, name, perm)
	if err != nil {
		return Stamp{}, err
	}
	defer t.Discard()
	if _, err := t.Write(data); err != nil {
		return Stamp{}, err
	}
	info, err := t.Stat()
	if err != nil {
		return Stamp{}, err
	}
	return StampOf(info), t.Publish(Fast)
}

func (h dirHandle) lstat(name string) (Stamp, error) {
	info, err := h.root.Lstat(name)
	if err != nil {
		return Stamp{}, err
	}
	return StampOf(info), nil
}

func (h dirHandle) chmod(name string, perm fs.FileMode) error { return h.root.Chmod(name, perm) }

func (h dirHandle) read(name string, buf []byte) (int, Stamp, error) {
	f, err := h.root.Open(name)
	return readFile(f, err, buf)
}

func readInto(path string, buf []byte) (int, Stamp, error) {
	f, err := os.Open(path)
	return readFile(f, err, buf)
}

func readFile(f *os.File, err error, buf []byte) (int, Stamp, error) {
	if err != nil {
		return 0, Stamp{}, err
	}
	defer f.Close()
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return 0, Stamp{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, Stamp{}, err
	}
	return n, StampOf(info), nil
}

// LstatIn describes a file of an open folder, not following a link.
func LstatIn(dir *os.File, name string) (Stamp, error) {
	info, err := os.Lstat(filepath.Join(dir.Name(), name))
	if err != nil {
		return Stamp{}, err
	}
	return StampOf(info), nil
}

// StampOf is the stamp of a file that was described otherwise. Windows gives
// neither inode nor links with a plain stat.
func StampOf(info fs.FileInfo) Stamp {
	return Stamp{Links: 1, Size: info.Size(), MTime: info.ModTime().UnixNano(), Mode: info.Mode()}
}
