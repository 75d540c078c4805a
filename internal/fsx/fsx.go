// Package fsx holds the few file system operations that everything else in
// ctrx rests on, made so that a crash, a full disk, a second process or a
// hostile repository cannot do harm:
//
//   - WriteFile publishes a file in one step: readers see the old bytes or the
//     new ones, never a part, also after a power cut;
//   - Root writes below a folder and only there: not through symbolic links,
//     not into .git;
//   - Lock is the project lock that ctrx and DVC exclude each other with;
//   - Root.Reflink shares the blocks of a file where the file system can.
//
// Failures that a user can act on (disk full, locked by another process, a
// link in the way) carry a kind and a hint of package errs.
package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"ctrx/internal/errs"
)

// Missing tells whether an error says that there is nothing at a path, be it that
// a folder on the way to it is a file.
func Missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// WriteFile replaces the content of the file at path, or makes the file, in one
// step: it writes a temporary file in the same folder, flushes it to the disk
// and renames it over path. A file that exists keeps its mode; a new one gets
// perm less the umask. If path is a symbolic link, the link is replaced, not
// the file that it points to.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return WriteFileAs(path, data, perm, Durable)
}

// WriteFileAs is WriteFile for files that a power cut may cost something, such
// as one of many writings of a long run. Readers see whole content in any case.
func WriteFileAs(path string, data []byte, perm fs.FileMode, d Durability) error {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer r.Close()
	t, err := createTemp(r, name, perm)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer t.Discard()
	if info, err := r.Lstat(name); err == nil && info.Mode().IsRegular() {
		if err := t.Chmod(info.Mode().Perm()); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	if _, err := t.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", path, FullDisk(err))
	}
	if err := t.Publish(d); err != nil {
		return fmt.Errorf("write %s: %w", path, FullDisk(err))
	}
	return nil
}

// Durability says what Publish waits for.
type Durability int

// Fast renames only: after a power cut the name may hold an empty or partial
// file. Durable flushes the content before the rename and the folder after it.
// Flushed flushes the content before the rename, so that the name never holds
// a partial file, but may not be there after a power cut.
const (
	Fast Durability = iota
	Flushed
	Durable
)

// Temp is a file under a temporary name that becomes visible as name by
// Publish, or vanishes by Discard.
type Temp struct {
	*os.File
	root *os.Root
	name string // name of the final file, relative to root
	tmp  string // present name, relative to root
	done bool

	locked bool // others know the present name: see Root.Resume
}

const (
	tempPrefix = ".ctrx-"
	tempSuffix = ".tmp"
)

// IsTemp tells whether a file name (without folder) is one that Temp gives to
// unfinished files. After a crash such files may stay behind; they hold nothing
// of value, and whoever lists a folder leaves them out.
func IsTemp(name string) bool {
	return strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix) &&
		len(name) == len(tempPrefix)+16+len(tempSuffix)
}

func tempName(name string) string {
	return filepath.Join(filepath.Dir(name), fmt.Sprintf("%s%016x%s", tempPrefix, rand.Uint64(), tempSuffix))
}

func createTemp(r *os.Root, name string, perm fs.FileMode) (*Temp, error) {
	for {
		tmp := tempName(name)
		f, err := r.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, FullDisk(err)
		}
		return &Temp{File: f, root: r, name: name, tmp: tmp}, nil
	}
}

// PublishAs is Publish under another name below the Root, in a folder that is
// there: for content whose name is known only when it was written.
func (t *Temp) PublishAs(name string, d Durability) error {
	t.name = name
	return t.Publish(d)
}

// Publish closes the file and renames it to its final name, replacing what is
// there. On an error the temporary file is removed.
func (t *Temp) Publish(d Durability) error {
	if d != Fast || t.locked {
		if err := t.Sync(); err != nil {
			t.Discard()
			return FullDisk(err)
		}
	}
	// While it is locked nobody takes the file up under its present name, to write
	// to it under its final one. Some file systems rename no file that is open.
	renamed := t.locked && rename(t.root, t.tmp, t.name) == nil
	// Close reports late write errors of network file systems and quotas.
	if err := t.Close(); err != nil && !renamed {
		t.done = t.locked
		t.Discard()
		return FullDisk(err)
	}
	if !renamed {
		if err := rename(t.root, t.tmp, t.name); err != nil {
			t.done = t.locked // a later process may go on with it, or does already
			t.Discard()
			return err
		}
	}
	t.done = true
	if d == Durable {
		return syncDir(t.root, filepath.Dir(t.name))
	}
	return nil
}

// Discard removes the temporary file. After Publish it does nothing.
func (t *Temp) Discard() {
	if t.done {
		return
	}
	t.done = true
	// A locked file has to go while it is locked: after that the name may be that
	// of another process's file.
	removed := t.locked && t.root.Remove(t.tmp) == nil
	t.Close()
	if !removed {
		t.root.Remove(t.tmp)
	}
}

// Keep closes the file and leaves it under its temporary name: see Root.Resume.
func (t *Temp) Keep() {
	if t.done {
		return
	}
	t.done = true
	_ = CloseLocked(t.File) // without a lock there is nothing to end
}

// FullDisk gives an error that says "the disk is full" a kind and a hint, and
// returns every other error as it is.
func FullDisk(err error) error {
	if err == nil || !isNoSpace(err) {
		return err
	}
	if errs.HintOf(err) != "" {
		return err
	}
	return errs.Hint(errs.New(errs.Failed, "no space left on the disk: %w", err),
		"free some space, then repeat the command; nothing was lost")
}
