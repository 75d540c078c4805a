package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"ctrx/pipeline/dvcfile"
)

// DataStatus is what changed in tracked data (dvc-compat 14): committed is the
// difference between the last Git commit and the recorded hashes, uncommitted
// the one between the recorded hashes and the work tree. Paths of folders end
// with a slash.
type DataStatus struct {
	NotInCache  []string
	Committed   DataChanges
	Uncommitted DataChanges
}

// DataChanges are paths by what happened to them.
type DataChanges struct{ Added, Modified, Deleted []string }

// DataStatus looks at every cached output. It writes nothing.
func (p *Project) DataStatus(ctx context.Context) (DataStatus, error) {
	var st DataStatus
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return st, err
	}
	before, err := p.committedEntries(ctx)
	if err != nil {
		return st, err
	}
	seen := map[string]bool{}
	for _, so := range outputsOf(ix.Stages) {
		out := so.Output
		if !out.Cache {
			continue
		}
		seen[out.Rel] = true
		if err := p.dataStatusOf(ctx, out, before[out.Rel], &st); err != nil {
			return st, err
		}
	}
	for rel, e := range before {
		if !seen[rel] {
			st.Committed.Deleted = append(st.Committed.Deleted, p.showData(rel, e))
		}
	}
	return st, nil
}

func (p *Project) dataStatusOf(ctx context.Context, out *Output, old *dvcfile.Entry, st *DataStatus) error {
	now := out.Recorded
	name := p.showData(out.Rel, now)
	switch {
	case now == nil:
		return nil
	case old == nil:
		st.Committed.Added = append(st.Committed.Added, name)
	case old.Digest != now.Digest:
		st.Committed.Modified = append(st.Committed.Modified, name)
	}
	have, err := p.cacheOf(now).HasTree(ctx, now.Digest)
	if err != nil {
		return err
	}
	if !have {
		st.NotInCache = append(st.NotInCache, name)
	}
	changed, err := p.changed(ctx, out.Rel, now)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		st.Uncommitted.Deleted = append(st.Uncommitted.Deleted, name)
	case err != nil:
		return fmt.Errorf("hash '%s': %w", name, err)
	case changed:
		st.Uncommitted.Modified = append(st.Uncommitted.Modified, name)
	}
	return nil
}

// committedEntries gives what the last commit recorded of each cached output.
func (p *Project) committedEntries(ctx context.Context) (map[string]*dvcfile.Entry, error) {
	found := map[string]*dvcfile.Entry{}
	if p.Git == nil {
		return found, nil
	}
	if head, err := p.Git.Head(); err != nil || head.Commit == "" {
		return found, err
	}
	src, err := p.Commit("HEAD")
	if err != nil {
		return nil, err
	}
	ix, err := p.LoadIndex(ctx, src)
	if err != nil {
		return nil, err
	}
	for _, so := range outputsOf(ix.Stages) {
		if so.Output.Cache && so.Output.Recorded != nil {
			found[so.Output.Rel] = so.Output.Recorded
		}
	}
	return found, nil
}

func (p *Project) showData(rel string, e *dvcfile.Entry) string {
	if e != nil && e.Digest.IsDir() {
		return p.Show(rel) + "/"
	}
	return p.Show(rel)
}

// Value gives the shape of DVC's `data status --json`: what is empty is left
// out.
func (st DataStatus) Value() *dvcfile.Map {
	m := &dvcfile.Map{}
	set := func(to *dvcfile.Map, key string, paths []string) {
		if len(paths) > 0 {
			to.Set(key, textValues(paths))
		}
	}
	set(m, "not_in_cache", st.NotInCache)
	for _, part := range []struct {
		key string
		c   DataChanges
	}{{"committed", st.Committed}, {"uncommitted", st.Uncommitted}} {
		inner := &dvcfile.Map{}
		set(inner, "added", part.c.Added)
		set(inner, "modified", part.c.Modified)
		set(inner, "deleted", part.c.Deleted)
		if inner.Len() > 0 {
			m.Set(part.key, inner)
		}
	}
	return m
}

func textValues(texts []string) []dvcfile.Value {
	values := make([]dvcfile.Value, len(texts))
	for i, t := range texts {
		values[i] = t
	}
	return values
}

// Text is the status for people.
func (st DataStatus) Text() string {
	var b strings.Builder
	section := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "%s\n%s\n", title, strings.Join(lines, ""))
		}
	}
	marked := func(mark string, paths []string) []string {
		lines := make([]string, len(paths))
		for i, p := range paths {
			lines[i] = fmt.Sprintf("        %s: %s\n", mark, p)
		}
		return lines
	}
	changes := func(c DataChanges) []string {
		return append(append(marked("added", c.Added), marked("modified", c.Modified)...), marked("deleted", c.Deleted)...)
	}
	section("Not in cache:\n  (use \"ctrx fetch <file>...\" to download files)", marked("missing", st.NotInCache))
	section("DVC committed changes:\n  (git commit the corresponding dvc files to update the repo)", changes(st.Committed))
	section("DVC uncommitted changes:\n  (use \"ctrx add <file>...\" to track changes)\n  (use \"ctrx checkout <file>...\" to discard changes)", changes(st.Uncommitted))
	if b.Len() == 0 {
		return "No changes.\n"
	}
	return b.String()
}
