package gitops

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	gitindex "github.com/go-git/go-git/v5/plumbing/format/index"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// CopySpec says what a working copy holds.
type CopySpec struct {
	Dir    string            // where it is made; must not exist, or be an empty folder
	Commit string            // whose files it has
	Head   string            // commit that HEAD is at, detached; "" for Commit
	Leave  []string          // files of the commit that are left out
	Refs   map[string]string // refs that it has, by full name
}

// WorkCopy makes a repository of its own that holds the files of a commit. It
// borrows the objects of this one, so it costs no more than the files, and what
// is done in it, also a stash, a commit or `git gc`, leaves this one alone. The
// index has the files of the commit, so that git shows against HEAD what
// differs. Submodules that are initialised here are there too.
func (r *Repo) WorkCopy(ctx context.Context, spec CopySpec) error {
	if err := r.workCopy(ctx, spec); err != nil {
		return fmt.Errorf("make a working copy in %s: %w", spec.Dir, err)
	}
	return nil
}

func (r *Repo) workCopy(ctx context.Context, spec CopySpec) error {
	tree, err := r.Tree(spec.Commit)
	if err != nil {
		return err
	}
	files, err := tree.files()
	if err != nil {
		return err
	}
	files = slices.DeleteFunc(files, func(f file) bool { return slices.Contains(spec.Leave, f.path) })
	if spec.Head == "" {
		spec.Head = tree.commit
	}
	if err := r.copyGitFolder(spec); err != nil {
		return err
	}
	copied, err := OpenWith(spec.Dir, Options{Env: r.env, Now: r.now})
	if err != nil {
		return err
	}
	converted, err := r.converts(ctx)
	if err != nil {
		return err
	}
	if !converted {
		if err := os.WriteFile(filepath.Join(copied.gitDir, plainMark), nil, 0o666); err != nil {
			return fsx.FullDisk(err)
		}
	}
	return r.fill(ctx, copied, tree, files, converted)
}

// fill writes the files of a tree into a repository that has a Git folder and
// no files yet, and its index. converted tells whether they go through filters.
func (r *Repo) fill(ctx context.Context, copied *Repo, tree *Tree, files []file, converted bool) error {
	if converted { // the git program knows the filters
		if err := copied.writeIndex(files, nil); err != nil {
			return err
		}
		if _, err := copied.git(ctx, nil, "checkout-index", "--all", "--force", "--index"); err != nil {
			return needGit(err, "a repository with line end conversion or filters")
		}
		return r.copySubmodules(ctx, copied, tree, files)
	}
	root, err := fsx.OpenRoot(copied.root)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := r.writeFresh(ctx, root, files); err != nil {
		return err
	}
	if err := r.copySubmodules(ctx, copied, tree, files); err != nil {
		return err
	}
	return copied.writeIndex(files, root)
}

// plainMark is a file in the Git folder of a working copy whose origin converts
// nothing by its configuration, so that git need not be asked again.
const plainMark = "ctrx-no-conversion"

// writeFresh writes files into a folder that has none. Links come last, so that
// nothing is written through one.
func (r *Repo) writeFresh(ctx context.Context, root *fsx.Root, files []file) error {
	made := map[string]bool{".": true}
	var links []file
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if dir := parentOf(f.path); !made[dir] {
			if err := root.MkdirAll(filepath.FromSlash(dir), 0o777); err != nil {
				return fmt.Errorf("%s: %w", dir, err)
			}
			made[dir] = true
		}
		if f.mode != filemode.Regular && f.mode != filemode.Executable {
			links = append(links, f)
			continue
		}
		if err := r.writeFreshFile(root, f); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	for _, f := range links {
		if err := r.restoreFile(ctx, root, nil, f, false); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	return nil
}

func (r *Repo) writeFreshFile(root *fsx.Root, f file) error {
	data, err := r.blob(f.hash)
	if err != nil {
		return err
	}
	perm := fs.FileMode(0o666)
	if f.mode == filemode.Executable {
		perm = 0o777
	}
	out, err := root.CreateNew(filepath.FromSlash(f.path), perm)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	return fsx.FullDisk(errors.Join(err, out.Close()))
}

// copyGitFolder makes the .git of a working copy: all that git asks for, and
// the settings of this repository.
func (r *Repo) copyGitFolder(spec CopySpec) error {
	dir := filepath.Join(spec.Dir, ".git")
	for _, d := range []string{"objects/info", "objects/pack", "refs/heads", "refs/tags", "info"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(d)), 0o777); err != nil {
			return fsx.FullDisk(err)
		}
	}
	settings, err := os.ReadFile(filepath.Join(r.commonDir, "config"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := string(settings)
	if len(text) > 0 && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	text += "[core]\n\tbare = false\n"
	if r.config.Raw.HasSection("core") && r.config.Raw.Section("core").HasOption("worktree") { // of a submodule
		text += fmt.Sprintf("\tworktree = %q\n", filepath.ToSlash(spec.Dir))
	}
	content := map[string]string{
		"HEAD": spec.Head + "\n", "config": text,
		"objects/info/alternates": filepath.ToSlash(filepath.Join(r.commonDir, "objects")) + "\n",
	}
	for _, same := range []string{"info/exclude", "info/attributes", "shallow"} {
		if data, err := os.ReadFile(filepath.Join(r.commonDir, filepath.FromSlash(same))); err == nil {
			content[same] = string(data)
		}
	}
	for name, hash := range spec.Refs {
		if err := CheckRefName(name); err != nil {
			return err
		}
		content[name] = hash + "\n"
	}
	for name, text := range content {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if strings.HasPrefix(name, "refs/") {
			if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
				return fsx.FullDisk(err)
			}
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			return fsx.FullDisk(err)
		}
	}
	return nil
}

// writeIndex makes the index of a working copy that has just these files. With
// root the files are in place, and what the file system says of them is noted,
// so that they need not be read to see that they are unchanged.
func (r *Repo) writeIndex(files []file, root *fsx.Root) error {
	x := &gitindex.Index{Version: 2}
	for _, f := range files {
		e := &gitindex.Entry{Name: f.path, Mode: f.mode, Hash: f.hash}
		if root != nil {
			info, err := root.Lstat(filepath.FromSlash(f.path))
			if err != nil {
				return err
			}
			if !info.IsDir() {
				e.Size, e.ModifiedAt = uint32(info.Size()), info.ModTime()
				noteStat(info, e)
			}
		}
		x.Entries = append(x.Entries, e)
	}
	out, err := os.OpenFile(filepath.Join(r.gitDir, "index"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	err = gitindex.NewEncoder(w).Encode(x)
	return fsx.FullDisk(errors.Join(err, w.Flush(), out.Close()))
}

// copySubmodules fills the folders of submodules that are initialised here. One
// that is not is an empty folder, as it is here.
func (r *Repo) copySubmodules(ctx context.Context, copied *Repo, tree *Tree, files []file) error {
	for _, f := range files {
		if f.mode != filemode.Submodule {
			continue
		}
		dir := filepath.Join(copied.root, filepath.FromSlash(f.path))
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return fsx.FullDisk(err)
		}
		sub, err := r.submodule(tree, f.path)
		if err != nil || sub == nil {
			return err
		}
		commit := f.hash.String()
		if _, err := sub.commitObject(commit); err != nil {
			return errs.Hint(errs.New(errs.NotFound, "submodule %s: its commit %s is not here: %w", f.path, commit, err), "git submodule update --init -- %s", f.path)
		}
		if err := sub.WorkCopy(ctx, CopySpec{Dir: dir, Commit: commit}); err != nil {
			return fmt.Errorf("submodule %s: %w", f.path, err)
		}
	}
	return nil
}

// submodule opens a submodule's repository: of the work tree, else the one that
// git keeps for it. It is nil where there is none.
func (r *Repo) submodule(tree *Tree, name string) (*Repo, error) {
	dir := filepath.Join(r.root, filepath.FromSlash(name))
	if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
		return OpenWith(dir, Options{Env: r.env, Now: r.now})
	}
	data, err := tree.ReadFile(".gitmodules")
	if err != nil {
		return nil, nil
	}
	modules := config.NewModules()
	if err := modules.Unmarshal(data); err != nil {
		return nil, errs.New(errs.ProjectFile, ".gitmodules: %w", err)
	}
	for _, m := range modules.Submodules {
		gitDir := filepath.Join(r.commonDir, "modules", filepath.FromSlash(m.Name))
		if m.Path != name || !filepath.IsLocal(filepath.FromSlash(m.Name)) {
			continue
		}
		if _, err := os.Lstat(filepath.Join(gitDir, "HEAD")); err != nil {
			return nil, nil
		}
		sub := &Repo{root: dir, gitDir: gitDir, commonDir: gitDir, env: r.env, now: r.now}
		sub.storage = openObjects(gitDir, cache.NewObjectLRUDefault(), 0)
		sub.config, err = sub.storage.Config()
		return sub, err
	}
	return nil, nil
}
