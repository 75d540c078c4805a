package pipeline

import (
	"context"

	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// MissingData is recorded data of which objects are not in the cache.
type MissingData struct {
	Rel     string // rel path of the output
	Remote  string // name of the remote that its objects belong to; "" where there is none
	Objects []storage.MissingObject
}

// MissingData lists the recorded outputs of a source whose data is not whole in
// the cache. It asks no remote.
func (p *Project) MissingData(ctx context.Context, src Source) ([]MissingData, error) {
	ix, err := p.LoadIndex(ctx, src)
	if err != nil {
		return nil, err
	}
	var missing []MissingData
	for _, so := range outputsOf(ix.Stages) {
		out := so.Output
		if !out.Cache || out.Recorded == nil || !out.Recorded.Digest.Valid() {
			continue
		}
		objects, err := p.cacheOf(out.Recorded).Missing(ctx, out.Recorded.Digest)
		if err != nil {
			return nil, err
		}
		if len(objects) == 0 {
			continue
		}
		m := MissingData{Rel: out.Rel, Objects: objects}
		if out.Push {
			m.Remote, _ = p.remoteName("", out.Remote)
		}
		missing = append(missing, m)
	}
	return missing, nil
}

// LostInputs lists dependencies of the work tree's stages that are recorded, are
// not here, and are kept by nobody: Git ignores them and no output holds them.
func (p *Project) LostInputs(ctx context.Context) ([]Recorded, error) {
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return nil, err
	}
	var lost []Recorded
	for _, in := range p.RecordedInputs(ix, ix.Stages) {
		if in.Kept != KeptByNo || in.Made != nil {
			continue
		}
		if changed, err := p.changed(ctx, in.Rel, &in.Entry); err == nil && !changed {
			continue
		}
		lost = append(lost, in)
	}
	return lost, ctx.Err()
}

// UnsavedData lists the outputs of a source that is to be checked out over the
// work tree in whose place there is other content now that is not in the cache:
// it would be lost.
func (p *Project) UnsavedData(ctx context.Context, target Source) ([]string, error) {
	ix, err := p.LoadIndex(ctx, target)
	if err != nil {
		return nil, err
	}
	var unsaved []string
	for _, so := range outputsOf(ix.Stages) {
		out := so.Output
		if !out.Cache || out.Recorded == nil || !insideProject(out.Rel) {
			continue
		}
		tree, err := p.hash(ctx, out.Rel)
		if fsx.Missing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		saved, err := p.saved(ctx, tree, out.Recorded)
		if err != nil {
			return nil, err
		}
		if !saved {
			unsaved = append(unsaved, out.Rel)
		}
	}
	return unsaved, nil
}

// saved tells whether all files of hashed content are in the cache, or what an
// entry records.
func (p *Project) saved(ctx context.Context, tree storage.Tree, e *dvcfile.Entry) (bool, error) {
	if tree.Matches(e.Digest) {
		return true, nil
	}
	digests := []storage.Digest{tree.Digest}
	if tree.Dir != nil {
		digests = digests[:0]
		for _, m := range tree.Dir {
			digests = append(digests, m.MD5)
		}
	}
	for _, d := range digests {
		if ok, err := p.Cache.Has(ctx, d); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}
