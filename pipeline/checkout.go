package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// CheckoutOptions says how data is brought into the work tree.
type CheckoutOptions struct {
	Targets      []string
	Recursive    bool
	WithDeps     bool // also what the targets depend on
	Force        bool // overwrite files whose content is not in the cache
	Relink       bool // make links anew by the current cache.type
	AllowMissing bool // data that is in no cache is skipped
}

// CheckoutResult lists outputs by what a checkout did to them, and counts the
// files: a folder is one output of many files.
type CheckoutResult struct {
	Added, Modified []string // rel paths; a folder's ends with a slash
	Deleted         []string // the same of outputs that nothing records any more
	Missing         []string // recorded, and not in the cache
	Files           struct{ Added, Modified, Deleted int }
}

// Checkout makes the outputs in the work tree what dvc.lock and .dvc files
// record.
func (p *Project) Checkout(ctx context.Context, o CheckoutOptions) (CheckoutResult, error) {
	lock, err := p.Lock(ctx)
	if err != nil {
		return CheckoutResult{}, err
	}
	defer lock.Unlock()
	return p.CheckoutLocked(ctx, o)
}

// checkoutWith is Checkout, and also puts imports without a record in place.
func (p *Project) checkoutWith(ctx context.Context, o CheckoutOptions, imports []broughtImport) (CheckoutResult, error) {
	lock, err := p.Lock(ctx)
	if err != nil {
		return CheckoutResult{}, err
	}
	defer lock.Unlock()
	var placed CheckoutResult
	if err := p.placeImports(ctx, imports, o, &placed); err != nil {
		return placed, err
	}
	r, err := p.CheckoutLocked(ctx, o)
	r.Added = append(r.Added, placed.Added...)
	r.Modified = append(r.Modified, placed.Modified...)
	r.Files.Added += placed.Files.Added
	r.Files.Modified += placed.Files.Modified
	r.Files.Deleted += placed.Files.Deleted
	return r, err
}

// CheckoutLocked is Checkout for a caller that holds the repository lock.
func (p *Project) CheckoutLocked(ctx context.Context, o CheckoutOptions) (CheckoutResult, error) {
	var r CheckoutResult
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return r, err
	}
	outs, err := p.selectOutputs(ix, OutputSelection{Targets: o.Targets, Recursive: o.Recursive, WithDeps: o.WithDeps})
	if err != nil {
		return r, err
	}
	for _, so := range outs { // all of them, before the first is written
		if err := so.Output.checkPlace(); err != nil {
			return r, err
		}
		if len(outs) == 1 { // a checkout looks at its own names first
			break
		}
		if err := p.checkMembers(ctx, so.Output); err != nil {
			return r, err
		}
	}
	var missing []error
	for _, so := range outs {
		if err := p.checkoutOne(ctx, so, o, &r); err != nil {
			if errs.KindOf(err) != errs.DataMissing {
				return r, err
			}
			missing = append(missing, err)
			if so.Output.Recorded != nil {
				r.Missing = append(r.Missing, so.Output.Rel)
			}
		}
	}
	if len(missing) > 0 && !o.AllowMissing {
		return r, errors.Join(missing...)
	}
	if len(o.Targets) == 0 {
		return r, p.removeUnrecorded(ctx, ix, &r)
	}
	return r, nil
}

// checkMembers refuses an output whose list of files, where it is here, names
// one that no data may have.
func (p *Project) checkMembers(ctx context.Context, out *Output) error {
	if !out.Cache || out.Recorded == nil || !out.Recorded.Digest.IsDir() {
		return nil
	}
	dir, err := p.cacheOf(out.Recorded).ReadDir(ctx, out.Recorded.Digest)
	if err == nil {
		err = dir.CheckNames()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("output '%s': %w", out.Path, err)
	}
	return nil
}

func (p *Project) checkoutOne(ctx context.Context, so selectedOutput, o CheckoutOptions, r *CheckoutResult) error {
	out := so.Output
	if !out.Cache {
		return nil
	}
	if out.Recorded == nil {
		return p.neverMade(so)
	}
	if so.Below != "" {
		return p.checkoutPart(ctx, so, o, r)
	}
	done, err := p.checkoutOutput(ctx, out, *out.Recorded, o)
	if err != nil {
		return err
	}
	rel := out.Rel
	if out.Recorded.Digest.IsDir() {
		rel += "/"
	}
	r.note(rel, done)
	return nil
}

// neverMade tells of an output that is neither here nor recorded. One that is
// here is the user's own, and left alone.
func (p *Project) neverMade(so selectedOutput) error {
	if _, err := os.Lstat(p.Abs(so.Output.Rel)); err == nil || !insideProject(so.Output.Rel) {
		return nil
	}
	err := errs.New(errs.DataMissing, "output '%s' was never recorded: there is nothing to check out", p.Show(so.Output.Rel))
	if so.Stage.isImport() {
		return errs.Hint(err, "ctrx pull %s brings it from its source, ctrx update %s also records it", errs.Arg(p.Show(so.Output.Rel)), errs.Arg(p.Show(so.Stage.File)))
	}
	if so.Stage.IsData() {
		return err
	}
	return errs.Hint(err, "make it: ctrx repro %s, or do without: --allow-missing", errs.Arg(so.Stage.Address(p.Dir)))
}

// note enters what happened to one path.
func (r *CheckoutResult) note(rel string, done storage.Changes) {
	r.Files.Added += len(done.Added)
	r.Files.Modified += len(done.Modified)
	r.Files.Deleted += len(done.Deleted)
	switch {
	case done.Created:
		r.Added = append(r.Added, rel)
	case done.Any():
		r.Modified = append(r.Modified, rel)
	}
}

// checkoutOutput makes an output what entry says.
func (p *Project) checkoutOutput(ctx context.Context, out *Output, e dvcfile.Entry, o CheckoutOptions) (storage.Changes, error) {
	if !insideProject(out.Rel) {
		return storage.Changes{}, errs.At(out.Pos, "output '%s' lies outside the project", out.Path)
	}
	done, err := p.cacheOf(&e).Checkout(ctx, p.Abs(out.Rel), e.Digest, storage.CheckoutOptions{
		Root: p.Root, Force: o.Force, Relink: o.Relink, CopyOnly: !out.Cache, IsExec: e.Meta.IsExec,
		Ignore: p.dvcignoreBelow(out.Rel),
	})
	if err == nil && out.Cache {
		p.placed(out.Rel, e)
	}
	return done, err
}

// checkoutPart makes the files of a folder output that lie at or below a path
// what the recorded folder says.
func (p *Project) checkoutPart(ctx context.Context, so selectedOutput, o CheckoutOptions, r *CheckoutResult) error {
	if !so.Output.Recorded.Digest.IsDir() {
		return p.notBelow(so)
	}
	cache := p.cacheOf(so.Output.Recorded)
	dir, err := p.recordedDir(ctx, so.Output)
	if err != nil {
		return err
	}
	found := false
	for _, e := range dir {
		if !inside(e.RelPath, so.Below) {
			continue
		}
		found = true
		rel := path.Join(so.Output.Rel, e.RelPath)
		done, err := cache.Checkout(ctx, p.Abs(rel), e.MD5, storage.CheckoutOptions{Root: p.Root, Force: o.Force, Relink: o.Relink})
		if err != nil {
			return err
		}
		r.note(rel, done)
	}
	if !found {
		return p.notBelow(so)
	}
	return nil
}

// notBelow tells that an output has no such part.
func (p *Project) notBelow(so selectedOutput) error {
	return errs.New(errs.NotFound, "'%s' is not in the recorded content of '%s'", so.Below, p.Show(so.Output.Rel))
}

// recordedDir reads the recorded content of a folder output.
func (p *Project) recordedDir(ctx context.Context, out *Output) (storage.DirObject, error) {
	dir, err := p.cacheOf(out.Recorded).ReadDir(ctx, out.Recorded.Digest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &storage.MissingError{Path: p.Abs(out.Rel), Objects: []storage.MissingObject{{Digest: out.Recorded.Digest}}}
	}
	return dir, err
}
