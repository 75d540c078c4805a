package dvcfile

import (
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// ParamsDep is what a stage depends on in one params file.
type ParamsDep struct {
	File string   // relative to the stage's working directory, as written
	Keys []string // dotted keys in the order of the dvc.yaml; nil: the whole file
	Pos  errs.Pos // where the stage first names the file

	keyPos map[string]errs.Pos
}

// keyPlace is where the stage names a key.
func (d ParamsDep) keyPlace(key string) errs.Pos {
	if pos, ok := d.keyPos[key]; ok {
		return pos
	}
	return d.Pos
}

// Values picks from the contents of the file what the stage depends on: the
// listed keys in their order under their dotted names, or, for a whole file,
// its top-level keys. missing has the listed keys that the file lacks. The
// values are those of content: Clone before changing them.
func (d ParamsDep) Values(content *Map) (values *Map, missing []string) {
	values = &Map{}
	if d.Keys == nil { // values that the file shares by an alias stay shared
		for i := range content.Len() {
			name, v := content.At(i)
			values.SetKey(content.KeyValue(name), v)
		}
		return values, nil
	}
	for _, key := range d.Keys {
		v, ok := Lookup(content, key)
		switch {
		case ok:
			values.Set(key, v)
		case !slices.Contains(missing, key):
			missing = append(missing, key)
		}
	}
	return values, missing
}

// Read is Values where a missing key is an error that names the nearest key.
func (d ParamsDep) Read(content *Map) (*Map, error) {
	values, missing := d.Values(content)
	if len(missing) == 0 {
		return values, nil
	}
	err := errs.New(errs.ProjectFile, "Parameters '%s' are missing from '%s'.", strings.Join(missing, ", "), d.File)
	if pos := d.keyPlace(missing[0]); pos.Line > 0 {
		err = errs.At(pos, "%w", err)
	}
	if near := nearest(missing[0], dottedKeys(content)); near != "" {
		return nil, errs.Hint(err, "did you mean '%s'?", near)
	}
	return nil, err
}

// ParamState says how a parameter differs from what dvc.lock recorded.
type ParamState string

// The states, in DVC's words.
const (
	ParamNew      ParamState = "new"      // in the file, never recorded
	ParamModified ParamState = "modified" // recorded with another value
	ParamDeleted  ParamState = "deleted"  // recorded or listed, but not in the file
)

// ParamChange is the state of one parameter, or of the file where Key is "".
type ParamChange struct {
	Key   string
	State ParamState
}

// Compare tells what changed since the stage was recorded. recorded is the
// entry of the file in dvc.lock, nil when there is none; content is the file's
// content, nil when the file does not exist. 1 equals 1.0, and not-a-number
// never equals itself, as in DVC.
func (d ParamsDep) Compare(recorded, content *Map) []ParamChange {
	if content == nil {
		return []ParamChange{{State: ParamDeleted}}
	}
	if recorded == nil {
		return []ParamChange{{State: ParamNew}}
	}
	values, _ := d.Values(content)
	keys := slices.Clone(d.Keys)
	if d.Keys == nil {
		keys = slices.Clone(values.Keys())
		for _, k := range recorded.Keys() {
			if _, ok := values.Get(k); !ok {
				keys = append(keys, k)
			}
		}
	}
	var changes []ParamChange
	seen := map[string]bool{}
	for _, key := range keys {
		if seen[key] {
			continue
		}
		seen[key] = true
		now, there := values.Get(key)
		was, known := recorded.Get(key)
		switch {
		case !there:
			changes = append(changes, ParamChange{key, ParamDeleted})
		case !known:
			changes = append(changes, ParamChange{key, ParamNew})
		case !Equal(now, was):
			changes = append(changes, ParamChange{key, ParamModified})
		}
	}
	return changes
}

// dottedKeys lists the keys of a mapping and of the mappings in it.
func dottedKeys(m *Map) []string {
	var keys []string
	var walk func(prefix string, m *Map)
	walk = func(prefix string, m *Map) {
		for i := range m.Len() {
			key, v := m.At(i)
			keys = append(keys, prefix+key)
			if sub, ok := v.(*Map); ok {
				walk(prefix+key+".", sub)
			}
		}
	}
	walk("", m)
	return keys
}

// nearest gives the candidate closest to a misspelt word, or "" when none is
// close enough to be what was meant.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 1+max(1, min(3, len(word)/3))
	for _, c := range candidates {
		if d := boundedDistance(word, c, bestDistance); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	if best != "" {
		return best
	}
	// The right name on another level is the other frequent slip: lr for train.lr.
	for _, c := range candidates {
		if strings.HasSuffix(c, "."+word) || strings.HasSuffix(word, "."+c) {
			return c
		}
	}
	return ""
}

// boundedDistance counts inserted, deleted, replaced and swapped letters, and
// stops counting at limit.
func boundedDistance(a, b string, limit int) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	if len(x)-len(y) >= limit || len(y)-len(x) >= limit {
		return limit
	}
	var before []int
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		next := make([]int, len(y)+1)
		next[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return min(row[len(y)], limit)
}
