package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// DataStatusOptions says what data status looks at.
type DataStatusOptions struct {
	Targets     []string // paths; none means all data
	Granular    bool     // also the files in folders
	Unchanged   bool     // list what did not change
	Untracked   bool     // list the files that neither Git nor DVC knows
	NotInRemote bool     // list what the remote lacks
	Remote      string   // "" means the default one, and per output its own
}

// DataStatus is what changed in tracked data (dvc-compat 14): committed is the
// difference between the last Git commit and the recorded hashes, uncommitted
// the one between the recorded hashes and the work tree. Paths are relative to
// the project's root; those of folders end with a slash.
type DataStatus struct {
	NotInCache  []string
	NotInRemote []string
	Committed   DataChanges
	Uncommitted DataChanges
	Untracked   []string // as seen from where the user stands
	Unchanged   []string
	EmptyGit    bool // the Git repository has no commit
	DirtyGit    bool // Git has changes that are no data
}

// DataChanges are paths by what happened to them. The words are DVC's: added,
// modified, deleted, renamed, unknown; they stand in the order in which they
// were first met.
type DataChanges struct{ m *dvcfile.Map }

// Len is the number of kinds of change.
func (c DataChanges) Len() int { return c.m.Len() }

func (c *DataChanges) add(word string, v dvcfile.Value) {
	if c.m == nil {
		c.m = &dvcfile.Map{}
	}
	old, _ := c.m.Get(word)
	list, _ := old.([]dvcfile.Value)
	c.m.Set(word, append(list, v))
}

var changeWords = map[changeKind]string{
	dataAdded: "added", dataModified: "modified", dataDeleted: "deleted", dataRenamed: "renamed", dataUnknown: "unknown",
}

// DataStatus looks at every cached output. It writes nothing.
func (p *Project) DataStatus(ctx context.Context, o DataStatusOptions) (DataStatus, error) {
	var st DataStatus
	only, err := p.rels(o.Targets)
	if err != nil {
		return st, err
	}
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return st, err
	}
	var lists *folderLists
	if o.Granular {
		lists = p.folderLists(o.Remote)
		defer lists.Close()
	}
	recorded, err := p.recordedTree(ctx, ix, lists)
	if err != nil {
		return st, err
	}
	present, err := p.presentTree(ctx, ix, o.Granular)
	if err != nil {
		return st, err
	}
	recorded.keep(only)
	present.keep(only)
	changes := worthTelling(compareTrees(recorded, present, byDigest))
	unchanged := st.Uncommitted.fill(changes)
	for _, c := range p.absentObjects(changes) {
		st.NotInCache = append(st.NotInCache, folderSlash(c.oldRel, c.old.isDir))
	}
	if o.NotInRemote {
		if st.NotInRemote, err = p.notInRemote(ctx, ix, only, o, lists); err != nil {
			return st, err
		}
	}
	before, err := p.committedTree(ctx, lists)
	if err != nil {
		return st, err
	}
	if before != nil {
		before.keep(only)
		same := st.Committed.fill(worthTelling(compareTrees(before, recorded, byDigest)))
		maps.DeleteFunc(unchanged, func(rel string, _ struct{}) bool { _, in := same[rel]; return !in })
	}
	if o.Unchanged {
		st.Unchanged = slices.SortedFunc(maps.Keys(unchanged), func(a, b string) int { return byLevel(strings.TrimSuffix(a, "/"), strings.TrimSuffix(b, "/")) })
	}
	return st, p.gitStatus(ctx, o, only, &st)
}

// rels gives the rel paths of what the user wrote.
func (p *Project) rels(targets []string) ([]string, error) {
	var rels []string
	for _, t := range targets {
		rel, err := p.Rel(t)
		if err != nil {
			return nil, err
		}
		rels = append(rels, rel)
	}
	return rels, nil
}

// insideAny tells whether rel is one of the paths or lies in one; no paths stand
// for all.
func insideAny(rel string, paths []string) bool {
	return len(paths) == 0 || slices.ContainsFunc(paths, func(p string) bool { return p == "." || inside(rel, p) })
}

// worthTelling leaves out paths that have no content of their own, and what is
// only recorded of folders that cannot be read.
func worthTelling(all []dataChange) []dataChange {
	var kept []dataChange
	for _, c := range all {
		switch {
		case c.kind == dataUnchanged && (c.old == nil || c.old.digest == "") && (c.new == nil || c.new.digest == ""):
		case c.kind == dataUnknown && c.new == nil:
		default:
			kept = append(kept, c)
		}
	}
	return kept
}

// fill enters changes, and gives the paths of what did not change.
func (c *DataChanges) fill(changes []dataChange) map[string]struct{} {
	unchanged := map[string]struct{}{}
	for _, ch := range changes {
		switch ch.kind {
		case dataUnchanged:
			unchanged[folderSlash(ch.rel, ch.isDir())] = struct{}{}
		case dataRenamed:
			c.add("renamed", dvcfile.NewMap("old", folderSlash(ch.oldRel, ch.old.isDir), "new", folderSlash(ch.rel, ch.new.isDir)))
		default:
			c.add(changeWords[ch.kind], folderSlash(ch.rel, ch.isDir()))
		}
	}
	return unchanged
}

// committedTree is the data that the last commit records; nil without Git.
func (p *Project) committedTree(ctx context.Context, lists *folderLists) (*dataTree, error) {
	if p.Git == nil {
		return nil, nil
	}
	if head, err := p.Git.Head(); err != nil || head.Commit == "" {
		return newDataTree(), err
	}
	src, err := p.Commit("HEAD")
	if err != nil {
		return nil, err
	}
	ix, err := p.LoadIndex(ctx, src)
	if err != nil {
		return nil, err
	}
	return p.recordedTree(ctx, ix, lists)
}

// gitStatus fills in what Git has to say.
func (p *Project) gitStatus(ctx context.Context, o DataStatusOptions, only []string, st *DataStatus) error {
	if p.Git == nil {
		return nil
	}
	head, err := p.Git.Head()
	if err != nil {
		return err
	}
	st.EmptyGit = head.Commit == ""
	if st.DirtyGit, err = p.Git.Dirty(ctx); err != nil || !o.Untracked {
		return err
	}
	files, err := p.Git.Untracked(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(files, walkOrder)
	for _, file := range files {
		rel := relFrom(p.gitPrefix, file)
		if insideProject(rel) && insideAny(rel, only) {
			st.Untracked = append(st.Untracked, p.Show(rel))
		}
	}
	st.DirtyGit = st.DirtyGit || len(files) > 0
	return nil
}

// notInRemote lists recorded data that its remote lacks, folders as a whole
// unless the status is granular.
func (p *Project) notInRemote(ctx context.Context, ix *Index, only []string, o DataStatusOptions, lists *folderLists) ([]string, error) {
	var missing []string
	for _, s := range ix.Stages {
		if s.isRepoImport() {
			continue // what another repository has is never pushed from here
		}
		for _, out := range s.Outs {
			if !out.Cache || !out.Push || out.Recorded == nil || !insideProject(out.Rel) {
				continue
			}
			absent, err := p.absentFromRemote(ctx, selectedOutput{Stage: s, Output: out}, only, o, lists)
			if err != nil {
				return nil, err
			}
			missing = append(missing, absent...)
		}
	}
	slices.SortFunc(missing, func(a, b string) int { return compareParts(strings.TrimSuffix(a, "/"), strings.TrimSuffix(b, "/")) })
	return missing, nil
}

// absentFromRemote gives what the remote lacks of an output. Without any remote
// that is all of it, as in DVC.
func (p *Project) absentFromRemote(ctx context.Context, so selectedOutput, only []string, o DataStatusOptions, lists *folderLists) ([]string, error) {
	out := so.Output
	objects := wantedObjects(ctx, so, only, lists)
	asked := o.Remote
	if asked == "" {
		asked = out.Remote
	}
	absent := make([]bool, len(objects))
	err := p.askAbsent(ctx, so, asked, objects, absent)
	nowhere := errors.Is(err, ErrNoRemote)
	if err != nil && !nowhere {
		return nil, err
	}
	var shown []string
	for i, ob := range objects {
		if nowhere || absent[i] {
			shown = append(shown, ob.show)
		}
	}
	return shown, nil
}

// wantedObject is an object of an output that a remote may lack.
type wantedObject struct {
	show   string
	digest storage.Digest
}

// wantedObjects gives the objects of an output below the paths, with those of a
// folder where its list can be read.
func wantedObjects(ctx context.Context, so selectedOutput, only []string, lists *folderLists) []wantedObject {
	out := so.Output
	var objects []wantedObject
	if insideAny(out.Rel, only) {
		objects = append(objects, wantedObject{folderSlash(out.Rel, out.Recorded.Digest.IsDir()), out.Recorded.Digest})
	}
	if lists != nil && out.Recorded.Digest.IsDir() {
		dir, err := lists.read(ctx, so)
		if err == nil {
			for _, e := range dir {
				if rel := out.Rel + "/" + e.RelPath; insideAny(rel, only) {
					objects = append(objects, wantedObject{rel, e.MD5})
				}
			}
		}
	}
	return objects
}

// askAbsent asks the remote of an output which of its objects it lacks.
func (p *Project) askAbsent(ctx context.Context, so selectedOutput, asked string, objects []wantedObject, absent []bool) error {
	name, err := p.remoteName(asked, so.Output.Remote)
	if err != nil {
		return err
	}
	b, _, err := p.openRemote(ctx, name)
	if err != nil {
		return err
	}
	cache := p.cacheOf(so.Output.Recorded)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, ob := range objects {
		g.Go(func() error {
			_, err := b.Stat(gctx, cache.Algorithm().Key(ob.digest))
			if absent[i] = errors.Is(err, fs.ErrNotExist); absent[i] {
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return fmt.Errorf("remote '%s': %w", name, err)
	}
	return nil
}

// Value gives the shape of DVC's `data status --json`: what is empty is left
// out.
func (st DataStatus) Value() *dvcfile.Map {
	m := &dvcfile.Map{}
	set := func(key string, paths []string) {
		if len(paths) > 0 {
			m.Set(key, textValues(paths))
		}
	}
	set("not_in_cache", st.NotInCache)
	set("not_in_remote", st.NotInRemote)
	setIf := func(key string, c DataChanges) {
		if c.Len() > 0 {
			m.Set(key, c.m)
		}
	}
	setIf("committed", st.Committed)
	setIf("uncommitted", st.Uncommitted)
	set("untracked", st.Untracked)
	set("unchanged", st.Unchanged)
	return m
}

func textValues(texts []string) []dvcfile.Value {
	values := make([]dvcfile.Value, len(texts))
	for i, t := range texts {
		values[i] = t
	}
	return values
}

// dataSections are the parts of the text, with what to do about each.
var dataSections = []struct{ key, title, hints string }{
	{"not_in_cache", "Not in cache", "  (use \"ctrx fetch <file>...\" to download files)\n"},
	{"not_in_remote", "Not in remote", "  (use \"ctrx push <file>...\" to upload files)\n"},
	{"committed", "DVC committed changes", "  (git commit the corresponding dvc files to update the repo)\n"},
	{"uncommitted", "DVC uncommitted changes", "  (use \"ctrx commit <file>...\" to track changes)\n  (use \"ctrx checkout <file>...\" to discard changes)\n"},
	{"untracked", "Untracked files", "  (use \"git add <file> ...\" or \"ctrx add <file>...\" to commit to git or to dvc)\n"},
	{"unchanged", "DVC unchanged files", ""},
}

// Text is the status for people: DVC's, with this program's name.
func (st DataStatus) Text() string {
	var b strings.Builder
	m := st.Value()
	for _, s := range dataSections {
		v, ok := m.Get(s.key)
		if !ok {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		b.WriteString(s.title + ":\n" + s.hints)
		for _, line := range statusLines(v) {
			b.WriteString("        " + line + "\n")
		}
	}
	other := "other "
	if m.Len() == 0 {
		b.WriteString("No changes")
		if st.EmptyGit {
			b.WriteString(" in an empty git repo")
		}
		b.WriteString(".\n")
		other = ""
	}
	if st.DirtyGit {
		b.WriteString("(there are " + other + "changes not tracked by dvc, use \"git status\" to see)\n")
	}
	return b.String()
}

func statusLines(v dvcfile.Value) []string {
	var lines []string
	switch v := v.(type) {
	case []dvcfile.Value:
		for _, item := range v {
			switch item := item.(type) {
			case string:
				lines = append(lines, item)
			case *dvcfile.Map:
				from, _ := item.Get("old")
				to, _ := item.Get("new")
				lines = append(lines, fmt.Sprintf("%s -> %s", from, to))
			}
		}
	case *dvcfile.Map:
		for _, word := range v.Keys() {
			list, _ := v.Get(word)
			for _, line := range statusLines(list) {
				lines = append(lines, word+": "+line)
			}
		}
	}
	return lines
}
