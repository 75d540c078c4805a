package pipeline

import (
	"context"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// DataDiffOptions says what `diff` compares.
type DataDiffOptions struct {
	Old, New string   // revisions; "" for New is the work tree
	Targets  []string // tracked files, folders or .dvc files; none means all data
}

// DataDiff is how tracked data differs between two revisions, or a revision and
// the work tree. Each list is sorted by path; folders end with a slash.
type DataDiff struct {
	Added, Deleted, Modified, Renamed, NotInCache []DataDifference
	// Missing tells whether NotInCache was looked for: in a comparison with the
	// work tree only.
	Missing bool
}

// DataDifference is one path that differs. Which of the paths and hashes are
// set depends on the list it stands in.
type DataDifference struct {
	Path, OldPath     string // OldPath: of something renamed
	Digest, OldDigest storage.Digest
}

// Empty tells whether nothing differs and nothing is missing.
func (d DataDiff) Empty() bool {
	return len(d.Added)+len(d.Deleted)+len(d.Modified)+len(d.Renamed)+len(d.NotInCache) == 0
}

// DataDiff compares cached outputs. It writes nothing.
func (p *Project) DataDiff(ctx context.Context, o DataDiffOptions) (DataDiff, error) {
	d := DataDiff{Missing: o.New == ""}
	repo, err := p.Repo()
	if err != nil {
		return d, err
	}
	if head, err := repo.Head(); err != nil || head.Commit == "" {
		return d, err
	}
	oldIx, err := p.indexAt(ctx, o.Old)
	if err != nil {
		return d, err
	}
	newIx, err := p.indexAt(ctx, o.New)
	if err != nil {
		return d, err
	}
	only, err := p.diffTargets(o.Targets, oldIx, newIx)
	if err != nil {
		return d, err
	}
	lists := p.folderLists("")
	defer lists.Close()
	old, err := p.recordedTree(ctx, oldIx, lists)
	if err != nil {
		return d, err
	}
	var now *dataTree
	if o.New == "" {
		now, err = p.presentTree(ctx, newIx, true)
	} else {
		now, err = p.recordedTree(ctx, newIx, lists)
	}
	if err != nil {
		return d, err
	}
	old.keep(only)
	now.keep(only)
	d.fill(p, compareTrees(old, now, byPresence))
	return d, nil
}

// indexAt is the index of a revision, "" for the work tree.
func (p *Project) indexAt(ctx context.Context, rev string) (*Index, error) {
	if rev == "" || rev == "workspace" {
		return p.WorkIndex(ctx)
	}
	src, err := p.Commit(rev)
	if err != nil {
		return nil, err
	}
	return p.LoadIndex(ctx, src)
}

// diffTargets gives the paths that targets stand for on either side. One that
// neither side knows is an error.
func (p *Project) diffTargets(targets []string, sides ...*Index) ([]string, error) {
	var only []string
	for _, t := range targets {
		var firstErr error
		found := false
		for _, ix := range sides {
			outs, err := p.selectOutputs(ix, OutputSelection{Targets: []string{t}})
			if err != nil {
				if errs.KindOf(err) != errs.NotFound {
					return nil, err
				}
				if firstErr == nil {
					firstErr = err // the other side says the same
				}
				continue
			}
			for _, so := range outs {
				found = true
				only = append(only, strings.TrimSuffix(so.Output.Rel+"/"+so.Below, "/"))
			}
		}
		if !found {
			if firstErr == nil {
				firstErr = errs.New(errs.NotFound, "'%s' names no tracked data", t)
			}
			return nil, firstErr
		}
	}
	return only, nil
}

func (d *DataDiff) fill(p *Project, changes []dataChange) {
	var told []dataChange
	for _, c := range changes {
		if c.old != nil && c.old.isDir && c.old.digest == "" || c.new != nil && c.new.isDir && c.new.digest == "" {
			continue // a folder inside an output
		}
		told = append(told, c)
		switch c.kind {
		case dataAdded:
			d.Added = append(d.Added, DataDifference{Path: folderSlash(c.rel, c.new.isDir), Digest: c.new.digest})
		case dataDeleted:
			d.Deleted = append(d.Deleted, DataDifference{Path: folderSlash(c.rel, c.old.isDir), Digest: c.old.digest})
		case dataModified:
			d.Modified = append(d.Modified, DataDifference{Path: folderSlash(c.rel, c.old.isDir), OldDigest: c.old.digest, Digest: c.new.digest})
		case dataRenamed:
			d.Renamed = append(d.Renamed, DataDifference{Path: folderSlash(c.rel, c.new.isDir), OldPath: folderSlash(c.oldRel, c.old.isDir), Digest: c.old.digest})
		}
	}
	if d.Missing {
		for _, c := range p.absentObjects(told) {
			d.NotInCache = append(d.NotInCache, DataDifference{Path: folderSlash(c.oldRel, c.old.isDir), Digest: c.old.digest})
		}
	}
	for _, list := range [][]DataDifference{d.Added, d.Deleted, d.Modified, d.Renamed, d.NotInCache} {
		slices.SortStableFunc(list, func(a, b DataDifference) int { return strings.Compare(a.sortKey(), b.sortKey()) })
	}
}

func (d DataDifference) sortKey() string {
	if d.OldPath != "" {
		return d.OldPath
	}
	return d.Path
}

// DataDiffGroup is a list of a DataDiff with the word that stands for it.
type DataDiffGroup struct {
	Word        string
	Differences []DataDifference
}

// Groups gives the lists in the order in which they are shown; hideMissing
// leaves out what is not in the cache.
func (d DataDiff) Groups(hideMissing bool) []DataDiffGroup {
	groups := []DataDiffGroup{{"added", d.Added}, {"deleted", d.Deleted}, {"renamed", d.Renamed}, {"modified", d.Modified}}
	if d.Missing && !hideMissing {
		groups = append(groups, DataDiffGroup{"not in cache", d.NotInCache})
	}
	return groups
}

// Value gives the shape of DVC's `diff --json`.
func (d DataDiff) Value(hashes, hideMissing bool) *dvcfile.Map {
	m := &dvcfile.Map{}
	if d.Empty() {
		return m
	}
	list := func(word string, ds []DataDifference) {
		values := make([]dvcfile.Value, len(ds))
		for i, x := range ds {
			values[i] = x.value(word, hashes)
		}
		m.Set(word, values)
	}
	list("added", d.Added)
	list("deleted", d.Deleted)
	list("modified", d.Modified)
	list("renamed", d.Renamed)
	if d.Missing && !hideMissing {
		list("not in cache", d.NotInCache)
	}
	return m
}

func (d DataDifference) value(word string, hashes bool) *dvcfile.Map {
	m := dvcfile.NewMap("path", d.Path)
	if d.OldPath != "" {
		m = dvcfile.NewMap("path", dvcfile.NewMap("old", d.OldPath, "new", d.Path))
	}
	if !hashes {
		return m
	}
	if word == "modified" {
		m.Set("hash", dvcfile.NewMap("old", digestValue(d.OldDigest), "new", digestValue(d.Digest)))
	} else {
		m.Set("hash", digestValue(d.Digest))
	}
	return m
}

func digestValue(d storage.Digest) dvcfile.Value {
	if d == "" {
		return nil
	}
	return string(d)
}

// Shown is the path as text: "old -> new" for something renamed.
func (d DataDifference) Shown() string {
	if d.OldPath != "" {
		return d.OldPath + " -> " + d.Path
	}
	return d.Path
}

// ShortHash is the beginning of the hash, or of both hashes of something
// modified.
func (d DataDifference) ShortHash() string {
	short := func(d storage.Digest) string { return string(d[:min(8, len(d))]) }
	if d.OldDigest != "" {
		return short(d.OldDigest) + ".." + short(d.Digest)
	}
	return short(d.Digest)
}
