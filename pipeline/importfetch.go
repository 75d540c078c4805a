package pipeline

import (
	"context"
	"errors"
	"fmt"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// broughtImport is an import without a record (--no-download) whose source was
// read: what to put at its output.
type broughtImport struct {
	stage *Stage
	entry dvcfile.Entry
}

// comesFromSource tells whether the data of an output is brought from where it
// was imported from: from another repository always, since no push from here
// sends it anywhere, from a URL while it was never downloaded.
func (so selectedOutput) comesFromSource() bool {
	s := so.Stage
	return s != nil && so.Output.Cache && (s.isRepoImport() || s.isImport() && so.Output.Recorded == nil)
}

// sameImport tells whether two commits have the same import.
func (so selectedOutput) sameImport(o selectedOutput) bool {
	same := so.Stage.File == o.Stage.File && so.Stage.Data.Deps[0].Equal(o.Stage.Data.Deps[0])
	return same && so.Stage.Data.Outs[0].Entry.Equal(o.Stage.Data.Outs[0].Entry)
}

// fetchImports brings what the cache lacks of imports from their sources, other
// repositories at the revision that is locked. One that fails does not keep the
// others from coming.
func (p *Project) fetchImports(ctx context.Context, imports []selectedOutput, jobs int) (Transferred, []broughtImport, error) {
	var total Transferred
	var brought []broughtImport
	var failed error
	said := map[string]bool{}
	for _, so := range imports {
		b, err := p.fetchImport(ctx, so, jobs, &total)
		if ctx.Err() != nil {
			return total, brought, context.Cause(ctx)
		}
		if err != nil {
			err = fmt.Errorf("fetch the import '%s' from '%s': %w", p.Show(so.Output.Rel), p.depName(so.Stage), err)
			if text := err.Error(); !said[text] { // the same at another revision is one failure to a reader
				said[text], failed = true, errors.Join(failed, err)
			}
		}
		if b != nil {
			brought = append(brought, *b)
		}
	}
	return total, brought, failed
}

func (p *Project) fetchImport(ctx context.Context, so selectedOutput, jobs int, total *Transferred) (*broughtImport, error) {
	s, out := so.Stage, so.Output
	if err := out.checkPlace(); err != nil {
		return nil, err
	}
	lacks := -1 // unknown
	if out.Recorded != nil {
		missing, err := p.cacheOf(out.Recorded).Missing(ctx, out.Recorded.Digest)
		if err != nil || len(missing) == 0 {
			return nil, err
		}
		if lacks = len(missing); missing[0].Digest.IsDir() {
			lacks = -1
		}
	}
	got, _, err := p.readSource(ctx, s, ImportOptions{Jobs: jobs})
	if err != nil {
		return nil, err
	}
	if lacks < 0 {
		lacks = countFiles(got.Tree)
	}
	if out.Recorded == nil {
		total.Files += lacks
		return &broughtImport{stage: s, entry: s.importedEntry(got)}, nil
	}
	if missing, err := p.cacheOf(out.Recorded).Missing(ctx, out.Recorded.Digest); err != nil {
		return nil, err
	} else if len(missing) > 0 {
		total.Missing = append(total.Missing, out.Rel)
		err := errs.New(errs.DataMissing, "the source has other content than %s, which %s records", out.Recorded.Digest, p.Show(s.File))
		return nil, errs.Hint(err, "ctrx update %s takes what is there now", errs.Arg(p.Show(s.File)))
	}
	total.Files += lacks
	return nil, nil
}

// countFiles counts the different contents of a tree.
func countFiles(t storage.Tree) int {
	if !t.IsDir() {
		return 1
	}
	seen := map[storage.Digest]bool{}
	for _, e := range t.Dir {
		seen[e.MD5] = true
	}
	return len(seen)
}

// placeImports puts imports without a record into the work tree. As in DVC they
// stay without one: only `update` writes it.
func (p *Project) placeImports(ctx context.Context, brought []broughtImport, o CheckoutOptions, r *CheckoutResult) error {
	for _, b := range brought {
		out := b.stage.Outs[0]
		done, err := p.checkoutOutput(ctx, out, b.entry, o)
		if err != nil {
			return err
		}
		rel := out.Rel
		if b.entry.Digest.IsDir() {
			rel += "/"
		}
		r.note(rel, done)
	}
	return nil
}
