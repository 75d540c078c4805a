package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"ctrx/internal/errs"
	"ctrx/storage"
	"ctrx/storage/remote"
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
	done, _, err := p.transfer(ctx, o, direction{objects: storage.Push, tree: storage.PushTree, countRuns: true})
	return done, err
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
// their sources.
func (p *Project) Fetch(ctx context.Context, o TransferOptions) (Transferred, error) {
	done, _, err := p.fetch(ctx, o)
	return done, err
}

func (p *Project) fetch(ctx context.Context, o TransferOptions) (Transferred, []broughtImport, error) {
	if err := o.checkTypes(); err != nil {
		return Transferred{}, nil, err
	}
	if err := p.ensureTmp(); err != nil {
		return Transferred{}, nil, err
	}
	o.fetching = true
	return p.transfer(ctx, o, direction{objects: storage.Fetch, tree: storage.FetchTree, imports: p.fetchImports})
}

// Pull is Fetch and Checkout.
func (p *Project) Pull(ctx context.Context, t TransferOptions, c CheckoutOptions) (Transferred, CheckoutResult, error) {
	t, err := p.expand(t)
	if err != nil {
		return Transferred{}, CheckoutResult{}, err
	}
	fetched, imports, err := p.fetch(ctx, t)
	if err != nil {
		return fetched, CheckoutResult{}, err
	}
	c.Targets, c.Recursive, c.WithDeps = t.Targets, t.Recursive, t.WithDeps
	done, err := p.checkoutWith(ctx, c, imports)
	if len(fetched.Missing) > 0 && errs.KindOf(err) == errs.DataMissing {
		err = errs.Hint(err, "the remote does not have it either: ctrx push where the data is, or do without: ctrx pull --allow-missing")
	}
	return fetched, done, err
}

// shipment is the data that one remote holds in one layout.
type shipment struct {
	remote string
	legacy bool
	names  map[storage.Digest][]string // digest -> rel paths that it was recorded for
	order  []storage.Digest
	lists  int // directory objects that were brought to know the names
}

func (s *shipment) add(d storage.Digest, rel string) {
	if _, known := s.names[d]; !known {
		s.order = append(s.order, d)
	}
	if !slices.Contains(s.names[d], rel) {
		s.names[d] = append(s.names[d], rel)
	}
}

// direction is push or fetch.
type direction struct {
	objects func(context.Context, storage.TransferOptions) (storage.Transfer, error)
	tree    func(context.Context, storage.TreeOptions) (storage.Transfer, error)

	// imports brings what other places than remotes have; nil: nothing.
	imports func(ctx context.Context, of []selectedOutput, jobs int) (Transferred, []broughtImport, error)

	countRuns bool // entries of the run cache count as files in the summary: DVC counts those that it pushes
}

func (p *Project) transfer(ctx context.Context, o TransferOptions, move direction) (Transferred, []broughtImport, error) {
	guard, err := p.UseCache(ctx)
	if err != nil {
		return Transferred{}, nil, err
	}
	defer guard.Release()
	shipments, imports, err := p.shipments(ctx, o)
	if err != nil {
		return Transferred{}, nil, err
	}
	total, err := p.moveAll(ctx, shipments, o, move)
	if err == nil && o.RunCache {
		var runs storage.Transfer
		if runs, err = p.transferRunCache(ctx, o, move); move.countRuns {
			total.Files += runs.Files
		}
		total.Bytes += runs.Bytes
	}
	var brought []broughtImport
	if err == nil && move.imports != nil {
		var more Transferred
		more, brought, err = move.imports(ctx, imports, o.Jobs)
		total.Files += more.Files
		total.Missing = append(total.Missing, more.Missing...)
	}
	return total, brought, err
}

func (p *Project) moveAll(ctx context.Context, shipments []*shipment, o TransferOptions, move direction) (Transferred, error) {
	var total Transferred
	var some error
	for _, s := range shipments {
		opts, err := p.storageOptions(ctx, s, o)
		if err != nil {
			return total, err
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
			err = fmt.Errorf("remote '%s': %w", s.remote, err)
		}
		if failed, ok := errors.AsType[*storage.TransferError](err); ok && errs.KindOf(failed) == errs.Failed && ctx.Err() == nil {
			some = errors.Join(some, err) // the other remotes get theirs
		} else if err != nil {
			return total, err
		}
	}
	if some != nil {
		return total, some
	}
	if len(total.Missing) > 0 {
		p.Warn("Some of the cache files do not exist neither locally nor on remote. Missing cache files:\n%s", listed(total.Missing))
	}
	return total, nil
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

// nameOf gives a path for an object of the shipment, or its digest.
func (s *shipment) nameOf(d storage.Digest) string {
	if names := s.names[d]; len(names) > 0 {
		return names[0]
	}
	return string(d)
}

// shipments collects the recorded data of the selected outputs and revisions by
// remote. An output that names a remote of its own goes there; with -r such an
// output is left out unless it names that remote. What comes from the source of
// an import is no shipment of a remote, and given by itself.
func (p *Project) shipments(ctx context.Context, o TransferOptions) (all []*shipment, imports []selectedOutput, err error) {
	if o.Remote != "" { // a wrong name is an error even when there is nothing to send
		if _, err := p.Config.Remote(o.Remote); err != nil {
			return nil, nil, err
		}
	}
	sources, err := p.Sources(ctx, o.Revisions)
	if err != nil {
		return nil, nil, err
	}
	for i, src := range sources {
		ix, err := p.LoadIndex(ctx, src.Source)
		if err != nil {
			return nil, nil, err
		}
		outs, err := p.selectOutputs(ix, OutputSelection{Targets: o.Targets, Recursive: o.Recursive, WithDeps: o.WithDeps})
		if err != nil {
			if i > 0 && errs.KindOf(err) == errs.NotFound {
				continue // an older commit need not know the target
			}
			return nil, nil, err
		}
		typed := o.typedPaths(ix)
		for _, so := range outs {
			if !o.takes(so.Output, typed) {
				continue
			}
			if err := so.Output.checkPlace(); err != nil {
				return nil, nil, err
			}
			if so.comesFromSource() {
				if !slices.ContainsFunc(imports, so.sameImport) {
					imports = append(imports, so)
				}
				continue
			}
			if all, err = p.ship(ctx, all, so, o); err != nil {
				return nil, nil, err
			}
		}
	}
	return all, imports, nil
}

func (p *Project) ship(ctx context.Context, all []*shipment, so selectedOutput, o TransferOptions) ([]*shipment, error) {
	out := so.Output
	if err := out.checkPlace(); err != nil {
		return nil, err
	}
	if !out.Cache || !out.Push || out.Recorded == nil || o.Remote != "" && out.Remote != "" && out.Remote != o.Remote {
		return all, nil
	}
	name, err := p.remoteName(o.Remote, out.Remote)
	if err != nil && o.fetching {
		if missing, e := p.cacheOf(out.Recorded).Missing(ctx, out.Recorded.Digest); e == nil && len(missing) == 0 {
			return all, nil
		}
	}
	if err != nil {
		return nil, err
	}
	legacy := out.Recorded.Hash == ""
	i := slices.IndexFunc(all, func(s *shipment) bool { return s.remote == name && s.legacy == legacy })
	if i < 0 {
		i = len(all)
		all = append(all, &shipment{remote: name, legacy: legacy, names: map[storage.Digest][]string{}})
	}
	if so.Below == "" {
		all[i].add(out.Recorded.Digest, out.Rel)
		return all, nil
	}
	return all, p.shipPart(ctx, all[i], so, o)
}

// shipPart adds what lies below a path of a folder. To fetch that alone, the
// list of the folder is brought first.
func (p *Project) shipPart(ctx context.Context, s *shipment, so selectedOutput, o TransferOptions) error {
	out := so.Output
	if !out.Recorded.Digest.IsDir() {
		return p.notBelow(so)
	}
	dir, err := p.cacheOf(out.Recorded).ReadDir(ctx, out.Recorded.Digest)
	if errors.Is(err, fs.ErrNotExist) && o.fetching {
		if dir, err = p.dirAnywhere(ctx, out, s.remote); err == nil {
			s.lists++
		}
	}
	if errors.Is(err, fs.ErrNotExist) { // what lies in the folder is not known
		s.add(out.Recorded.Digest, out.Rel)
		return nil
	}
	for _, e := range dir {
		if inside(e.RelPath, so.Below) {
			s.add(e.MD5, path.Join(out.Rel, e.RelPath))
		}
	}
	return err
}

// ErrNoRemote says that data has nowhere to go to or to come from.
var ErrNoRemote = errs.Hint(errs.New(errs.NotFound, "no remote was named and there is no default remote"),
	"ctrx remote add -d NAME URL, where URL is a folder or s3://bucket/prefix")

// remoteName chooses a remote: the one asked for, the output's own, or the
// default one.
func (p *Project) remoteName(asked, own string) (string, error) {
	for _, name := range []string{asked, own} {
		if name != "" {
			return name, nil
		}
	}
	if name, ok := p.Config.DefaultRemote(); ok {
		return name, nil
	}
	return "", ErrNoRemote
}

// uploadsDir is where unfinished uploads are written down.
func (p *Project) uploadsDir() string { return filepath.Join(p.TmpDir(), "ctrx", "uploads") }

func (p *Project) openRemote(ctx context.Context, name string) (storage.Backend, map[string]string, error) {
	config, err := p.Config.Remote(name)
	if err != nil {
		return nil, nil, err
	}
	b, err := remote.Open(ctx, name, config, filepath.Join(p.Root, ".dvc"), p.access())
	if c, ok := b.(io.Closer); ok {
		p.opened = append(p.opened, c)
	}
	if j, ok := b.(storage.Journaler); ok {
		j.Journal(p.uploadsDir())
	}
	return b, config, err
}

func (p *Project) storageOptions(ctx context.Context, s *shipment, o TransferOptions) (storage.TransferOptions, error) {
	b, config, err := p.openRemote(ctx, s.remote)
	if err != nil {
		return storage.TransferOptions{}, err
	}
	cache := p.Cache
	if s.legacy {
		cache = cache.Legacy()
	}
	jobs := o.Jobs
	if text, ok := config["jobs"]; jobs == 0 && ok {
		if jobs, err = strconv.Atoi(text); err != nil {
			return storage.TransferOptions{}, errs.New(errs.ProjectFile, "remote '%s': jobs is not a number: %q", s.remote, text)
		}
	}
	paths := make(map[storage.Digest]string, len(s.names))
	for d, names := range s.names {
		paths[d] = names[0]
	}
	opts := storage.TransferOptions{Cache: cache, Remote: b, Objects: s.order, Jobs: jobs, Sink: p.sink, CheckMembers: o.NoIndex, Name: s.remote, Paths: paths}
	if !o.NoIndex {
		opts.Known = p.knownOn(config, s.legacy)
	}
	return opts, nil
}

// knownOn gives the list of folders that a remote is known to hold.
func (p *Project) knownOn(config map[string]string, legacy bool) *storage.Known {
	layout := storage.MD5
	if legacy {
		layout = storage.MD5Dos2Unix
	}
	return storage.OpenKnown(filepath.Join(p.TmpDir(), "ctrx", "pushed"), config["url"], config["endpointurl"], string(layout))
}

// forgetRemote drops what is known of a remote that objects were removed from.
func (p *Project) forgetRemote(name string) {
	if config, err := p.Config.Remote(name); err == nil {
		p.knownOn(config, false).Clear()
		p.knownOn(config, true).Clear()
	}
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

// CloudState is the comparison of the cache with a remote.
type CloudState struct {
	Remote  string
	Objects []ObjectState
}

// ObjectState is data that is not in both places.
type ObjectState struct {
	Name  string // rel path as the user sees it
	State string // "new", "deleted" (on the remote only) or "missing" (in neither)
}

// CloudStatus compares the cache with remotes. It writes nothing. A folder
// whose list of files is only on the remote is looked at through that list,
// and only its files are named, as DVC does.
func (p *Project) CloudStatus(ctx context.Context, o TransferOptions) (CloudState, error) {
	var st CloudState
	shipments, _, err := p.shipments(ctx, o)
	if err != nil {
		return st, err
	}
	for _, s := range shipments {
		opts, err := p.storageOptions(ctx, s, o)
		if err != nil {
			return st, err
		}
		objects, err := storage.Status(ctx, opts)
		if err != nil {
			return st, fmt.Errorf("remote '%s': %w", s.remote, err)
		}
		for _, ob := range objects {
			word := ob.Word()
			if word == "" || word == "deleted" && ob.Digest.IsDir() {
				continue
			}
			for _, rel := range s.names[ob.Root] {
				st.Objects = append(st.Objects, ObjectState{Name: p.Show(path.Join(rel, ob.RelPath)), State: word})
			}
		}
	}
	st.Remote, err = p.remoteName(o.Remote, "")
	if err != nil && len(shipments) > 0 { // each output has a remote of its own
		st.Remote, err = shipments[0].remote, nil
	}
	return st, err
}
