package dvcfile

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// StageLock is what dvc.lock records about a stage after it ran; the body of
// a run-cache entry has the same form.
type StageLock struct {
	Cmd    Value // string, or []Value of strings
	Deps   []Entry
	Params *Map // file -> *Map of dotted key -> value
	Outs   []Entry
}

// defaultParams is the params file that comes first.
const defaultParams = "params.yaml"

// Value is the entry with the order dvc.lock has: deps and outs by path,
// params.yaml before the other files, the keys of each file sorted, what is
// below them as it is.
func (s *StageLock) Value() *Map {
	m := NewMap("cmd", s.Cmd)
	if len(s.Deps) > 0 {
		m.Set("deps", entryValues(s.Deps))
	}
	if s.Params.Len() > 0 {
		m.Set("params", sortedParams(s.Params))
	}
	if len(s.Outs) > 0 {
		m.Set("outs", entryValues(s.Outs))
	}
	return m
}

func entryValues(entries []Entry) []Value {
	sorted := slices.Clone(entries)
	slices.SortStableFunc(sorted, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	out := make([]Value, len(sorted))
	for i, e := range sorted {
		out[i] = e.lockValue()
	}
	return out
}

func sortedParams(params *Map) *Map {
	files := slices.Clone(params.Keys())
	slices.SortStableFunc(files, func(a, b string) int {
		if a == defaultParams || b == defaultParams {
			return boolInt(b == defaultParams) - boolInt(a == defaultParams)
		}
		return strings.Compare(a, b)
	})
	out := &Map{}
	for _, f := range files {
		v, _ := params.Get(f)
		keys, ok := v.(*Map)
		if !ok {
			out.Set(f, v)
			continue
		}
		order := slices.Clone(keys.Keys())
		slices.SortStableFunc(order, func(a, b string) int { return compareKeys(keys.KeyValue(a), keys.KeyValue(b)) })
		sorted := &Map{}
		for _, k := range order {
			v, _ := keys.Get(k)
			sorted.SetKey(keys.KeyValue(k), v)
		}
		out.Set(f, sorted)
	}
	return out
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// RunCacheKeys gives the two hashes under which DVC keeps the result of a run,
// in runs/<2 digits>/<key>/<value>: key over what goes in, value also over
// what came out. Keys named size and nfiles are left out at every depth, in
// parameters too (a quirk of DVC that has to be shared).
func (s *StageLock) RunCacheKeys() (key, value string) {
	body := s.Value()
	value = hashJSON(body)
	outs := []Value{}
	if list, ok := body.Get("outs"); ok {
		for _, o := range list.([]Value) {
			path, _ := o.(*Map).Get("path")
			outs = append(outs, path)
		}
	}
	body.Set("outs", outs)
	return hashJSON(body), value
}

func hashJSON(v Value) string {
	w := jsonWriter{sorted: true, skip: func(k string) bool { return k == "size" || k == "nfiles" }}
	sum := sha256.Sum256(w.value(v).out)
	return hex.EncodeToString(sum[:])
}

// ParseStageLock reads one stage of dvc.lock or the body of a run-cache entry.
// pos stands in error messages.
func ParseStageLock(pos errs.Pos, v Value) (*StageLock, error) {
	return parseStageLock(nodeOf(pos, v))
}

// nodeOf gives a value one position for everything in it.
func nodeOf(pos errs.Pos, v Value) *Node {
	n := &Node{Pos: pos, Value: v}
	switch v := v.(type) {
	case []Value:
		for _, e := range v {
			n.Items = append(n.Items, nodeOf(pos, e))
		}
	case *Map:
		for i, k := range v.Keys() {
			n.Keys = append(n.Keys, &Node{Pos: pos, Value: v.KeyValue(k)})
			n.Items = append(n.Items, nodeOf(pos, v.values[i]))
		}
	}
	return n
}

func parseStageLock(n *Node) (*StageLock, error) {
	if _, ok := n.Map(); !ok {
		return nil, errs.At(n.Pos, "a stage is a mapping, not %s", kindName(n.Value))
	}
	s := &StageLock{}
	for i, kn := range n.Keys {
		v := n.Items[i]
		var err error
		switch kn.Value {
		case "cmd":
			s.Cmd, err = parseLockCmd(v)
		case "deps":
			s.Deps, err = parseEntries(v, "deps")
		case "outs":
			s.Outs, err = parseEntries(v, "outs")
		case "params":
			s.Params, err = parseLockParams(v)
		default:
			err = unknownKey(kn, []string{"cmd", "deps", "params", "outs"})
		}
		if err != nil {
			return nil, err
		}
	}
	if s.Cmd == nil {
		return nil, errs.At(n.Pos, "the stage lacks the key cmd")
	}
	return s, nil
}

func parseLockCmd(n *Node) (Value, error) {
	switch n.Value.(type) {
	case string, []Value:
		return n.Value, nil
	}
	return nil, errs.At(n.Pos, "cmd must be a text or a list, not %s", kindName(n.Value))
}

func parseEntries(n *Node, what string) ([]Entry, error) {
	if _, ok := n.Value.([]Value); !ok {
		return nil, errs.At(n.Pos, "%s must be a list, not %s", what, kindName(n.Value))
	}
	out := make([]Entry, len(n.Items))
	for i, item := range n.Items {
		var err error
		if out[i], err = parseEntry(item, entryExtras, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func parseLockParams(n *Node) (*Map, error) {
	m, ok := n.Map()
	if !ok {
		return nil, errs.At(n.Pos, "params must be a mapping of files, not %s", kindName(n.Value))
	}
	for i, kn := range n.Keys {
		if _, ok := n.Items[i].Map(); !ok {
			return nil, errs.At(n.Items[i].Pos, "the params of %s must be a mapping, not %s", PyStr(kn.Value), kindName(n.Items[i].Value))
		}
	}
	return m, nil
}
