package dvcfile

import (
	"bytes"
	"slices"
)

// Versions are the three versions of a file that a merge sees.
type Versions struct {
	File               string // name for messages
	Base, Ours, Theirs []byte // Base is empty where both sides made the file anew
}

// Merged is what a merge made.
type Merged struct {
	// Data is the merged file. What both sides changed differently stands in it
	// twice, between the marks that Git uses.
	Data []byte
	// Conflicts names what could not be merged ("stage 'train'"); none: the
	// merge is whole.
	Conflicts []string
}

// IsLock tells a dvc.lock from a .dvc file by its content, for a caller that
// does not know the name: Git hands nameless files to a merge driver.
func IsLock(versions ...[]byte) bool {
	for _, data := range versions {
		for line := range bytes.Lines(data) {
			if key, _, _ := bytes.Cut(line, []byte(":")); bytes.Equal(key, []byte("schema")) || bytes.Equal(key, []byte("stages")) {
				return true
			}
		}
	}
	return false
}

// MergeLock merges a dvc.lock stage by stage: a stage that one side changed,
// added or removed is taken from that side. What a stage recorded belongs
// together (its outputs come from exactly these dependencies), so a stage that
// both sides changed differently is a conflict, whatever in it they changed.
// Data sets are merged likewise, by name. What only their side has goes to the
// end.
//
// A side that cannot be read makes the whole file one conflict. A base that
// cannot be read (Git merges ancestors, too, and leaves their conflicts in it)
// counts as empty: what the sides have in common stays, what differs is a
// conflict.
func MergeLock(v Versions) Merged {
	if _, err := ParseLock(v.File, v.Base); err != nil {
		v.Base = nil
	}
	locks, err := parseThree(v, ParseLock)
	if err != nil {
		return v.unmergeable(err.Error())
	}
	var stages, sets [3]*Map
	for i, l := range locks {
		stages[i], sets[i] = &Map{}, &Map{}
		for _, name := range l.Names() {
			stages[i].Set(name, l.stages[name].Value())
		}
		list, _ := l.Datasets().([]Value)
		for _, set := range list {
			m, _ := set.(*Map)
			name, _ := m.Get("name")
			key, ok := name.(string)
			if _, twice := sets[i].Get(key); !ok || twice {
				return v.unmergeable("datasets, which have no names of their own")
			}
			sets[i].Set(key, m)
		}
	}
	m := lockMerge{ours: stages[1], theirs: stages[2]}
	m.stages = m.keys("stage", stages)
	m.sets = m.keys("data set", sets)
	if len(m.conflicts) > 0 {
		return Merged{Data: m.text(sets), Conflicts: m.conflicts}
	}
	ours, theirs := locks[1], locks[2]
	before := ours.doc.Value()
	for _, c := range m.stages {
		switch {
		case c.from == fromOurs:
		case c.removed:
			ours.RemoveStage(c.key)
		default:
			ours.SetStage(c.key, theirs.stages[c.key])
		}
	}
	ours.setDatasets(m.mergedSets(sets))
	return v.settle(ours.doc.Value(), before, theirs.doc.Value(), ours.Encode)
}

// from tells where a part of a merged file comes from.
type from int

const (
	fromOurs from = iota
	fromTheirs
	fromBoth // a conflict
)

// chosen is one key of a merged mapping. removed: the side it comes from lacks
// it.
type chosen struct {
	key     string
	from    from
	removed bool
}

type lockMerge struct {
	ours, theirs *Map // stages
	stages, sets []chosen
	conflicts    []string
}

// keys decides for each key of three mappings: base, ours, theirs.
func (m *lockMerge) keys(what string, versions [3]*Map) (out []chosen) {
	base, ours, theirs := versions[0], versions[1], versions[2]
	for _, key := range unionKeys(ours, theirs) {
		b, o, t := printOf(base, key), printOf(ours, key), printOf(theirs, key)
		c := chosen{key: key, from: choose(b, o, t)}
		switch c.from {
		case fromOurs:
			c.removed = o == ""
		case fromTheirs:
			c.removed = t == ""
		case fromBoth:
			m.conflicts = append(m.conflicts, what+" '"+key+"'")
		}
		out = append(out, c)
	}
	return out
}

// choose tells which version of a part to take, given as comparable values.
func choose[T comparable](base, ours, theirs T) from {
	switch {
	case ours == theirs, theirs == base:
		return fromOurs
	case ours == base:
		return fromTheirs
	}
	return fromBoth
}

// fingerprint is equal for values that are the same in every detail: 1 and 1.0
// differ, because run-cache keys do, and a NaN equals itself. The order of keys
// does not count.
func fingerprint(v Value) string { return string(CanonicalJSON(v)) }

// printOf is the fingerprint of an entry, "" without one.
func printOf(m *Map, key string) string {
	if v, ok := m.Get(key); ok {
		return fingerprint(v)
	}
	return ""
}

// unionKeys gives the keys of a, then those that only b has.
func unionKeys(a, b *Map) []string {
	out := slices.Clone(a.Keys())
	for _, key := range b.Keys() {
		if _, ok := a.Get(key); !ok {
			out = append(out, key)
		}
	}
	return out
}

func (m *lockMerge) mergedSets(sets [3]*Map) (out []Value) {
	for _, c := range m.sets {
		if !c.removed {
			v, _ := sets[1+c.from].Get(c.key)
			out = append(out, v)
		}
	}
	return out
}

func (l *Lock) setDatasets(sets []Value) {
	if len(sets) == 0 {
		l.doc.Delete("datasets")
	} else if fingerprint(l.Datasets()) != fingerprint(sets) {
		_ = l.doc.Set(sets, "datasets") // the only errors are about lists where ParseLock saw mappings
	}
}

// text writes a lock file with conflicts: a stage of which there are two
// versions stands in it twice.
func (m *lockMerge) text(sets [3]*Map) []byte {
	var out bytes.Buffer
	out.Write(EmitYAML(NewMap("schema", lockSchema)))
	for _, group := range []struct {
		title        string
		chosen       []chosen
		ours, theirs *Map
		entry        func(key string, v Value) Value
	}{
		{"stages:\n", m.stages, m.ours, m.theirs, func(key string, v Value) Value { return NewMap("stages", NewMap(key, v)) }},
		{"datasets:\n", m.sets, sets[1], sets[2], func(_ string, v Value) Value { return NewMap("datasets", []Value{v}) }},
	} {
		if len(group.chosen) == 0 {
			continue
		}
		out.WriteString(group.title)
		text := func(side *Map, key string) []byte {
			v, ok := side.Get(key)
			if !ok {
				return nil
			}
			return bytes.TrimPrefix(EmitYAML(group.entry(key, v)), []byte(group.title))
		}
		for _, c := range group.chosen {
			switch ours, theirs := text(group.ours, c.key), text(group.theirs, c.key); c.from {
			case fromOurs:
				out.Write(ours)
			case fromTheirs:
				out.Write(theirs)
			case fromBoth:
				writeConflict(&out, ours, theirs)
			}
		}
	}
	return out.Bytes()
}

// settle gives the merged file: the bytes of a side that has all of it, else
// what encode writes.
func (v Versions) settle(merged, ours, theirs Value, encode func() []byte) Merged {
	switch fingerprint(merged) {
	case fingerprint(ours):
		return Merged{Data: v.Ours}
	case fingerprint(theirs):
		return Merged{Data: v.Theirs}
	}
	return Merged{Data: encode()}
}

func parseThree[T any](v Versions, parse func(string, []byte) (T, error)) (out [3]T, err error) {
	for i, data := range [][]byte{v.Base, v.Ours, v.Theirs} {
		side := []string{" (base)", " (ours)", " (theirs)"}[i]
		if out[i], err = parse(v.File+side, data); err != nil {
			return out, err
		}
	}
	return out, nil
}

// unmergeable gives both sides whole, with marks around the lines that differ.
func (v Versions) unmergeable(conflicts ...string) Merged {
	ours, theirs := bytes.SplitAfter(v.Ours, []byte("\n")), bytes.SplitAfter(v.Theirs, []byte("\n"))
	shorter := min(len(ours), len(theirs))
	start, end := 0, 0
	for start < shorter && bytes.Equal(ours[start], theirs[start]) {
		start++
	}
	for end < shorter-start && bytes.Equal(ours[len(ours)-1-end], theirs[len(theirs)-1-end]) {
		end++
	}
	var out bytes.Buffer
	out.Write(bytes.Join(ours[:start], nil))
	writeConflict(&out, bytes.Join(ours[start:len(ours)-end], nil), bytes.Join(theirs[start:len(theirs)-end], nil))
	out.Write(bytes.Join(ours[len(ours)-end:], nil))
	return Merged{Data: out.Bytes(), Conflicts: conflicts}
}

// writeConflict writes two versions of the same lines as Git does.
func writeConflict(out *bytes.Buffer, ours, theirs []byte) {
	out.WriteString("<<<<<<< ours\n")
	writeLines(out, ours)
	out.WriteString("=======\n")
	writeLines(out, theirs)
	out.WriteString(">>>>>>> theirs\n")
}

func writeLines(out *bytes.Buffer, text []byte) {
	out.Write(text)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		out.WriteByte('\n')
	}
}
