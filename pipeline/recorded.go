package pipeline

import (
	"context"
	"fmt"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// NewRecorded makes recorded data from what is known of it elsewhere, as in the
// record of a run: its place, digest and remote. hash is "md5", or "" for data
// that DVC 2 recorded.
func NewRecorded(rel, digest, hash, remote string, exec bool) (Recorded, error) {
	r := Recorded{Rel: rel, Kept: KeptByDVC, Remote: remote}
	r.Entry.Path, r.Entry.Digest, r.Entry.Hash, r.Entry.Meta.IsExec = rel, storage.Digest(digest), hash, exec
	if !r.Entry.Digest.Valid() || hash != "" && hash != "md5" {
		return r, errs.New(errs.DataCorrupt, "%q (%q) is not the digest of data", digest, hash)
	}
	return r, checkDataPath(rel)
}

// FetchRecorded brings data that is in no stage file of the project into the
// cache, as far as it is not there, and gives what is missing then.
func (p *Project) FetchRecorded(ctx context.Context, data []Recorded, o TransferOptions) (Transferred, []MissingData, error) {
	var shipments []*shipment
	missing, err := p.missingOf(ctx, data)
	for _, m := range missing {
		out := &Output{Rel: m.data.Rel, Recorded: &m.data.Entry}
		out.Cache, out.Push, out.Remote = true, true, m.data.Remote
		if name, _ := p.remoteName(o.Remote, out.Remote); name == "" {
			continue // nobody to ask
		}
		if shipments, err = p.ship(ctx, shipments, selectedOutput{Output: out}, o); err != nil {
			return Transferred{}, nil, err
		}
	}
	var moved Transferred
	if err == nil && len(shipments) > 0 {
		guard, guardErr := p.UseCache(ctx)
		if guardErr != nil {
			return moved, nil, guardErr
		}
		defer guard.Release()
		if err = p.ensureTmp(); err == nil {
			moved, err = p.moveAll(ctx, shipments, o, direction{objects: storage.Fetch, tree: storage.FetchTree})
		}
	}
	if err != nil {
		return moved, nil, err
	}
	left, err := p.missingOf(ctx, data)
	gaps := make([]MissingData, len(left))
	for i, m := range left {
		gaps[i] = m.MissingData
	}
	return moved, gaps, err
}

type missingRecorded struct {
	MissingData
	data Recorded
}

func (p *Project) missingOf(ctx context.Context, data []Recorded) ([]missingRecorded, error) {
	var missing []missingRecorded
	for _, r := range data {
		objects, err := p.cacheOf(&r.Entry).Missing(ctx, r.Entry.Digest)
		if err != nil {
			return nil, err
		}
		if len(objects) > 0 {
			m := missingRecorded{MissingData{Rel: r.Rel, Objects: objects}, r}
			m.Remote, _ = p.remoteName("", r.Remote)
			missing = append(missing, m)
		}
	}
	return missing, nil
}

// CheckoutRecorded puts data out of the cache into the work tree. All places are
// checked before the first is written.
func (p *Project) CheckoutRecorded(ctx context.Context, data []Recorded) error {
	for _, r := range data {
		if err := p.checkOutputPlace(r.Rel); err != nil {
			return err
		}
	}
	for _, r := range data {
		_, err := p.cacheOf(&r.Entry).Checkout(ctx, p.Abs(r.Rel), r.Entry.Digest, storage.CheckoutOptions{Root: p.Root, IsExec: r.Entry.Meta.IsExec})
		if err != nil {
			return fmt.Errorf("%s: %w", r.Rel, err)
		}
	}
	return nil
}
