package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// toAdd is a stage that Add records: its whole output, or only some paths in
// the folder that it tracks.
type toAdd struct {
	stage *Stage
	whole bool
	parts []string // rel paths below the output
}

// groupToAdd gathers targets by stage. The whole of an output includes its
// parts.
func groupToAdd(todo []*toAdd, s *Stage, rel string) []*toAdd {
	i := slices.IndexFunc(todo, func(t *toAdd) bool { return t.stage == s })
	if i < 0 {
		i, todo = len(todo), append(todo, &toAdd{stage: s})
	}
	if t := todo[i]; rel == s.Outs[0].Rel {
		t.whole = true
	} else {
		t.parts = append(t.parts, rel)
	}
	return todo
}

// addParts records paths in a tracked folder and leaves the rest of it as it is
// recorded, whether it is in the work tree or not. A path that is gone is gone
// from the record too.
func (p *Project) addParts(ctx context.Context, t *toAdd, o AddOptions) (Added, error) {
	s, out := t.stage, t.stage.Outs[0]
	a := Added{File: s.File, Output: out.Rel}
	e := &s.Data.Outs[0].Entry
	dir, err := p.dirToAddTo(ctx, out)
	if err != nil {
		return a, err
	}
	grown := partSizes{recorded: *e, known: e.HasSize && e.Meta.Size > 0, size: e.Meta.Size}
	store := !o.NoCommit && out.Cache
	for _, rel := range t.parts {
		if dir, err = p.addPart(ctx, dir, out, rel, store, o.NoRelink, &grown); err != nil {
			return a, fmt.Errorf("add '%s': %w", p.Show(out.Rel), err)
		}
	}
	dir.Sort()
	if err := dir.CheckNames(); err != nil {
		return a, fmt.Errorf("add '%s': %w", p.Show(out.Rel), err)
	}
	if store {
		if err := p.Cache.Put(ctx, dir.Digest(), bytes.NewReader(dir.Encode())); err != nil {
			return a, fmt.Errorf("add '%s': %w", p.Show(out.Rel), err)
		}
	}
	if out.Cache {
		if err := p.ignorePath(out.Rel); err != nil {
			return a, err
		}
	}
	a.Tree = storage.Tree{Digest: dir.Digest(), Meta: storage.Meta{NFiles: len(dir)}, Dir: dir}
	*e = dvcfile.NewEntry(e.Path, a.Tree.Digest, a.Tree.Meta)
	e.Meta.Size, e.HasSize = grown.of(e.Digest)
	return a, p.writeData(s)
}

// dirToAddTo reads what is recorded of the folder that a part is added to.
func (p *Project) dirToAddTo(ctx context.Context, out *Output) (storage.DirObject, error) {
	show := p.Show(out.Rel)
	switch info, err := os.Stat(p.Abs(out.Rel)); {
	case fsx.Missing(err):
		return nil, errs.Hint(errs.New(errs.NotFound, "output '%s' does not exist", show), "ctrx checkout %s", errs.Arg(show))
	case err != nil:
		return nil, err
	case out.Recorded == nil || out.Recorded.Digest == "":
		return nil, nil
	case !info.IsDir() || !out.Recorded.Digest.IsDir():
		return nil, errs.New(errs.Usage, "Cannot modify '%s' which is being tracked as a file", show)
	case out.Recorded.Hash == "":
		err := errs.New(errs.Usage, "'%s' was recorded by DVC 2: a part of it cannot be added", show)
		return nil, errs.Hint(err, "ctrx add %s, or ctrx cache migrate --dvc-files", errs.Arg(show))
	}
	dir, err := p.dirAnywhere(ctx, out, "")
	if errors.Is(err, fs.ErrNotExist) {
		err = &storage.MissingError{Path: p.Abs(out.Rel), Objects: []storage.MissingObject{{Digest: out.Recorded.Digest}}}
		return nil, errs.Hint(err, "the list of its files is needed to add a part: ctrx fetch %s; or all of it as it is here: ctrx add %[1]s", errs.Arg(show))
	}
	return dir, err
}

// addPart gives dir with what is at rel now.
func (p *Project) addPart(ctx context.Context, dir storage.DirObject, out *Output, rel string, store, noRelink bool, grown *partSizes) (storage.DirObject, error) {
	below := rel[len(out.Rel)+1:]
	if err := (storage.DirObject{{RelPath: below}}).CheckNames(); err != nil {
		return nil, err
	}
	rest := slices.DeleteFunc(slices.Clone(dir), func(e storage.DirEntry) bool {
		return inside(e.RelPath, below) || inside(below, e.RelPath) // a file where now is a folder, too
	})
	replaced := len(rest) < len(dir)
	tree, err := p.read(ctx, rel, store)
	if errors.Is(err, fs.ErrNotExist) {
		if _, lerr := os.Lstat(p.Abs(rel)); !replaced || lerr == nil {
			return nil, errs.New(errs.NotFound, "output '%s' does not exist", p.Show(rel))
		}
		grown.known = false
		return rest, nil
	}
	if err != nil {
		return nil, err
	}
	if store {
		if err := p.Cache.Commit(ctx, p.Abs(rel), tree, storage.CommitOptions{Root: p.Root, NoRelink: noRelink}); err != nil {
			return nil, err
		}
	}
	grown.known = grown.known && !replaced
	grown.size += tree.Size
	if !tree.IsDir() {
		return append(rest, storage.DirEntry{MD5: tree.Digest, RelPath: below}), nil
	}
	for _, e := range tree.Dir {
		rest = append(rest, storage.DirEntry{MD5: e.MD5, RelPath: path.Join(below, e.RelPath)})
	}
	return rest, nil
}

// partSizes follows the size of a folder to which parts are added. As in DVC it
// is known while files only come in, and where the content turns out to be the
// recorded one: a directory object does not say how large its files are.
type partSizes struct {
	recorded dvcfile.Entry
	known    bool
	size     int64
}

func (g partSizes) of(d storage.Digest) (size int64, known bool) {
	switch {
	case g.known:
		return g.size, true
	case d == g.recorded.Digest:
		return g.recorded.Meta.Size, g.recorded.HasSize
	}
	return 0, false
}
