package pipeline

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ctrx/gitops"
	"ctrx/internal/fsx"
	"ctrx/internal/ignore"
)

// Source is a tree of files that stage files, locks, params and metrics are
// read from: the work tree or a commit.
type Source interface {
	// ReadFile gives the content of a rel path; fs.ErrNotExist when it is absent.
	ReadFile(rel string) ([]byte, error)
	// StageFiles lists the rel paths of all dvc.yaml and .dvc files.
	StageFiles(ctx context.Context) ([]string, error)
	// Files lists the rel paths of the files at or below a rel path that are not
	// DVC's own; fs.ErrNotExist when it is absent.
	Files(rel string) ([]string, error)
}

// filesBelow is Files of any tree; prefix is the path of the project root in it.
func filesBelow(tree fs.FS, prefix, rel string) ([]string, error) {
	var files []string
	top := path.Join(prefix, rel)
	err := fs.WalkDir(tree, top, func(name string, d fs.DirEntry, err error) error {
		switch {
		case name != top && fsx.Missing(err):
			return nil // somebody has just removed it
		case err != nil:
			return err
		case d.IsDir():
			if d.Name() == ".git" || d.Name() == ".dvc" {
				return fs.SkipDir
			}
			return nil
		}
		if file := relFrom(prefix, name); file == rel || !isStageFile(d.Name()) && d.Name() != "dvc.lock" {
			files = append(files, file)
		}
		return nil
	})
	return files, err
}

// isStageFile tells whether a file of this name holds stages.
func isStageFile(name string) bool {
	return name == "dvc.yaml" || strings.HasSuffix(name, ".dvc") && name != ".dvc"
}

// workTree reads from the user's files.
type workTree struct {
	root    string
	ignored func(rel string, isDir bool) bool
	read    func(rel string) ([]byte, error)
	pretend []string // rel paths of files that are taken to be there
}

// WorkTree is the Source of the user's own files.
func (p *Project) WorkTree() Source {
	return workTree{root: p.Root, read: p.readFile, pretend: slices.Sorted(maps.Keys(p.pretended)), ignored: func(rel string, isDir bool) bool {
		return p.dvcignore.Ignored(rel, isDir) || p.GitIgnored(rel, isDir)
	}}
}

// Pretend makes stage and params files read as if a file had this content, so
// that a dry run can tell what changed parameters would do without writing them.
func (p *Project) Pretend(rel string, data []byte) {
	if p.pretended == nil {
		p.pretended = map[string][]byte{}
	}
	p.pretended[rel] = data
}

func (p *Project) readFile(rel string) ([]byte, error) {
	if data, ok := p.pretended[rel]; ok {
		return data, nil
	}
	return os.ReadFile(p.Abs(rel))
}

func (w workTree) ReadFile(rel string) ([]byte, error) { return w.read(rel) }

func (w workTree) Files(rel string) ([]string, error) {
	if slices.Contains(w.pretend, rel) {
		return []string{rel}, nil
	}
	return filesBelow(os.DirFS(w.root), ".", rel)
}

// StageFiles walks the work tree, leaving out what Git or DVC ignores: outputs
// are git-ignored, so a large data folder is not entered. A folder that is gone
// when its turn comes, as those that a running stage makes for a moment, holds none.
func (w workTree) StageFiles(ctx context.Context) ([]string, error) {
	var found []string
	err := filepath.WalkDir(w.root, func(name string, d fs.DirEntry, err error) error {
		if name != w.root && fsx.Missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if name == w.root || !d.IsDir() && !isStageFile(d.Name()) {
			return nil
		}
		rel, err := filepath.Rel(w.root, name)
		if err != nil {
			return err
		}
		if w.ignored(filepath.ToSlash(rel), d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() {
			found = append(found, filepath.ToSlash(rel))
		}
		return nil
	})
	for _, rel := range w.pretend {
		if isStageFile(path.Base(rel)) && !slices.Contains(found, rel) {
			found = append(found, rel)
		}
	}
	return found, err
}

// gitTree reads from a commit. Its rel paths begin at the project root, which
// may be a folder of the Git repository.
type gitTree struct {
	tree   *gitops.Tree
	prefix string // path of the project root within the repository, "." for its root
	// ignored is what the commit's own .dvcignore files say.
	ignored *ignore.Set
}

// Commit is the Source of a revision; rev is anything Git resolves.
func (p *Project) Commit(rev string) (Source, error) {
	tree, err := p.Git.Tree(rev)
	if err != nil {
		return nil, err
	}
	return newGitTree(tree, p.gitPrefix)
}

func newGitTree(tree *gitops.Tree, prefix string) (gitTree, error) {
	root, err := fs.Sub(tree, path.Clean(prefix))
	if err != nil {
		return gitTree{}, fmt.Errorf("read commit %s: %w", tree.Commit(), err)
	}
	return gitTree{tree: tree, prefix: prefix, ignored: ignore.NewDVC(root)}, nil
}

func (g gitTree) ReadFile(rel string) ([]byte, error) {
	return g.tree.ReadFile(path.Join(g.prefix, rel))
}

func (g gitTree) Files(rel string) ([]string, error) { return filesBelow(g.tree, g.prefix, rel) }

func (g gitTree) StageFiles(ctx context.Context) ([]string, error) {
	names, err := g.tree.List(g.prefix)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, name := range names {
		if rel := relFrom(g.prefix, name); isStageFile(path.Base(rel)) && !g.ignored.Ignored(rel, false) {
			found = append(found, rel)
		}
	}
	return found, ctx.Err()
}
