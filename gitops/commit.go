package gitops

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// CommitSpec says what to commit.
type CommitSpec struct {
	Parents []string // hashes; none makes a root commit
	Parent  string   // a single parent, for short
	Message string   // taken as it is
	// Add names paths to commit although they are not tracked, relative to the
	// root with slashes. A file counts even when Git ignores it; of a folder
	// only what is not ignored below it, unless the folder itself is. A path
	// that does not exist is passed over.
	Add       []string
	Author    Signature // When zero means the repository's clock
	Committer Signature // zero: the author
}

// WriteCommit makes a commit of the work tree: all tracked files as they are
// now (`git add -u`), and spec.Add. Neither index nor HEAD nor any ref changes;
// the commit is found by the hash that is returned.
func (r *Repo) WriteCommit(ctx context.Context, spec CommitSpec) (string, error) {
	tree, err := r.WriteTree(ctx, spec.Add)
	if err != nil {
		return "", err
	}
	return r.CommitTree(tree, spec)
}

// CommitTree is WriteCommit for a tree that WriteTree made; spec.Add is not
// used.
func (r *Repo) CommitTree(tree string, spec CommitSpec) (string, error) {
	parents := spec.Parents
	if spec.Parent != "" {
		parents = append([]string{spec.Parent}, parents...)
	}
	for _, p := range parents {
		if _, err := r.commitObject(p); err != nil {
			return "", fmt.Errorf("write commit: parent: %w", err)
		}
	}
	author, committer := spec.Author, spec.Committer
	if committer.Name == "" && committer.Email == "" {
		committer = author
	}
	if author.When.IsZero() {
		author.When = r.now()
	}
	if committer.When.IsZero() {
		committer.When = author.When
	}
	var b strings.Builder
	fmt.Fprintf(&b, "tree %s\n", tree)
	for _, p := range parents {
		fmt.Fprintf(&b, "parent %s\n", p)
	}
	fmt.Fprintf(&b, "author %s\ncommitter %s\n\n%s", author.header(), committer.header(), spec.Message)
	hash, err := r.writeObject(plumbing.CommitObject, []byte(b.String()), true)
	if err != nil {
		return "", fmt.Errorf("write commit: %w", err)
	}
	return hash.String(), nil
}

// Resolved is an error where a path is in a merge conflict: such a work tree has
// no tree that could be committed. It looks at the index only.
func (r *Repo) Resolved(ctx context.Context) error {
	x, err := r.loadIndex(ctx)
	if err != nil {
		return err
	}
	return x.resolved()
}

func (x *index) resolved() error {
	if x.merging == "" {
		return nil
	}
	return errs.Hint(errs.New(errs.Conflict, "%s is in a merge conflict", x.merging), "resolve it and `git add` it; git status tells how to abort instead")
}

// WriteTree writes the tree that WriteCommit commits and gives its hash. Two
// equal hashes are two equal states.
func (r *Repo) WriteTree(ctx context.Context, add []string) (string, error) {
	x, err := r.loadIndex(ctx)
	if err != nil {
		return "", err
	}
	if err := x.resolved(); err != nil {
		return "", err
	}
	files := map[string]file{}
	err = r.scan(ctx, x, true, func(c change) error {
		if !c.deleted {
			files[c.now.path] = c.now
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("commit work tree: %w", err)
	}
	if err := r.addPaths(ctx, files, add); err != nil {
		return "", fmt.Errorf("commit work tree: %w", err)
	}
	sorted := make([]file, 0, len(files))
	for _, f := range files {
		sorted = append(sorted, f)
	}
	slices.SortFunc(sorted, func(a, b file) int { return strings.Compare(a.path, b.path) })
	hash, err := r.writeTrees(sorted, "")
	if err != nil {
		return "", fmt.Errorf("write tree: %w", err)
	}
	return hash.String(), nil
}

// clean checks that a path is inside of the work tree and not part of .git.
func (r *Repo) clean(p string) (string, error) {
	p = filepath.ToSlash(filepath.Clean(filepath.FromSlash(p)))
	if !filepath.IsLocal(filepath.FromSlash(p)) {
		return "", errs.New(errs.Usage, "%s is outside of %s", p, r.root)
	}
	for part := range strings.SplitSeq(p, "/") {
		if strings.EqualFold(part, ".git") {
			return "", errs.New(errs.Usage, "%s is inside of a Git folder", p)
		}
	}
	return p, nil
}

// addPaths puts the named untracked files into the tree.
func (r *Repo) addPaths(ctx context.Context, files map[string]file, add []string) error {
	w := r.newWorkTree()
	var found []*file
	take := func(rel string, info fs.FileInfo) {
		if _, ok := files[rel]; ok {
			return
		}
		if mode, ok := w.mode(info, filemode.Regular); ok {
			found = append(found, &file{path: rel, mode: mode})
		}
	}
	for _, p := range add {
		rel, err := r.clean(p)
		if err != nil {
			return err
		}
		if !w.isFolder(parentOf(rel)) {
			continue
		}
		info, err := os.Lstat(filepath.Join(r.root, filepath.FromSlash(rel)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if !info.IsDir() {
			take(rel, info)
			continue
		}
		if err := r.walkUntracked(ctx, rel, take); err != nil {
			return err
		}
	}
	if err := r.hashFiles(ctx, found, true); err != nil {
		return err
	}
	for _, f := range found {
		files[f.path] = *f
	}
	return nil
}

// Untracked lists the files of the work tree that Git neither tracks nor
// ignores, sorted, relative to the root with slashes.
func (r *Repo) Untracked(ctx context.Context) ([]string, error) {
	x, err := r.loadIndex(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	err = r.walkUntracked(ctx, ".", func(rel string, _ fs.FileInfo) {
		if !x.has(rel) {
			names = append(names, rel)
		}
	})
	slices.Sort(names)
	return names, err
}

// UntrackedBeside is Untracked without what a tree holds.
func (r *Repo) UntrackedBeside(ctx context.Context, tree string) ([]string, error) {
	names, err := r.Untracked(ctx)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	files, err := r.treeFiles(tree)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(names, func(name string) bool {
		_, there := slices.BinarySearchFunc(files, name, func(f file, name string) int { return strings.Compare(f.path, name) })
		return there
	}), nil
}

func parentOf(rel string) string {
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		return rel[:i]
	}
	return "."
}

// walkUntracked visits the files below a named folder that git would add.
func (r *Repo) walkUntracked(ctx context.Context, dir string, take func(string, fs.FileInfo)) error {
	ignored := r.IgnoreSet().Ignored
	if dir != "." && ignored(dir, true) {
		ignored = func(string, bool) bool { return false }
	}
	top := filepath.Join(r.root, filepath.FromSlash(dir))
	return filepath.WalkDir(top, func(name string, e fs.DirEntry, err error) error {
		if name != top && fsx.Missing(err) {
			return nil // somebody has just removed it
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(r.root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if e.IsDir() {
			if strings.EqualFold(e.Name(), ".git") || rel != dir && ignored(rel, true) {
				return filepath.SkipDir
			}
			if _, err := os.Lstat(filepath.Join(name, ".git")); err == nil && name != r.root {
				return filepath.SkipDir // a repository of its own
			}
			return nil
		}
		if ignored(rel, false) || strings.EqualFold(e.Name(), ".git") || fsx.IsTemp(e.Name()) {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			take(rel, info)
		}
		return err
	})
}

// writeTrees writes the tree of the files, which are sorted and all begin with
// prefix, and the trees below it.
func (r *Repo) writeTrees(files []file, prefix string) (plumbing.Hash, error) {
	var entries []object.TreeEntry
	for len(files) > 0 {
		name, _, nested := strings.Cut(files[0].path[len(prefix):], "/")
		if !nested {
			entries = append(entries, object.TreeEntry{Name: name, Mode: files[0].mode, Hash: files[0].hash})
			files = files[1:]
			continue
		}
		below := prefix + name + "/"
		n := 0
		for n < len(files) && strings.HasPrefix(files[n].path, below) {
			n++
		}
		hash, err := r.writeTrees(files[:n], below)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		entries = append(entries, object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: hash})
		files = files[n:]
	}
	return r.writeEntries(entries)
}

// writeObject gives the hash of an object and, with store, writes it unless it
// is there already.
func (r *Repo) writeObject(kind plumbing.ObjectType, data []byte, store bool) (plumbing.Hash, error) {
	hash := plumbing.ComputeHash(kind, data)
	if !store {
		return hash, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.storage.HasEncodedObject(hash) == nil {
		return hash, nil
	}
	o := r.storage.NewEncodedObject()
	o.SetType(kind)
	w, err := o.Writer()
	if err != nil {
		return hash, err
	}
	if _, err := w.Write(data); err != nil {
		return hash, err
	}
	if err := w.Close(); err != nil {
		return hash, err
	}
	_, err = r.storage.SetEncodedObject(o)
	return hash, fsx.FullDisk(err)
}

// writeBlob is writeObject for the content of a file of any size.
func (r *Repo) writeBlob(ctx context.Context, name string, store bool) (plumbing.Hash, error) {
	f, err := os.Open(name)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	const small = 1 << 20
	if info.Size() <= small {
		data, err := io.ReadAll(f)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		return r.writeObject(plumbing.BlobObject, data, store)
	}
	digest := sha1.New()
	fmt.Fprintf(digest, "blob %d\x00", info.Size())
	if err := copyExactly(ctx, digest, f, info.Size()); err != nil {
		return plumbing.ZeroHash, err
	}
	hash := plumbing.Hash(digest.Sum(nil))
	r.mu.Lock()
	defer r.mu.Unlock()
	if !store || r.storage.HasEncodedObject(hash) == nil {
		return hash, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return hash, err
	}
	w, header, err := r.storage.LazyWriter()
	if err != nil {
		return hash, err
	}
	if err = header(plumbing.BlobObject, info.Size()); err == nil {
		err = copyExactly(ctx, w, f, info.Size())
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return hash, fsx.FullDisk(err)
	}
	if r.storage.HasEncodedObject(hash) != nil {
		return hash, errChanging
	}
	return hash, nil
}

var errChanging = errs.Hint(errs.New(errs.Conflict, "the file changed while it was read"), "run the command again when nothing writes to it")

// copyExactly copies size bytes and checks that this is the end.
func copyExactly(ctx context.Context, w io.Writer, f io.Reader, size int64) error {
	buf := make([]byte, 256<<10)
	var done int64
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.Read(buf)
		if done += int64(n); done > size {
			return errChanging
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			if done != size {
				return errChanging
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}
