package dvcfile

import (
	"slices"
)

// MergeDirs merges three versions of an entry that records a folder; base is
// the zero Entry where the folder is new on both sides. An error becomes a
// conflict.
type MergeDirs func(base, ours, theirs Entry) (Entry, error)

// MergeDataFile merges a .dvc file field by field: outputs and dependencies by
// their path; what records the content of one (digest, size and the like) as
// one field. Folders that both sides changed are handed to dirs. The file keeps
// the comments and the order of our side; the checksum of an import is computed
// anew.
//
// Where there is a conflict the lines that differ stand in the result twice.
func MergeDataFile(v Versions, dirs MergeDirs) Merged {
	files, err := parseThree(v, ParseDataFile)
	if err != nil {
		return v.unmergeable(err.Error())
	}
	base, ours, theirs := files[0], files[1], files[2]
	before := ours.doc.Value()
	m := dataMerge{dirs: dirs}
	ours.WDir = pick(&m, "wdir", base.WDir, ours.WDir, theirs.WDir)
	ours.Frozen = pick(&m, "frozen", base.Frozen, ours.Frozen, theirs.Frozen)
	ours.AlwaysChanged = pick(&m, "always_changed", base.AlwaysChanged, ours.AlwaysChanged, theirs.AlwaysChanged)
	ours.Desc = pick(&m, "desc", base.Desc, ours.Desc, theirs.Desc)
	ours.Meta = m.value("meta", base.Meta, ours.Meta, theirs.Meta)
	ours.Deps = mergeByPath(&m, "dependency", base.Deps, ours.Deps, theirs.Deps, Entry.depPath, Entry.depPrint, m.dep)
	ours.Outs = mergeByPath(&m, "output", base.Outs, ours.Outs, theirs.Outs, DataOut.outPath, DataOut.outPrint, m.out)
	if len(m.conflicts) > 0 {
		return v.unmergeable(m.conflicts...)
	}
	switch choose(base.MD5, ours.MD5, theirs.MD5) {
	case fromTheirs:
		ours.MD5 = theirs.MD5
	case fromBoth:
		ours.MD5 = ours.Checksum()
	}
	return v.settle(ours.Value(), before, theirs.doc.Value(), ours.Encode)
}

type dataMerge struct {
	dirs      MergeDirs
	conflicts []string
}

// pick takes the version of a field that a side changed.
func pick[T comparable](m *dataMerge, what string, base, ours, theirs T) T {
	switch choose(base, ours, theirs) {
	case fromTheirs:
		return theirs
	case fromBoth:
		m.conflicts = append(m.conflicts, what)
	}
	return ours
}

func (m *dataMerge) value(what string, base, ours, theirs Value) Value {
	switch choose(fingerprint(base), fingerprint(ours), fingerprint(theirs)) {
	case fromTheirs:
		return theirs
	case fromBoth:
		m.conflicts = append(m.conflicts, what)
	}
	return ours
}

func (e Entry) depPath() string    { return e.Path }
func (e Entry) depPrint() string   { return fingerprint(e.depValue()) }
func (o DataOut) outPath() string  { return o.Path }
func (o DataOut) outPrint() string { return fingerprint(o.value()) }

// mergeByPath merges lists of records: those that both sides have and changed
// by both, the others are taken from the side that changed them. New records of
// their side come last.
func mergeByPath[T any](m *dataMerge, what string, base, ours, theirs []T, path, print func(T) string, both func(string, T, T, T) T) (out []T) {
	find := func(list []T, name string) (T, string) {
		if i := slices.IndexFunc(list, func(r T) bool { return path(r) == name }); i >= 0 {
			return list[i], print(list[i])
		}
		var none T
		return none, ""
	}
	var names []string
	for _, list := range [][]T{ours, theirs} {
		for i, r := range list {
			if slices.ContainsFunc(list[:i], func(o T) bool { return path(o) == path(r) }) {
				m.conflicts = append(m.conflicts, what+" '"+path(r)+"': it is listed twice")
			}
			if !slices.Contains(names, path(r)) {
				names = append(names, path(r))
			}
		}
	}
	for _, name := range names {
		b, was := find(base, name)
		o, our := find(ours, name)
		t, their := find(theirs, name)
		at := what + " '" + name + "'"
		switch choose(was, our, their) {
		case fromTheirs:
			o, our = t, their
		case fromBoth:
			if our == "" || their == "" {
				m.conflicts = append(m.conflicts, at+": one side removed it, the other changed it")
				continue
			}
			o = both(at, b, o, t)
		}
		if our != "" {
			out = append(out, o)
		}
	}
	return out
}

func (m *dataMerge) out(at string, base, ours, theirs DataOut) DataOut {
	if base.Path == "" {
		base.Cache, base.Push = true, true // what a file that says nothing means
	}
	ours.Entry = m.dep(at, base.Entry, ours.Entry, theirs.Entry)
	ours.Cache = pick(m, at+": cache", base.Cache, ours.Cache, theirs.Cache)
	ours.Push = pick(m, at+": push", base.Push, ours.Push, theirs.Push)
	ours.Persist = pick(m, at+": persist", base.Persist, ours.Persist, theirs.Persist)
	ours.Remote = pick(m, at+": remote", base.Remote, ours.Remote, theirs.Remote)
	ours.Desc = pick(m, at+": desc", base.Desc, ours.Desc, theirs.Desc)
	ours.Type = pick(m, at+": type", base.Type, ours.Type, theirs.Type)
	ours.Meta = m.value(at+": meta", base.Meta, ours.Meta, theirs.Meta)
	labels := m.value(at+": labels", labelValues(base.Labels), labelValues(ours.Labels), labelValues(theirs.Labels))
	if fingerprint(labels) == fingerprint(labelValues(theirs.Labels)) {
		ours.Labels = theirs.Labels
	}
	return ours
}

func labelValues(labels []string) Value {
	out := make([]Value, len(labels))
	for i, l := range labels {
		out[i] = l
	}
	return out
}

// dep merges what outputs and dependencies have in common: the content with
// everything that belongs to it as one field, and the executable bit.
func (m *dataMerge) dep(at string, base, ours, theirs Entry) Entry {
	exec := pick(m, at+": isexec", base.Meta.IsExec, ours.Meta.IsExec, theirs.Meta.IsExec)
	for _, e := range []*Entry{&base, &ours, &theirs} {
		e.Meta.IsExec = false
	}
	merged := ours
	switch choose(base.depPrint(), ours.depPrint(), theirs.depPrint()) {
	case fromTheirs:
		merged = theirs
	case fromBoth:
		merged = m.content(at, base, ours, theirs)
	}
	merged.Meta.IsExec = exec
	return merged
}

func (m *dataMerge) content(at string, base, ours, theirs Entry) Entry {
	for _, e := range []Entry{base, ours, theirs} {
		if e.Extra.Len() > 0 || e.Hash != ours.Hash || !e.Digest.IsDir() {
			if e.Path == "" && e.Digest == "" { // new on both sides
				continue
			}
			m.conflicts = append(m.conflicts, at+": both sides changed its content")
			return ours
		}
	}
	merged, err := m.dirs(base, ours, theirs)
	if err != nil {
		m.conflicts = append(m.conflicts, at+": "+err.Error())
		return ours
	}
	return merged
}
