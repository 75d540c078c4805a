package gitops

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"ctrx/internal/fsx"
)

// Import brings a commit of another repository here, with all of its files and
// of its history what is missing here. No ref changes.
func (r *Repo) Import(ctx context.Context, from *Repo, commit string) error {
	if err := r.importCommit(ctx, from, plumbing.NewHash(commit)); err != nil {
		return fmt.Errorf("import commit %s from %s: %w", commit, from.root, err)
	}
	return nil
}

func (r *Repo) has(hash plumbing.Hash) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.storage.HasEncodedObject(hash) == nil
}

// importCommit copies what a commit needs before the commit itself, so that
// one that is here is whole.
func (r *Repo) importCommit(ctx context.Context, from *Repo, hash plumbing.Hash) error {
	var missing []*object.Commit // children before parents
	for next := []plumbing.Hash{hash}; len(next) > 0; {
		h := next[0]
		next = next[1:]
		if r.has(h) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		c, err := from.commitObject(h.String())
		if err != nil {
			return err
		}
		missing = append(missing, c)
		next = append(next, c.ParentHashes...)
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := r.importTree(ctx, from, missing[i].TreeHash); err != nil {
			return err
		}
		if err := r.importObject(from, missing[i].Hash); err != nil {
			return err
		}
	}
	return nil
}

func (r *Repo) importTree(ctx context.Context, from *Repo, hash plumbing.Hash) error {
	if r.has(hash) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	entries, err := from.treeEntries(hash)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Mode {
		case filemode.Submodule:
		case filemode.Dir:
			err = r.importTree(ctx, from, e.Hash)
		default:
			if !r.has(e.Hash) {
				err = r.importObject(from, e.Hash)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
	}
	return r.importObject(from, hash)
}

// importObject copies one object.
func (r *Repo) importObject(from *Repo, hash plumbing.Hash) error {
	from.mu.Lock()
	o, err := from.storage.EncodedObject(plumbing.AnyObject, hash)
	from.mu.Unlock()
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return from.missing(hash.String())
	}
	if err != nil {
		return err
	}
	reader, err := o.Reader()
	if err != nil {
		return err
	}
	defer reader.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	w, header, err := r.storage.LazyWriter()
	if err != nil {
		return fsx.FullDisk(err)
	}
	if err = header(o.Type(), o.Size()); err == nil {
		_, err = io.Copy(w, reader)
	}
	return fsx.FullDisk(errors.Join(err, w.Close()))
}
