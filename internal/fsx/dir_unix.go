//go:build unix

package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// dirHandle works with bare descriptors: os.File registers each file with the
// poller and a finalizer, which is half the time of storing a small file.
type dirHandle struct {
	f  *os.File
	fd int
}

func openDirHandle(r *os.Root, name string) (dirHandle, error) {
	f, err := r.Open(name)
	if err != nil {
		return dirHandle{}, err
	}
	return dirHandle{f: f, fd: int(f.Fd())}, nil
}

// Close lets go of the folder.
func (h dirHandle) Close() error { return h.f.Close() }

func (h dirHandle) put(name string, data []byte, perm fs.FileMode) (Stamp, error) {
	defer runtime.KeepAlive(h.f)
	var tmp string
	fd := -1
	err := retry(func() (err error) {
		tmp = fmt.Sprintf("%s%016x%s", tempPrefix, rand.Uint64(), tempSuffix)
		fd, err = unix.Openat(h.fd, tmp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, uint32(perm.Perm()))
		return err
	})
	if err != nil {
		return Stamp{}, err
	}
	for len(data) > 0 && err == nil {
		var n int
		err = retry(func() (err error) { n, err = unix.Write(fd, data); return err })
		if err == nil {
			data = data[n:]
		}
	}
	var st unix.Stat_t
	if err == nil {
		err = retry(func() error { return unix.Fstat(fd, &st) })
	}
	if e := unix.Close(fd); err == nil && !errors.Is(e, unix.EINTR) {
		err = e
	}
	if err == nil {
		err = retry(func() error { return unix.Renameat(h.fd, tmp, h.fd, name) })
	}
	if err != nil {
		unix.Unlinkat(h.fd, tmp, 0)
	}
	return stampOf(&st), err
}

func (h dirHandle) lstat(name string) (Stamp, error) {
	defer runtime.KeepAlive(h.f)
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(h.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return Stamp{}, err
	}
	return stampOf(&st), nil
}

func (h dirHandle) chmod(name string, perm fs.FileMode) error {
	defer runtime.KeepAlive(h.f)
	return retry(func() error { return unix.Fchmodat(h.fd, name, uint32(perm.Perm()), 0) })
}

func (h dirHandle) read(name string, buf []byte) (int, Stamp, error) {
	defer runtime.KeepAlive(h.f)
	return readAt(h.fd, name, unix.O_NOFOLLOW, buf)
}

func readInto(path string, buf []byte) (int, Stamp, error) {
	return readAt(unix.AT_FDCWD, path, 0, buf)
}

// readAt opens without waiting, so that a named pipe that took the place of a
// file does not hang the program.
func readAt(dir int, name string, flags int, buf []byte) (int, Stamp, error) {
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|flags, 0)
		return err
	})
	if err != nil {
		return 0, Stamp{}, err
	}
	defer unix.Close(fd)
	total := 0
	for total < len(buf) {
		var n int
		if err := retry(func() (err error) { n, err = unix.Read(fd, buf[total:]); return err }); err != nil {
			return 0, Stamp{}, err
		}
		if n == 0 {
			break
		}
		total += n
	}
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstat(fd, &st) }); err != nil {
		return 0, Stamp{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, Stamp{}, errNotFile
	}
	return total, stampOf(&st), nil
}

var errNotFile = errors.New("not a file")

// StampOf is the stamp of a file that was described otherwise.
func StampOf(info fs.FileInfo) Stamp {
	s := Stamp{Links: 1, Size: info.Size(), MTime: info.ModTime().UnixNano(), Mode: info.Mode()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Ino, s.Links = uint64(st.Ino), uint64(st.Nlink)
	}
	return s
}

// LstatIn describes a file of an open folder, not following a link.
func LstatIn(dir *os.File, name string) (Stamp, error) {
	defer runtime.KeepAlive(dir)
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return Stamp{}, &fs.PathError{Op: "lstat", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	return stampOf(&st), nil
}

func stampOf(st *unix.Stat_t) Stamp {
	s := Stamp{Ino: uint64(st.Ino), Links: uint64(st.Nlink), Size: st.Size, MTime: st.Mtim.Nano(), Mode: fs.FileMode(st.Mode & 0o777)}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		s.Mode |= fs.ModeDir
	case unix.S_IFLNK:
		s.Mode |= fs.ModeSymlink
	default:
		s.Mode |= fs.ModeIrregular
	}
	return s
}

// retry repeats a system call that a signal interrupted.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
