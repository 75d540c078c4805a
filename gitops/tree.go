package gitops

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Tree is the files of a commit, read from the repository without a checkout.
// It is an fs.FS (with ReadFile, ReadDir and Stat), so whatever reads a folder
// can read a commit. Symbolic links are not followed: reading one gives its
// target. A submodule is an empty folder. A Tree may be used by several
// goroutines.
type Tree struct {
	repo   *Repo
	hash   plumbing.Hash
	commit string
	when   time.Time

	mu    sync.Mutex
	trees map[string][]object.TreeEntry // folder -> entries, as read so far
}

// Tree gives the files of the commit that rev names.
func (r *Repo) Tree(rev string) (*Tree, error) {
	info, err := r.Commit(rev)
	if err != nil {
		return nil, err
	}
	return &Tree{repo: r, hash: plumbing.NewHash(info.Tree), commit: info.Hash, when: info.Time, trees: map[string][]object.TreeEntry{}}, nil
}

// Hash is the hash of the tree object, Commit that of the commit.
func (t *Tree) Hash() string { return t.hash.String() }

// Commit is the hash of the commit that the tree was taken from.
func (t *Tree) Commit() string { return t.commit }

// find gives the entry of a path; the root has mode Dir.
func (t *Tree) find(name string) (object.TreeEntry, error) {
	if name == "." {
		return object.TreeEntry{Name: ".", Mode: filemode.Dir, Hash: t.hash}, nil
	}
	entries, err := t.entries(path.Dir(name))
	if err != nil {
		return object.TreeEntry{}, err
	}
	for _, e := range entries {
		if e.Name == path.Base(name) {
			return e, nil
		}
	}
	return object.TreeEntry{}, fs.ErrNotExist
}

// entries lists a folder.
func (t *Tree) entries(dir string) ([]object.TreeEntry, error) {
	t.mu.Lock()
	entries, ok := t.trees[dir]
	t.mu.Unlock()
	if ok {
		return entries, nil
	}
	e, err := t.find(dir)
	if err != nil {
		return nil, err
	}
	switch e.Mode {
	case filemode.Dir:
	case filemode.Submodule:
		return nil, nil
	default:
		return nil, fs.ErrNotExist // a file has nothing below it
	}
	t.repo.mu.Lock()
	tree, err := object.GetTree(t.repo.storage, e.Hash)
	t.repo.mu.Unlock()
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, t.repo.missing(e.Hash.String())
	}
	if err != nil {
		return nil, fmt.Errorf("read tree %s: %w", e.Hash, err)
	}
	t.mu.Lock()
	t.trees[dir] = tree.Entries
	t.mu.Unlock()
	return tree.Entries, nil
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// ReadFile gives the content of a file.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, pathError("read", name, fs.ErrInvalid)
	}
	e, err := t.find(name)
	if err != nil {
		return nil, pathError("read", name, err)
	}
	if e.Mode == filemode.Dir || e.Mode == filemode.Submodule {
		return nil, pathError("read", name, errors.New("is a folder"))
	}
	data, err := t.repo.blob(e.Hash)
	if err != nil {
		return nil, pathError("read", name, err)
	}
	return data, nil
}

func (r *Repo) blob(hash plumbing.Hash) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, err := r.storage.EncodedObject(plumbing.BlobObject, hash)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, r.missing(hash.String())
	}
	if err != nil {
		return nil, err
	}
	reader, err := o.Reader()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(reader)
	return data, errors.Join(err, reader.Close())
}

// Stat describes a file or folder.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	if !fs.ValidPath(name) {
		return nil, pathError("stat", name, fs.ErrInvalid)
	}
	e, err := t.find(name)
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return t.info(e)
}

// info describes an entry. The size of a folder is that of its tree object in
// bytes; a submodule has none.
func (t *Tree) info(e object.TreeEntry) (treeInfo, error) {
	info := treeInfo{entry: e, when: t.when}
	if e.Mode == filemode.Submodule {
		return info, nil
	}
	t.repo.mu.Lock()
	defer t.repo.mu.Unlock()
	size, err := t.repo.storage.EncodedObjectSize(e.Hash)
	if err != nil {
		return info, pathError("stat", e.Name, err)
	}
	info.size = size
	return info, nil
}

// ReadDir lists a folder, sorted by name.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, pathError("readdir", name, fs.ErrInvalid)
	}
	if e, err := t.find(name); err == nil && e.Mode != filemode.Dir && e.Mode != filemode.Submodule {
		return nil, pathError("readdir", name, errors.New("not a folder"))
	}
	entries, err := t.entries(name)
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	list := make([]fs.DirEntry, len(entries))
	for i, e := range entries {
		list[i] = treeDirEntry{t, e}
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// Open is for fs.FS; ReadFile is shorter.
func (t *Tree) Open(name string) (fs.File, error) {
	info, err := t.Stat(name)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			pe.Op = "open"
		}
		return nil, err
	}
	if info.IsDir() {
		list, err := t.ReadDir(name)
		return &treeDir{info: info, list: list}, err
	}
	data, err := t.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return &treeFile{info: info, Reader: bytes.NewReader(data)}, nil
}

// List gives the paths of all files below a folder ("." for all), sorted.
func (t *Tree) List(dir string) ([]string, error) {
	files, err := t.files()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if dir == "." || dir == "" || f.path == dir || strings.HasPrefix(f.path, dir+"/") {
			names = append(names, f.path)
		}
	}
	return names, nil
}

// Walk calls fn for each file and folder of the tree, as fs.WalkDir does.
func (t *Tree) Walk(fn fs.WalkDirFunc) error { return fs.WalkDir(t, ".", fn) }

// files gives all files and submodules in the order of an index.
func (t *Tree) files() ([]file, error) {
	var all []file
	var walk func(dir string) error
	walk = func(dir string) error {
		entries, err := t.entries(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name)
			if e.Mode == filemode.Dir {
				if err := walk(name); err != nil {
					return err
				}
				continue
			}
			all = append(all, file{path: name, mode: e.Mode, hash: e.Hash})
		}
		return nil
	}
	if err := walk("."); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return all, nil
}

type treeInfo struct {
	entry object.TreeEntry
	size  int64
	when  time.Time
}

func (i treeInfo) Name() string       { return i.entry.Name }
func (i treeInfo) Size() int64        { return i.size }
func (i treeInfo) ModTime() time.Time { return i.when }
func (i treeInfo) IsDir() bool        { return i.Mode().IsDir() }
func (i treeInfo) Sys() any           { return nil }
func (i treeInfo) Mode() fs.FileMode  { return fileMode(i.entry.Mode) }

func fileMode(m filemode.FileMode) fs.FileMode {
	switch m {
	case filemode.Dir, filemode.Submodule:
		return fs.ModeDir | 0o755
	case filemode.Symlink:
		return fs.ModeSymlink | 0o777
	case filemode.Executable:
		return 0o755
	}
	return 0o644
}

type treeDirEntry struct {
	tree  *Tree
	entry object.TreeEntry
}

func (e treeDirEntry) Name() string               { return e.entry.Name }
func (e treeDirEntry) IsDir() bool                { return e.Type().IsDir() }
func (e treeDirEntry) Type() fs.FileMode          { return fileMode(e.entry.Mode).Type() }
func (e treeDirEntry) Info() (fs.FileInfo, error) { return e.tree.info(e.entry) }

type treeFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *treeFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *treeFile) Close() error               { return nil }

type treeDir struct {
	info fs.FileInfo
	list []fs.DirEntry
}

func (d *treeDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *treeDir) Close() error               { return nil }
func (d *treeDir) Read([]byte) (int, error) {
	return 0, pathError("read", d.info.Name(), errors.New("is a folder"))
}

func (d *treeDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		list := d.list
		d.list = nil
		return list, nil
	}
	if len(d.list) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.list))
	list := d.list[:n]
	d.list = d.list[n:]
	return list, nil
}
