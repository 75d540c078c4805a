package gitops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
)

// file is a path of a tree: a blob, link or submodule with its mode.
type file struct {
	path string
	mode filemode.FileMode
	hash plumbing.Hash
}

// change is what the work tree has in place of an entry of the index.
type change struct {
	entry   entry
	now     file // as it would be committed
	deleted bool
}

func (c change) modified() bool {
	return c.deleted || c.now.hash != c.entry.Hash || c.now.mode != c.entry.Mode
}

// scan compares the work tree with the index: by size and times first, and by
// content where these differ or cannot be trusted. It calls visit in the order
// of the index, for unchanged paths too. With store set the new contents are
// written as blobs.
func (r *Repo) scan(ctx context.Context, x *index, store bool, visit func(change) error) error {
	w := r.newWorkTree()
	changes := make([]change, len(x.entries))
	var look []int // indexes of changes whose content must be read
	for i, e := range x.entries {
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		c, known, err := w.compare(x, e)
		if err != nil {
			return err
		}
		changes[i] = c
		if !known {
			look = append(look, i)
		}
	}
	targets := make([]*file, len(look))
	for n, i := range look {
		targets[n] = &changes[i].now
	}
	if err := r.hashFiles(ctx, targets, store); err != nil {
		return err
	}
	for _, c := range changes {
		if err := visit(c); err != nil {
			return err
		}
	}
	return nil
}

// workTree remembers what kind of thing the folders of the work tree are.
type workTree struct {
	root     string
	fileMode bool // the file system has executable bits
	symlinks bool // and symbolic links
	folders  map[string]bool
}

func (r *Repo) newWorkTree() *workTree {
	windows := runtime.GOOS == "windows"
	return &workTree{
		root:     r.root,
		fileMode: r.boolOption("core", "filemode", !windows) && !windows,
		symlinks: r.boolOption("core", "symlinks", !windows),
		folders:  map[string]bool{".": true},
	}
}

// isFolder tells whether dir is a folder that is reached without going through
// a symbolic link: what is behind one is not in the work tree.
func (w *workTree) isFolder(dir string) bool {
	if is, ok := w.folders[dir]; ok {
		return is
	}
	is := w.isFolder(path.Dir(dir))
	if is {
		info, err := os.Lstat(filepath.Join(w.root, filepath.FromSlash(dir)))
		is = err == nil && info.IsDir()
	}
	w.folders[dir] = is
	return is
}

// compare looks at one tracked path without reading it. known is false when
// the content has to be read to tell.
func (w *workTree) compare(x *index, e entry) (c change, known bool, err error) {
	c = change{entry: e, now: file{path: e.Name, mode: e.Mode, hash: e.Hash}}
	if e.SkipWorktree {
		return c, true, nil // left out by a sparse checkout, not deleted
	}
	if !w.isFolder(path.Dir(e.Name)) {
		c.deleted = true
		return c, true, nil
	}
	info, err := os.Lstat(filepath.Join(w.root, filepath.FromSlash(e.Name)))
	if errors.Is(err, fs.ErrNotExist) {
		c.deleted = true
		return c, true, nil
	}
	if err != nil {
		return c, false, fmt.Errorf("look at %s: %w", e.Name, err)
	}
	mode, ok := w.mode(info, e.Mode)
	if e.Mode == filemode.Submodule && info.IsDir() {
		return c, true, nil // its own commits are its own business
	}
	if !ok {
		c.deleted = true // a folder or something special is in its place
		return c, true, nil
	}
	c.now.mode = mode
	sameStat := !e.noStat && !e.IntentToAdd && mode == e.Mode && e.Size == uint32(info.Size()) &&
		info.ModTime().Equal(e.ModifiedAt) && sameInode(info, e.Entry)
	racy := !e.ModifiedAt.Before(x.written)
	return c, sameStat && !racy, nil
}

// mode gives the mode to record for what is there; was is the recorded one,
// which stays in what the file system cannot express.
func (w *workTree) mode(info fs.FileInfo, was filemode.FileMode) (filemode.FileMode, bool) {
	switch m := info.Mode(); {
	case m&fs.ModeSymlink != 0:
		return filemode.Symlink, true
	case !m.IsRegular():
		return 0, false
	case !w.symlinks && was == filemode.Symlink:
		return filemode.Symlink, true
	case !w.fileMode && was == filemode.Executable, w.fileMode && m&0o100 != 0:
		return filemode.Executable, true
	}
	return filemode.Regular, true
}

// hashFiles fills in the hashes of files by their content in the work tree,
// converted as git converts on the way in.
func (r *Repo) hashFiles(ctx context.Context, files []*file, store bool) error {
	if len(files) == 0 {
		return nil
	}
	converted, err := r.converts(ctx)
	if err != nil {
		return err
	}
	if converted {
		return r.hashConverted(ctx, files, store)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, f := range files {
		g.Go(func() error { return r.hashFile(ctx, f, store) })
	}
	return g.Wait()
}

func (r *Repo) hashFile(ctx context.Context, f *file, store bool) error {
	name := filepath.Join(r.root, filepath.FromSlash(f.path))
	if f.mode == filemode.Symlink {
		target, err := os.Readlink(name)
		if err != nil {
			data, readErr := os.ReadFile(name) // a stand-in where there are no links
			if readErr != nil {
				return fmt.Errorf("read link %s: %w", f.path, err)
			}
			target = string(data)
		}
		f.hash, err = r.writeObject(plumbing.BlobObject, []byte(filepath.ToSlash(target)), store)
		return err
	}
	var err error
	if f.hash, err = r.writeBlob(ctx, name, store); err != nil {
		return fmt.Errorf("hash %s: %w", f.path, err)
	}
	return nil
}

// converts tells whether what git stores may differ from what is in the work
// tree: line ends, ident, encodings, LFS and other filters.
func (r *Repo) converts(ctx context.Context) (bool, error) {
	var out []byte
	_, err := os.Lstat(filepath.Join(r.gitDir, plainMark))
	if err == nil {
		return r.hasAttributes(ctx)
	}
	out, err = r.git(ctx, nil, "config", "--get-regexp", `^core\.(autocrlf|attributesfile)$`)
	if errors.Is(err, errNoGit) {
		for _, c := range []interface{ Option(string) string }{r.config.Raw.Section("core"), r.userConfig().Raw.Section("core")} {
			if v := strings.ToLower(c.Option("autocrlf")); v != "" && v != "false" {
				return true, nil
			}
		}
	} else if ctx.Err() != nil {
		return false, ctx.Err()
	}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if key == "core.attributesfile" || key == "core.autocrlf" && value != "false" {
			return true, nil
		}
	}
	return r.hasAttributes(ctx)
}

// hasAttributes tells whether there are files that give attributes to paths.
func (r *Repo) hasAttributes(ctx context.Context) (bool, error) {
	if _, err := os.Stat(filepath.Join(r.commonDir, "info", "attributes")); err == nil {
		return true, nil
	}
	for _, file := range r.userFiles("attributes") {
		if _, err := os.Stat(file); err == nil {
			return true, nil
		}
	}
	x, err := r.loadIndex(ctx)
	if err != nil {
		return false, err
	}
	for _, e := range x.entries {
		if path.Base(e.Name) == ".gitattributes" {
			return true, nil
		}
	}
	_, err = os.Stat(filepath.Join(r.root, ".gitattributes"))
	return err == nil, nil
}

// hashConverted lets the git program hash regular files, which applies the
// conversions.
func (r *Repo) hashConverted(ctx context.Context, files []*file, store bool) error {
	var regular []*file
	var list strings.Builder
	for _, f := range files {
		if f.mode == filemode.Symlink || strings.ContainsAny(f.path, "\n\"") {
			if err := r.hashFile(ctx, f, store); err != nil {
				return err
			}
			continue
		}
		regular = append(regular, f)
		list.WriteString(f.path + "\n")
	}
	if len(regular) == 0 {
		return nil
	}
	args := []string{"hash-object", "--stdin-paths"}
	if store {
		args = append(args, "-w")
	}
	out, err := r.git(ctx, strings.NewReader(list.String()), args...)
	if err != nil {
		return fmt.Errorf("convert and hash files: %w", needGit(err, "a repository with line end conversion or filters"))
	}
	hashes := bytes.Fields(out)
	if len(hashes) != len(regular) {
		return errs.New(errs.Failed, "git hash-object gave %d hashes for %d files", len(hashes), len(regular))
	}
	for i, f := range regular {
		f.hash = plumbing.NewHash(string(hashes[i]))
	}
	return nil
}

// Dirty tells whether a tracked file differs from the commit at HEAD, in the
// work tree or in the index. Untracked files do not count.
func (r *Repo) Dirty(ctx context.Context) (bool, error) {
	x, err := r.loadIndex(ctx)
	if err != nil {
		return false, err
	}
	if x.merging != "" {
		return true, nil
	}
	head, err := r.Head()
	if err != nil {
		return false, err
	}
	if head.Commit == "" {
		return len(x.entries) > 0, nil
	}
	staged, err := r.staged(x, head.Commit)
	if err != nil || staged {
		return staged, err
	}
	err = r.scan(ctx, x, false, func(c change) error {
		if c.modified() {
			return errDirty
		}
		return nil
	})
	if errors.Is(err, errDirty) {
		return true, nil
	}
	return false, err
}

var errDirty = errors.New("modified")

// staged tells whether the index differs from a commit.
func (r *Repo) staged(x *index, commit string) (bool, error) {
	t, err := r.Tree(commit)
	if err != nil {
		return false, err
	}
	if x.tree != "" {
		return x.tree != t.Hash(), nil
	}
	files, err := t.files()
	if err != nil {
		return false, err
	}
	if len(files) != len(x.entries) {
		return true, nil
	}
	for i, e := range x.entries {
		if files[i] != (file{path: e.Name, mode: e.Mode, hash: e.Hash}) {
			return true, nil
		}
	}
	return false, nil
}
