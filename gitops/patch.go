package gitops

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"ctrx/internal/errs"
)

// PatchSpec says what a patch leads from and to, and what it may hold.
type PatchSpec struct {
	From  string // commit; "" is the empty tree
	To    string // hash of a tree
	Limit int64  // bytes of the files, old and new, that it is made of; larger ones are left out
	// Refuse tells of a file whose content must not go into the patch; nil
	// takes all.
	Refuse func(path string, content []byte) bool
}

// Patch is the difference between two trees.
type Patch struct {
	Text    []byte // as of `git diff --binary --full-index`; empty where nothing differs
	LeftOut []PatchOmission
}

// PatchOmission is a changed file that a patch does not hold.
type PatchOmission struct {
	Path    string
	Size    int64 // of the new content
	Refused bool  // by PatchSpec.Refuse; else the limit was reached
}

// pathsPerCall bounds the length of a command line.
const pathsPerCall = 200

// Diff makes a patch that `git apply` takes. Where the changes exceed the limit
// it holds as many files as fit, the small ones first. The git program writes
// it.
func (r *Repo) Diff(ctx context.Context, spec PatchSpec) (Patch, error) {
	p, err := r.diff(ctx, spec)
	if err != nil {
		return p, fmt.Errorf("make a patch: %w", err)
	}
	return p, nil
}

func (r *Repo) diff(ctx context.Context, spec PatchSpec) (Patch, error) {
	var p Patch
	changed, from, err := r.changedFiles(ctx, spec)
	if err != nil || len(changed) == 0 {
		return p, err
	}
	slices.SortFunc(changed, func(a, b changedFile) int { return cmp.Or(cmp.Compare(a.bytes, b.bytes), cmp.Compare(a.path, b.path)) })
	var paths []string
	var total int64
	for _, f := range changed {
		refused := false
		if spec.Refuse != nil && f.now != nil && f.now.mode != filemode.Submodule {
			content, err := r.blob(f.now.hash)
			if err != nil {
				return p, err
			}
			refused = spec.Refuse(f.path, content)
		}
		if refused || total+f.bytes > spec.Limit {
			p.LeftOut = append(p.LeftOut, PatchOmission{f.path, f.size, refused})
			continue
		}
		total += f.bytes
		paths = append(paths, f.path)
	}
	slices.Sort(paths)
	var text bytes.Buffer
	for some := range slices.Chunk(paths, pathsPerCall) {
		args := append([]string{"diff-tree", "-r", "-p", "--binary", "--full-index", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
			"--src-prefix=a/", "--dst-prefix=b/", "--submodule=short", from, spec.To, "--"}, some...)
		out, err := r.git(ctx, nil, args...)
		if err != nil {
			return p, needGit(err, "a patch of the uncommitted changes")
		}
		text.Write(out)
	}
	p.Text = text.Bytes()
	return p, nil
}

// changedFile is a path at which two trees differ.
type changedFile struct {
	path  string
	now   *file // nil: it is gone
	size  int64 // of the new content
	bytes int64 // of both contents
}

// changedFiles compares the two trees, and gives the tree that the patch leads
// from.
func (r *Repo) changedFiles(ctx context.Context, spec PatchSpec) (changed []changedFile, from string, err error) {
	var before []file
	if spec.From == "" {
		from, err = r.EditTree("", nil) // the empty tree
	} else if t, treeErr := r.Tree(spec.From); treeErr != nil {
		err = treeErr
	} else {
		from = t.Hash()
		before, err = t.files()
	}
	if err != nil || from == spec.To {
		return nil, from, err
	}
	after, err := r.treeFiles(spec.To)
	if err != nil {
		return nil, from, err
	}
	old := map[string]file{}
	for _, f := range before {
		old[f.path] = f
	}
	note := func(f *changedFile, part file) error {
		if part.mode == filemode.Submodule {
			return nil
		}
		n, err := r.blobSize(part.hash)
		f.bytes += n
		if f.now != nil && *f.now == part {
			f.size = n
		}
		return err
	}
	for i := range after {
		was, there := old[after[i].path]
		delete(old, after[i].path)
		if there && was == after[i] {
			continue
		}
		f := changedFile{path: after[i].path, now: &after[i]}
		if err := note(&f, after[i]); err != nil {
			return nil, from, err
		}
		if there {
			if err := note(&f, was); err != nil {
				return nil, from, err
			}
		}
		changed = append(changed, f)
	}
	for _, gone := range old {
		f := changedFile{path: gone.path}
		if err := note(&f, gone); err != nil {
			return nil, from, err
		}
		changed = append(changed, f)
	}
	return changed, from, ctx.Err()
}

// treeFiles lists the files of a tree object.
func (r *Repo) treeFiles(tree string) ([]file, error) {
	t := &Tree{repo: r, hash: plumbing.NewHash(tree), trees: map[string][]object.TreeEntry{}}
	return t.files()
}

func (r *Repo) blobSize(hash plumbing.Hash) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.storage.EncodedObjectSize(hash)
}

// WholeTree tells whether a tree is here with all files below it.
func (r *Repo) WholeTree(tree string) bool {
	files, err := r.treeFiles(tree)
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(files, func(f file) bool { return f.mode != filemode.Submodule && !r.has(f.hash) })
}

// Apply gives the tree that a patch leads to from a commit; "" is the empty
// tree. It writes objects only: work tree, index and refs stay as they are. A
// patch that does not fit is errs.DataCorrupt.
func (r *Repo) Apply(ctx context.Context, commit string, patch []byte) (tree string, err error) {
	dir, err := os.MkdirTemp("", "ctrx-apply-")
	if err != nil {
		return "", fmt.Errorf("apply a patch: %w", err)
	}
	defer os.RemoveAll(dir)
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(dir, "index")}
	read := []string{"read-tree", "--empty"}
	if commit != "" {
		read = []string{"read-tree", commit}
	}
	if _, err := r.gitWith(ctx, env, nil, read...); err != nil {
		return "", fmt.Errorf("apply a patch to commit %s: %w", commit, needGit(err, "a patch"))
	}
	if len(patch) > 0 {
		if _, err := r.gitWith(ctx, env, bytes.NewReader(patch), "apply", "--cached", "--binary", "--whitespace=nowarn", "--unidiff-zero", "-"); err != nil {
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			return "", errs.New(errs.DataCorrupt, "the patch does not fit commit %s: %w", commit, err)
		}
	}
	out, err := r.gitWith(ctx, env, nil, "write-tree")
	if err != nil {
		return "", fmt.Errorf("apply a patch to commit %s: %w", commit, err)
	}
	r.mu.Lock()
	r.storage.Reindex()
	r.mu.Unlock()
	return string(bytes.TrimSpace(out)), nil
}
