package pipeline

import (
	"context"
	"errors"
	"fmt"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// TransferOptions says what data goes to or comes from which remote.
type TransferOptions struct {
	Revisions
	Targets   []string
	Remote    string // "" means the default one, and per output its own
	Jobs      int    // transfers at a time; 0 is the remote's own setting
	WithDeps  bool
	Recursive bool
	Glob      bool // Push, Pull: targets are patterns of paths
	RunCache  bool
	NoIndex   bool     // ask the remote about every member of every folder
	MaxSize   int64    // Fetch: leave out outputs of this many bytes or more; 0: none
	Types     []string // Fetch: only outputs of these types, "metrics" and "plots"; none: all

	fetching bool // into the cache; what it has already needs no remote
}

// Transferred is what a push or fetch did.
type Transferred struct {
	Files   int
	Bytes   int64
	Missing []string // recorded data that is neither in the cache nor on the remote
}

// PushSummary is DVC's line for the result of a push.
func (t Transferred) PushSummary() string { return t.summary("pushed") }

// FetchSummary is DVC's line for the result of a fetch.
func (t Transferred) FetchSummary() string { return t.summary("fetched") }

func (t Transferred) summary(verb string) string {
	switch t.Files {
	case 0:
		return "Everything is up to date."
	case 1:
		return "1 file " + verb
	}
	return fmt.Sprintf("%d files %s", t.Files, verb)
}

// Push sends the selected data to its remotes.
func (p *Project) Push(ctx context.Context, o TransferOptions) (Transferred, error) {
	o, err := p.expand(o)
	if err != nil {
		return Transferred{}, err
	}
	done, err := p.transfer(ctx, o, direction{objects: storage.Push, tree: storage.PushTree, countRuns: true})
	return done.Transferred, errors.Join(done.err(), err)
}

// expand makes paths of targets that are patterns.
func (p *Project) expand(o TransferOptions) (_ TransferOptions, err error) {
	if o.Glob {
		o.Glob = false
		o.Targets, err = p.globTargets(o.Targets)
	}
	return o, err
}

// Fetch brings the selected data into the cache: from remotes, and imports from
// their sources. What one of them cannot give keeps nothing else from coming.
func (p *Project) Fetch(ctx context.Context, o TransferOptions) (Transferred, error) {
	done, err := p.fetch(ctx, o)
	return done.Transferred, errors.Join(done.err(), err)
}

func (p *Project) fetch(ctx context.Context, o TransferOptions) (moved, error) {
	if err := o.checkTypes(); err != nil {
		return moved{}, err
	}
	if err := p.ensureTmp(); err != nil {
		return moved{}, err
	}
	o.fetching = true
	return p.transfer(ctx, o, direction{objects: storage.Fetch, tree: storage.FetchTree, imports: p.fetchImports})
}

// Pull is Fetch and Checkout. What could be fetched is put in place even when
// something else could not, which is told in the end. Where something is not what
// it is recorded as, the work tree stays as it is.
func (p *Project) Pull(ctx context.Context, t TransferOptions, c CheckoutOptions) (Transferred, CheckoutResult, error) {
	t, err := p.expand(t)
	if err != nil {
		return Transferred{}, CheckoutResult{}, err
	}
	fetched, err := p.fetch(ctx, t)
	if err != nil || errs.Has(fetched.err(), errs.DataCorrupt) || errs.Has(fetched.err(), errs.ProjectFile) {
		return fetched.Transferred, CheckoutResult{}, errors.Join(fetched.err(), err)
	}
	c.Targets, c.Recursive, c.WithDeps = t.Targets, t.Recursive, t.WithDeps
	done, err := p.checkoutWith(ctx, c, fetched.imports)
	if len(fetched.Missing) > 0 && errs.KindOf(err) == errs.DataMissing {
		err = errs.Hint(err, "the remote does not have it either: ctrx push where the data is, or do without: ctrx pull --allow-missing")
	}
	if err == nil && c.AllowMissing && fetched.sources != nil {
		p.Warn("%v", fetched.sources)
		fetched.sources = nil
	}
	return fetched.Transferred, done, errors.Join(fetched.err(), err)
}

// direction is push or fetch.
type direction struct {
	objects func(context.Context, storage.TransferOptions) (storage.Transfer, error)
	tree    func(context.Context, storage.TreeOptions) (storage.Transfer, error)

	// imports brings what other places than remotes have; nil: nothing.
	imports func(ctx context.Context, of []selectedOutput, jobs int) (Transferred, []broughtImport, error)

	countRuns bool // entries of the run cache count as files in the summary: DVC counts those that it pushes
}

// moved is what a push or fetch did.
type moved struct {
	Transferred
	imports []broughtImport // of those without a record
	failed  error           // of remotes: what could not be moved, while everything else was
	sources error           // the same of the sources of imports
}

func (m moved) err() error { return errors.Join(m.failed, m.sources) }

func (p *Project) transfer(ctx context.Context, o TransferOptions, move direction) (moved, error) {
	guard, err := p.UseCache(ctx)
	if err != nil {
		return moved{}, err
	}
	defer guard.Release()
	load, err := p.shipments(ctx, o)
	if err != nil {
		return moved{}, err
	}
	total, err := p.moveAll(ctx, load.shipments, o, move)
	done := moved{Transferred: total, failed: errors.Join(err, load.unplaced)}
	if done.failed == nil && o.RunCache {
		var runs storage.Transfer
		if runs, done.failed = p.transferRunCache(ctx, o, move); move.countRuns {
			done.Files += runs.Files
		}
		done.Bytes += runs.Bytes
	}
	if ctx.Err() != nil {
		done.failed = nil
		return done, context.Cause(ctx)
	}
	if move.imports != nil {
		more, brought, err := move.imports(ctx, load.imports, o.Jobs)
		done.Files += more.Files
		done.Missing = append(done.Missing, more.Missing...)
		done.imports, done.sources = brought, err
	}
	return done, nil
}

// moveAll moves what each remote is to get or give. One that fails does not keep
// the others from theirs; the error is that of all that did.
func (p *Project) moveAll(ctx context.Context, shipments []*shipment, o TransferOptions, move direction) (Transferred, error) {
	var total Transferred
	var failed error
	for _, s := range shipments {
		err := p.moveOne(ctx, s, o, move, &total)
		if ctx.Err() != nil {
			return total, context.Cause(ctx)
		}
		failed = errors.Join(failed, err)
	}
	if len(total.Missing) > 0 {
		p.Warn("Some of the cache files do not exist neither locally nor on remote. Missing cache files:\n%s", listed(total.Missing))
	}
	return total, failed
}

func (p *Project) moveOne(ctx context.Context, s *shipment, o TransferOptions, move direction, total *Transferred) error {
	opts, err := p.storageOptions(ctx, s, o)
	if err != nil {
		return err
	}
	done, err := move.objects(ctx, opts)
	total.Files += done.Files + done.Dirs + s.lists // as DVC counts: the list of a folder is a file too
	total.Bytes += done.Bytes
	for _, m := range done.Missing {
		name := m.Path
		if name == "" {
			name = s.nameOf(m.Digest)
		}
		total.Missing = append(total.Missing, name)
	}
	if err != nil {
		return fmt.Errorf("remote '%s': %w", s.remote, err)
	}
	return nil
}

func listed(names []string) string {
	text := ""
	for i, n := range names {
		if i == 10 {
			return text + fmt.Sprintf("  and %d more", len(names)-i)
		}
		text += "  " + n + "\n"
	}
	return text[:len(text)-1]
}

// transferRunCache copies the run cache as it is.
func (p *Project) transferRunCache(ctx context.Context, o TransferOptions, move direction) (storage.Transfer, error) {
	name, err := p.remoteName(o.Remote, "")
	if err != nil {
		return storage.Transfer{}, err
	}
	b, _, err := p.openRemote(ctx, name)
	if err != nil {
		return storage.Transfer{}, err
	}
	done, err := move.tree(ctx, storage.TreeOptions{Dir: p.Cache.Dir(), Prefix: "runs", Remote: b, Jobs: o.Jobs})
	if errors.Is(err, errors.ErrUnsupported) {
		return done, nil // a web server: as in DVC the rest is done without a word
	}
	if err != nil {
		return done, fmt.Errorf("run cache on remote '%s': %w", name, err)
	}
	return done, nil
}
