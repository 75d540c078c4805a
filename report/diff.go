package report

import (
	"math/big"
	"slices"
	"strings"

	"ctrx/pipeline/dvcfile"
)

// Diff is what changed between two revisions: files in the order in which they
// were given (the old revision's first), keys sorted.
type Diff struct{ Files []FileDiff }

// FileDiff is the changes in one file; there is at least one.
type FileDiff struct {
	Path    string
	Changes []Change
}

// Change is a key whose value is not the same, or any key when all were asked
// for.
type Change struct {
	Key      string        // dotted; "" for a file that is a single value
	Old, New dvcfile.Value // nil where there is no value; lists as text in Python's notation
	Diff     dvcfile.Value // New - Old when both are numbers (booleans count as 0 and 1), else nil
}

// Compare compares the files of two revisions. A file that is missing or could
// not be read counts as empty. With all set, unchanged keys are listed too.
func Compare(old, new Revision, all bool) Diff {
	var d Diff
	seen := map[string]bool{}
	for _, f := range slices.Concat(old.Files, new.Files) {
		if seen[f.Path] {
			continue
		}
		seen[f.Path] = true
		if changes := compareValues(old.data(f.Path), new.data(f.Path), all); len(changes) > 0 {
			d.Files = append(d.Files, FileDiff{f.Path, changes})
		}
	}
	return d
}

// data gives the value of a file with its lists as text; an empty mapping when
// there is none.
func (r Revision) data(path string) dvcfile.Value {
	for _, f := range r.Files {
		if f.Path == path && f.Err == nil && r.Err == nil {
			return parseText(listsAsText(f.Data))
		}
	}
	return &dvcfile.Map{}
}

// listsAsText replaces lists by their text, as DVC does before it compares.
func listsAsText(v dvcfile.Value) dvcfile.Value {
	switch x := v.(type) {
	case []dvcfile.Value:
		return dvcfile.PyStr(x)
	case *dvcfile.Map:
		out := &dvcfile.Map{}
		for _, key := range x.Keys() {
			item, _ := x.Get(key)
			out.Set(key, listsAsText(item))
		}
		return out
	}
	return v
}

// parseText reads a file that is a single text once more, as JSON, when it is.
func parseText(v dvcfile.Value) dvcfile.Value {
	text, ok := v.(string)
	if !ok {
		return v
	}
	trimmed := strings.TrimSpace(text)
	if trimmed == "" {
		return v
	}
	// As the item of a list, since a reader of files takes a lone null or 0 for
	// an empty file.
	if list, err := dvcfile.ReadData("value.json", []byte("["+text+"]")); err == nil {
		if items, ok := list.([]dvcfile.Value); ok && len(items) == 1 {
			return items[0]
		}
	}
	return v
}

func compareValues(old, new dvcfile.Value, all bool) []Change {
	_, oldMap := old.(*dvcfile.Map)
	_, newMap := new.(*dvcfile.Map)
	if !oldMap && !newMap {
		if c, ok := compareLeaves("", old, new, all); ok {
			return []Change{c}
		}
		return nil
	}
	oldFlat, oldDefault := flatten(old)
	newFlat, newDefault := flatten(new)
	keys := slices.Concat(oldFlat.Keys(), newFlat.Keys())
	slices.Sort(keys)
	var changes []Change
	for _, key := range slices.Compact(keys) {
		o, ok := oldFlat.Get(key)
		if !ok {
			o = oldDefault
		}
		n, ok := newFlat.Get(key)
		if !ok {
			n = newDefault
		}
		if c, ok := compareLeaves(key, o, n, all); ok {
			changes = append(changes, c)
		}
	}
	return changes
}

// flatten gives the leaves of a file's value and what a missing one counts as.
func flatten(v dvcfile.Value) (*dvcfile.Map, dvcfile.Value) {
	if m, ok := v.(*dvcfile.Map); ok {
		return dvcfile.Flatten(m), nil
	}
	if empty(v) {
		return &dvcfile.Map{}, nil
	}
	return &dvcfile.Map{}, "unable to parse"
}

func empty(v dvcfile.Value) bool {
	list, isList := v.([]dvcfile.Value)
	return v == nil || v == "" || isList && len(list) == 0 || isNumber(v) && dvcfile.Equal(v, dvcfile.NewInt(0))
}

func compareLeaves(key string, old, new dvcfile.Value, all bool) (Change, bool) {
	o, oldList := old.([]dvcfile.Value)
	n, newList := new.([]dvcfile.Value)
	if oldList && newList && len(o) == 1 && len(n) == 1 {
		return compareLeaves(key, o[0], n[0], all)
	}
	if !all && dvcfile.Equal(old, new) {
		return Change{}, false
	}
	return Change{Key: key, Old: old, New: new, Diff: minus(new, old)}, true
}

func isNumber(v dvcfile.Value) bool {
	switch v.(type) {
	case bool, dvcfile.Int, dvcfile.Float:
		return true
	}
	return false
}

// minus subtracts as Python does: whole numbers exactly, else as doubles.
func minus(a, b dvcfile.Value) dvcfile.Value {
	if !isNumber(a) || !isNumber(b) {
		return nil
	}
	x, xInt := whole(a)
	y, yInt := whole(b)
	if xInt && yInt {
		d, _ := dvcfile.ParseInt(new(big.Int).Sub(x.Big(), y.Big()).String())
		return d
	}
	return dvcfile.Float(double(a) - double(b))
}

func whole(v dvcfile.Value) (dvcfile.Int, bool) {
	switch x := v.(type) {
	case dvcfile.Int:
		return x, true
	case bool:
		if x {
			return dvcfile.NewInt(1), true
		}
		return dvcfile.NewInt(0), true
	}
	return dvcfile.Int{}, false
}

func double(v dvcfile.Value) float64 {
	if f, ok := v.(dvcfile.Float); ok {
		return float64(f)
	}
	n, _ := whole(v)
	return n.Float64()
}

// Value is the JSON of a diff: {file: {key: {"old", "new"[, "diff"]}}}.
func (d Diff) Value() *dvcfile.Map {
	out := &dvcfile.Map{}
	for _, f := range d.Files {
		keys := &dvcfile.Map{}
		for _, c := range f.Changes {
			v := dvcfile.NewMap("old", c.Old, "new", c.New)
			if c.Diff != nil {
				v.Set("diff", c.Diff)
			}
			keys.Set(c.Key, v)
		}
		out.Set(f.Path, keys)
	}
	return out
}

// ExpDiffValue is the JSON of `exp diff`.
func ExpDiffValue(metrics, params Diff) *dvcfile.Map {
	return dvcfile.NewMap("metrics", metrics.Value(), "params", params.Value())
}
