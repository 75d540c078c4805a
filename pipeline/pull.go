package pipeline

import (
	"context"
	"os"

	"ctrx/internal/fsx"
	"ctrx/storage"
)

// fetchOutputs brings the recorded data of outputs into the cache.
func (p *Project) fetchOutputs(ctx context.Context, outs []selectedOutput) error {
	var shipments []*shipment
	var err error
	var imports []selectedOutput
	for _, so := range outs {
		if so.comesFromSource() {
			imports = append(imports, so)
			continue
		}
		if shipments, err = p.ship(ctx, shipments, so, TransferOptions{}); err != nil {
			return err
		}
	}
	if _, err = p.moveAll(ctx, shipments, TransferOptions{}, direction{objects: storage.Fetch, tree: storage.FetchTree}); err == nil {
		_, _, err = p.fetchImports(ctx, imports, 0)
	}
	return err
}

// pullStage brings the missing outputs of an otherwise unchanged stage here. It
// tells whether that worked; else the stage runs.
func (p *Project) pullStage(ctx context.Context, s *Stage) bool {
	p.Info("Pulling data for stage: '%s'", s.Address(p.Dir))
	err := p.fetchOutputs(ctx, outputsOf([]*Stage{s}))
	for _, out := range s.Outs {
		if err == nil && out.Recorded != nil && out.Cache {
			_, err = p.checkoutOutput(ctx, out, *out.Recorded, CheckoutOptions{Force: true})
		}
	}
	if err != nil {
		p.Info("Unable to pull data for stage: '%s'", s.Address(p.Dir))
		p.Warn("%v", err)
	}
	return err == nil
}

// pullMissingDeps brings those dependencies of a stage here that are recorded
// as some output and are absent.
func (p *Project) pullMissingDeps(ctx context.Context, s *Stage) error {
	var ix *Index
	for _, d := range s.Deps {
		if _, err := os.Lstat(p.Abs(d.Rel)); d.Rel == "" || !fsx.Missing(err) {
			continue
		}
		if ix == nil {
			var err error
			if ix, err = p.WorkIndex(ctx); err != nil {
				return err
			}
		}
		makers := outputsOf(ix.filter(func(up *Stage) bool { return up.makes(d.Rel) }))
		if err := p.fetchOutputs(ctx, makers); err != nil {
			return err
		}
		for _, so := range makers {
			if so.Output.Recorded == nil {
				continue
			}
			if _, err := p.checkoutOutput(ctx, so.Output, *so.Output.Recorded, CheckoutOptions{Force: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// PullRunCache brings the run cache of the default remote here before a plan is
// made. A remote that has none, or none at all, is only warned about.
func (p *Project) PullRunCache(ctx context.Context) error {
	_, err := p.transferRunCache(ctx, TransferOptions{}, direction{objects: storage.Fetch, tree: storage.FetchTree})
	if err != nil && ctx.Err() == nil {
		p.Warn("Failed to pull run cache: %v", err)
		return nil
	}
	return err
}
