package fsx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"ctrx/internal/errs"
)

// Root writes below one folder. Names are relative to it, in the spelling of
// the operating system. A name is refused when it leaves the folder, when a
// folder on its way is a symbolic link, or when one of its parts is .git: what
// a repository records must not decide what is written elsewhere on the
// machine, nor put a hook where git would run it.
//
// The last part of a name may be a symbolic link: it is replaced or removed,
// never followed. A Root is safe for concurrent use; it is meant to live for
// one operation, since a folder that was seen to be real is not looked at
// again.
type Root struct {
	root *os.Root
	dir  string
	seen sync.Map // folder name -> struct{}: exists and is no link
}

// OpenRoot opens the folder dir. dir itself may be reached through links.
func OpenRoot(dir string) (*Root, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r, err := os.OpenRoot(abs)
	if err != nil {
		return nil, err
	}
	return &Root{root: r, dir: abs}, nil
}

// Close lets go of the folder.
func (r *Root) Close() error { return r.root.Close() }

// Dir is the absolute path of the folder.
func (r *Root) Dir() string { return r.dir }

// Rel gives the name of path below the folder. A path outside of it, and the
// folder itself, are errors of kind Usage.
func (r *Root) Rel(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(r.dir, abs)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return "", errs.New(errs.Usage, "%s is not inside %s", path, r.dir)
	}
	return rel, nil
}

// IsGit tells whether a part of a path is .git in one of the spellings under
// which some file system opens it: other case, trailing dots or spaces and the
// short name on Windows, alternate streams, and the code points that HFS+
// leaves out.
func IsGit(part string) bool {
	part, _, _ = strings.Cut(part, ":")
	part = strings.TrimRight(part, ". ")
	part = strings.Map(func(c rune) rune {
		if c >= 0x200c && c <= 0x200f || c >= 0x202a && c <= 0x202e || c >= 0x206a && c <= 0x206f || c == 0xfeff {
			return -1
		}
		return c
	}, part)
	return strings.EqualFold(part, ".git") || strings.EqualFold(part, "git~1")
}

// Forget makes the Root look at each folder again: for folders that were removed
// behind its back.
func (r *Root) Forget() { r.seen.Clear() }

// Check tells whether name may be written: see Root.
func (r *Root) Check(name string) error {
	if err := r.CheckName(name); err != nil {
		return err
	}
	return r.checkDir(filepath.Dir(filepath.Clean(name)))
}

// CheckName is the part of Check that looks at the name alone.
func (r *Root) CheckName(name string) error {
	name = filepath.Clean(name)
	if !filepath.IsLocal(name) || name == "." {
		return errs.New(errs.ProjectFile, "refused to write %q: it is outside of %s", name, r.dir)
	}
	for part := range strings.SplitSeq(filepath.ToSlash(name), "/") {
		if IsGit(part) {
			return errs.New(errs.ProjectFile, "refused to write %q: it is inside a .git folder", name)
		}
	}
	return nil
}

func (r *Root) checkDir(dir string) error {
	if dir == "." {
		return nil
	}
	if _, ok := r.seen.Load(dir); ok {
		return nil
	}
	if err := r.checkDir(filepath.Dir(dir)); err != nil {
		return err
	}
	info, err := r.root.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return errs.Hint(errs.New(errs.Conflict, "refused to write below %s: it is a symbolic link", filepath.Join(r.dir, dir)),
			"replace the link by a folder, or track the folder that it points to")
	case !info.IsDir():
		return fmt.Errorf("%s: %w", filepath.Join(r.dir, dir), errNotDir)
	}
	r.seen.Store(dir, struct{}{})
	return nil
}

var errNotDir = errors.New("not a folder")

// Lstat describes the file, not following a link.
func (r *Root) Lstat(name string) (fs.FileInfo, error) { return r.root.Lstat(name) }

// Stat describes the file that name leads to, wherever below the folder it is.
func (r *Root) Stat(name string) (fs.FileInfo, error) { return r.root.Stat(name) }

// Open opens a file or folder for reading.
func (r *Root) Open(name string) (*os.File, error) { return r.root.Open(name) }

// ReadFile reads a whole file.
func (r *Root) ReadFile(name string) ([]byte, error) { return r.root.ReadFile(name) }

// Readlink gives the target of a link.
func (r *Root) Readlink(name string) (string, error) { return r.root.Readlink(name) }

// Chmod sets the mode of the file that name leads to; it is refused for links.
func (r *Root) Chmod(name string, mode fs.FileMode) error {
	if err := r.Check(name); err != nil {
		return err
	}
	if info, err := r.root.Lstat(name); err != nil {
		return err
	} else if info.Mode()&fs.ModeSymlink != 0 {
		return errs.New(errs.Conflict, "refused to change the mode of %s: it is a symbolic link", name)
	}
	return r.root.Chmod(name, mode)
}

// MkdirAll makes the folder and those above it, with perm less the umask.
func (r *Root) MkdirAll(name string, perm fs.FileMode) error {
	if name == "." {
		return nil
	}
	// The check of a name below the folder covers the folder itself.
	if err := r.Check(filepath.Join(name, "x")); err != nil {
		return err
	}
	if _, ok := r.seen.Load(filepath.Clean(name)); ok {
		return nil
	}
	if err := r.root.MkdirAll(name, perm); err != nil {
		return FullDisk(err)
	}
	return nil
}

// Create makes a temporary file that Publish gives its name. The folder must
// be there. perm is used less the umask.
func (r *Root) Create(name string, perm fs.FileMode) (*Temp, error) {
	if err := r.Check(name); err != nil {
		return nil, err
	}
	return createTemp(r.root, name, perm)
}

// Resume opens the file tmp, or makes it, as what will become name: for work
// that a later process may go on with. It is the only one to have it open that
// way; where another process has, the error wraps errors.ErrUnsupported.
func (r *Root) Resume(name, tmp string, perm fs.FileMode) (*Temp, error) {
	if err := errors.Join(r.Check(name), r.Check(tmp)); err != nil {
		return nil, err
	}
	f, err := r.root.OpenFile(tmp, os.O_RDWR|os.O_CREATE, perm)
	if err != nil {
		return nil, FullDisk(err)
	}
	if ok, err := LockOpen(f); !ok || err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use: %w", tmp, errors.Join(errors.ErrUnsupported, err))
	}
	// Who had the lock until now may have given the file its name: then it is
	// not ours to write to.
	here, err := r.root.Lstat(tmp)
	if open, e := f.Stat(); err != nil || e != nil || !os.SameFile(here, open) {
		f.Close()
		return nil, fmt.Errorf("%s is in use: %w", tmp, errors.Join(errors.ErrUnsupported, err, e))
	}
	return &Temp{File: f, root: r.root, name: name, tmp: tmp, locked: true}, nil
}

// CreateNew makes a file that does not exist, in a folder that does. It appears
// at once and empty: for places that nobody looks at yet.
func (r *Root) CreateNew(name string, perm fs.FileMode) (*os.File, error) {
	if err := r.Check(name); err != nil {
		return nil, err
	}
	f, err := r.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	return f, FullDisk(err)
}

// WriteFile is the function WriteFile below this folder; it makes missing
// folders.
func (r *Root) WriteFile(name string, data []byte, perm fs.FileMode) error {
	if err := r.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	t, err := r.Create(name, perm)
	if err != nil {
		return err
	}
	defer t.Discard()
	if info, err := r.root.Lstat(name); err == nil && info.Mode().IsRegular() {
		if err := t.Chmod(info.Mode().Perm()); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	if _, err := t.Write(data); err != nil {
		return FullDisk(err)
	}
	return t.Publish(Durable)
}

// Symlink makes name a symbolic link to target, replacing a file or link.
func (r *Root) Symlink(target, name string) error {
	return r.replace(name, func(tmp string) error { return r.root.Symlink(target, tmp) })
}

// Link makes name a hard link to the file at the absolute path target,
// replacing a file or link.
func (r *Root) Link(target, name string) error {
	return r.replace(name, func(tmp string) error { return linkInto(target, r.root, tmp) })
}

// CreateClone is Create with the content of src, whose blocks it shares. Where
// the file system cannot do that the error is errors.ErrUnsupported and nothing
// is changed.
func (r *Root) CreateClone(src *os.File, name string, perm fs.FileMode) (*Temp, error) {
	if err := r.Check(name); err != nil {
		return nil, err
	}
	for {
		tmp := tempName(name)
		err := reflinkInto(src, r.root, tmp, perm)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, FullDisk(err)
		}
		f, err := r.root.OpenFile(tmp, os.O_RDWR, 0)
		if err != nil {
			r.root.Remove(tmp)
			return nil, err
		}
		return &Temp{File: f, root: r.root, name: name, tmp: tmp}, nil
	}
}

// Reflink makes name a copy of src that shares its blocks, replacing a file or
// link; the mode is perm less the umask. Where the file system cannot do that
// the error is errors.ErrUnsupported and nothing is changed.
func (r *Root) Reflink(src *os.File, name string, perm fs.FileMode) error {
	t, err := r.CreateClone(src, name, perm)
	if err != nil {
		return err
	}
	return t.Publish(Fast)
}

// replace lets make create a file under a temporary name and renames it.
func (r *Root) replace(name string, create func(tmp string) error) error {
	if err := r.Check(name); err != nil {
		return err
	}
	for {
		tmp := tempName(name)
		err := create(tmp)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return FullDisk(err)
		}
		// rename(2) of two hard links to the same file does nothing and leaves
		// the temporary name, so it is removed in every case.
		err = rename(r.root, tmp, name)
		r.root.Remove(tmp)
		return err
	}
}

// Rename moves a file or folder within the folder.
func (r *Root) Rename(from, to string) error {
	if err := errors.Join(r.Check(from), r.Check(to)); err != nil {
		return err
	}
	return rename(r.root, from, to)
}

// Remove removes a file, a link or an empty folder.
func (r *Root) Remove(name string) error {
	if err := r.Check(name); err != nil {
		return err
	}
	r.seen.Delete(filepath.Clean(name))
	return remove(r.root, name)
}

// RemoveAll removes a file or a folder with all that is in it. Links in it are
// removed, not followed. A name that is not there is no error.
func (r *Root) RemoveAll(name string) error {
	if err := r.Check(name); err != nil {
		return err
	}
	r.seen.Clear()
	return r.root.RemoveAll(name)
}

// SyncDir flushes the entries of a folder, so that the names in it outlive a
// power cut.
func (r *Root) SyncDir(name string) error { return syncDir(r.root, name) }

// Sync flushes everything that was written below the folder. files names the
// files to flush where the operating system has no call that flushes a whole
// file system.
func (r *Root) Sync(files []string) error { return syncFiles(r.root, files) }
