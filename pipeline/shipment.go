package pipeline

import (
	"context"
	"errors"
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

// nameOf gives a path for an object of the shipment, or its digest.
func (s *shipment) nameOf(d storage.Digest) string {
	if names := s.names[d]; len(names) > 0 {
		return names[0]
	}
	return string(d)
}

// load is the selected data by where it goes to or comes from.
type load struct {
	shipments []*shipment
	imports   []selectedOutput // what comes from the source of an import
	unplaced  error            // why some data that is to be fetched has no remote
}

// shipments collects the recorded data of the selected outputs and revisions by
// remote. An output that names a remote of its own goes there; with -r such an
// output is left out unless it names that remote.
func (p *Project) shipments(ctx context.Context, o TransferOptions) (load, error) {
	var all load
	asked := o.Remote
	if asked == "" && !o.fetching {
		asked, _ = p.Config.DefaultRemote()
	}
	if asked != "" { // a wrong name is an error even when there is nothing to send
		if _, err := p.Config.Remote(asked); err != nil {
			return all, err
		}
	}
	sources, err := p.Sources(ctx, o.Revisions)
	if err != nil {
		return all, err
	}
	for i, src := range sources {
		ix, err := p.LoadIndex(ctx, src.Source)
		if err != nil {
			return all, err
		}
		outs, err := p.selectOutputs(ix, OutputSelection{Targets: o.Targets, Recursive: o.Recursive, WithDeps: o.WithDeps})
		if err != nil {
			if i > 0 && errs.KindOf(err) == errs.NotFound {
				continue // an older commit need not know the target
			}
			return all, err
		}
		typed := o.typedPaths(ix)
		for _, so := range outs {
			if !o.takes(so.Output, typed) {
				continue
			}
			if err := p.load(ctx, &all, so, o); err != nil {
				return all, err
			}
		}
	}
	return all, nil
}

func (p *Project) load(ctx context.Context, all *load, so selectedOutput, o TransferOptions) error {
	if err := so.Output.checkPlace(); err != nil {
		return err
	}
	if so.comesFromSource() {
		if !slices.ContainsFunc(all.imports, so.sameImport) {
			all.imports = append(all.imports, so)
		}
		return nil
	}
	var err error
	all.shipments, err = p.ship(ctx, all.shipments, so, o)
	if errors.Is(err, ErrNoRemote) && o.fetching { // the rest can come
		all.unplaced, err = err, nil
	}
	return err
}

func (p *Project) ship(ctx context.Context, all []*shipment, so selectedOutput, o TransferOptions) ([]*shipment, error) {
	out := so.Output
	if err := out.checkPlace(); err != nil {
		return all, err
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
		return all, err
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

// ErrNoRemote says that data has no remote: none was named, and none is the
// default one.
var ErrNoRemote = errs.Hint(errs.New(errs.NotFound, "no remote was named and there is no default remote"),
	"ctrx remote add -d NAME URL, where URL is a folder or s3://bucket/prefix")

// OnlyNoRemote tells whether ErrNoRemote is all that an error is made of.
func OnlyNoRemote(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(joined.Unwrap(), func(part error) bool { return !OnlyNoRemote(part) })
	}
	return errors.Is(err, ErrNoRemote)
}

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
