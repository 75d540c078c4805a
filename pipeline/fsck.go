package pipeline

import (
	"context"
	"fmt"
	"path"
	"slices"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// FsckOptions say what `fsck` looks at.
type FsckOptions struct {
	Remote string // also this remote
	Deep   bool   // read every object of the remote
	Repair bool
	Jobs   int
}

// Problem is something wrong with the project's data.
type Problem struct {
	storage.Finding
	Where    string // "cache", "remote 'NAME'" or "project"
	Remote   string // the name, for a problem there
	Legacy   bool   // of the layout of DVC 2
	For      string // path whose data it is; "" when nothing in the work tree wants it
	Repaired string // what was done about it; "" for nothing
	Hint     string // what to type, for one that is not repaired
}

// Harmless problems endanger no data.
func (b Problem) Harmless() bool {
	return b.What == storage.WrongMode || b.What == storage.Leftover
}

// FsckResult is what was found.
type FsckResult struct {
	Objects    int   // looked at, here and on the remote
	Bytes      int64 // read
	Unchecked  int   // objects on the remote of which only the size is known
	Problems   []Problem
	Quarantine string // folder that damaged objects were moved to; "" for none
}

// Err is nil for sound data, else an error of kind DataCorrupt or DataMissing.
func (r FsckResult) Err() error {
	corrupt, missing, repairable := 0, 0, false
	for _, b := range r.Problems {
		switch {
		case b.Repaired != "" || b.Harmless():
		case b.What == storage.Corrupt:
			corrupt++
		default:
			missing++
		}
		repairable = repairable || b.Repaired == ""
	}
	kind, n, what := errs.DataCorrupt, corrupt+missing, "are damaged or missing"
	switch {
	case n == 0:
		return nil
	case corrupt == 0:
		kind, what = errs.DataMissing, "are missing or lack files"
	case missing == 0:
		what = "are damaged"
	}
	err := errs.New(kind, "%d objects %s", n, what)
	if repairable && r.Quarantine == "" {
		err = errs.Hint(err, "ctrx fsck --repair brings back what the work tree or a remote has")
	}
	return err
}

// Fsck looks for damaged and missing data in the cache and on a remote, and
// mends it if asked to. Nothing is deleted whose content is nowhere else:
// damaged objects go to a quarantine folder, and on a remote stay until a good
// one takes their place.
func (p *Project) Fsck(ctx context.Context, o FsckOptions) (FsckResult, error) {
	f := &fsck{p: p, o: o}
	if o.Remote != "" {
		if _, err := p.Config.Remote(o.Remote); err != nil {
			return f.out, err
		}
	}
	if o.Repair {
		lock, err := p.Lock(ctx)
		if err != nil {
			return f.out, err
		}
		defer lock.Unlock()
	}
	if err := f.run(ctx); err != nil {
		return f.out, fmt.Errorf("fsck: %w", err)
	}
	return f.out, nil
}

// fsck is a Fsck at work.
type fsck struct {
	p   *Project
	o   FsckOptions
	out FsckResult

	outputs []*Output
	wanted  map[bool]map[storage.Digest]string // legacy -> what the work tree records -> path
	good    map[bool]map[storage.Digest]bool   // legacy -> whole in the cache
}

func (f *fsck) run(ctx context.Context) error {
	if err := f.collect(ctx); err != nil {
		return err
	}
	f.good = map[bool]map[storage.Digest]bool{}
	for _, legacy := range []bool{false, true} {
		if err := f.checkCache(ctx, legacy); err != nil {
			return err
		}
	}
	f.leftovers()
	if err := f.workLeftovers(ctx); err != nil {
		return err
	}
	if f.o.Repair {
		if err := f.repairCache(ctx); err != nil {
			return err
		}
	}
	if f.o.Remote == "" {
		return nil
	}
	for _, legacy := range []bool{false, true} {
		if err := f.checkRemote(ctx, legacy); err != nil {
			return fmt.Errorf("remote '%s': %w", f.o.Remote, err)
		}
	}
	return nil
}

func (f *fsck) cache(legacy bool) *storage.Cache {
	if legacy {
		return f.p.Cache.Legacy()
	}
	return f.p.Cache
}

// collect finds what the work tree records.
func (f *fsck) collect(ctx context.Context) error {
	f.wanted = map[bool]map[storage.Digest]string{false: {}, true: {}}
	ix, err := f.p.WorkIndex(ctx)
	if err != nil {
		return err
	}
	for _, stage := range ix.Stages {
		for _, out := range stage.Outs {
			if !out.Cache || out.Recorded == nil || out.Recorded.Digest == "" || stage.isRepoImport() {
				continue
			}
			f.outputs = append(f.outputs, out)
			legacy := out.Recorded.Hash == ""
			f.wants(legacy, out.Recorded.Digest, out.Rel)
			if !out.Recorded.Digest.IsDir() {
				continue
			}
			dir, err := f.cache(legacy).ReadDir(ctx, out.Recorded.Digest)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err == nil {
				for _, e := range dir {
					f.wants(legacy, e.MD5, path.Join(out.Rel, e.RelPath))
				}
			}
		}
	}
	return nil
}

func (f *fsck) wants(legacy bool, d storage.Digest, rel string) {
	if _, known := f.wanted[legacy][d]; !known {
		f.wanted[legacy][d] = f.p.Show(rel)
	}
}

func (f *fsck) add(b Problem) { f.out.Problems = append(f.out.Problems, b) }

func (f *fsck) checkCache(ctx context.Context, legacy bool) error {
	checked, err := f.cache(legacy).Check(ctx, storage.CheckOptions{Before: f.p.now().Add(-leftoverAge), Sink: f.p.sink})
	if err != nil {
		return err
	}
	f.good[legacy] = checked.Good
	f.out.Objects += checked.Objects
	f.out.Bytes += checked.Bytes
	bad := map[storage.Digest]bool{}
	for _, found := range checked.Findings {
		bad[found.Digest] = true
		f.add(Problem{Finding: found, Where: "cache", Legacy: legacy, For: f.wanted[legacy][found.Digest], Hint: cacheHint(found, f.wanted[legacy][found.Digest])})
	}
	for _, out := range f.outputs {
		d := out.Recorded.Digest
		if (out.Recorded.Hash == "") != legacy || checked.Good[d] || bad[d] {
			continue
		}
		bad[d] = true
		rel := f.p.Show(out.Rel)
		f.add(Problem{Finding: storage.Finding{What: storage.Missing, Digest: d, Path: f.cache(legacy).Path(d), Detail: "it is not in the cache"},
			Where: "cache", Legacy: legacy, For: rel, Hint: "ctrx fetch " + errs.Arg(rel)})
	}
	return nil
}

func cacheHint(found storage.Finding, rel string) string {
	if found.What == storage.Incomplete && rel != "" {
		return "ctrx fetch " + errs.Arg(rel)
	}
	return "ctrx fsck --repair"
}

// checkRemote looks at the remote, and with Repair sends what it should have.
func (f *fsck) checkRemote(ctx context.Context, legacy bool) error {
	b, config, err := f.p.openRemote(ctx, f.o.Remote)
	if err != nil {
		return err
	}
	opts := storage.TransferOptions{Cache: f.cache(legacy), Remote: b, Jobs: f.o.Jobs, Sink: f.p.sink, Name: f.o.Remote}
	checked, err := storage.CheckRemote(ctx, opts, f.o.Deep)
	if err != nil {
		return err
	}
	f.out.Objects += checked.Objects
	f.out.Bytes += checked.Bytes
	f.out.Unchecked += checked.Unchecked
	first := len(f.out.Problems)
	damaged := len(checked.Findings)
	for _, found := range checked.Findings {
		f.add(Problem{Finding: found, Where: "remote '" + f.o.Remote + "'", Remote: f.o.Remote, Legacy: legacy, For: f.wanted[legacy][found.Digest],
			Hint: "ctrx fsck --remote " + f.o.Remote + " --repair, where the cache has the data"})
	}
	if err := f.remoteLeftovers(ctx, b, legacy); err != nil {
		return err
	}
	if len(checked.Findings) == 0 || !f.o.Repair {
		return nil
	}
	f.p.knownOn(config, legacy).Clear()
	return f.repairRemote(ctx, opts, f.out.Problems[first:first+damaged])
}

func (f *fsck) repairRemote(ctx context.Context, opts storage.TransferOptions, problems []Problem) error {
	for _, b := range problems {
		if b.What == storage.Corrupt {
			opts.Objects = append(opts.Objects, b.Digest)
		}
		for _, m := range b.Members {
			opts.Objects = append(opts.Objects, m.Digest)
		}
	}
	sent, err := storage.Replace(ctx, opts)
	for i := range problems {
		b := &problems[i]
		whole := b.What != storage.Corrupt || slices.Contains(sent, b.Digest)
		for _, m := range b.Members {
			whole = whole && slices.Contains(sent, m.Digest)
		}
		if whole {
			b.Repaired = "sent from the cache"
		}
	}
	return err
}
