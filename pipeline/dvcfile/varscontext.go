package dvcfile

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"ctrx/internal/errs"
)

// contextNode is a value that templates can name, with where it came from.
// Nodes are never changed once they are in a context: merging makes new ones,
// so that stages share what they have in common.
type contextNode struct {
	value  Value // of a scalar
	list   []*contextNode
	keys   []string // of a mapping, in order
	fields map[string]*contextNode
	kind   varKind
	source string // the file, or vars[0]; "" for values of the dvc.yaml itself
	path   string // dotted path inside the source
	inFile bool   // the source is a params or vars file
}

type varKind int

const (
	scalarVar varKind = iota
	listVar
	mapVar
)

// newNode wraps a value read from a source. Keys that are not strings cannot
// be named and are left out. Nodes inside v are taken as they are.
func newNode(v Value, source, at string, inFile bool) *contextNode {
	n := &contextNode{source: source, path: at, inFile: inFile}
	below := func(key string) string {
		if at == "" {
			return key
		}
		return at + "." + key
	}
	switch v := v.(type) {
	case *contextNode:
		return v
	case []Value:
		n.kind = listVar
		n.list = make([]*contextNode, len(v))
		for i, e := range v {
			n.list[i] = newNode(e, source, below(strconv.Itoa(i)), inFile)
		}
	case *Map:
		n.kind = mapVar
		n.fields = make(map[string]*contextNode, v.Len())
		for i := range v.Len() {
			key, e := v.At(i)
			if _, ok := v.KeyValue(key).(string); ok {
				n.set(key, newNode(e, source, below(key), inFile))
			}
		}
	default:
		n.value = v
	}
	return n
}

func (n *contextNode) set(key string, child *contextNode) {
	if _, ok := n.fields[key]; !ok {
		n.keys = append(n.keys, key)
	}
	n.fields[key] = child
}

// copyMap gives a mapping that may be changed at its first level.
func (n *contextNode) copyMap() *contextNode {
	c := *n
	c.keys = slices.Clone(n.keys)
	c.fields = make(map[string]*contextNode, len(n.fields))
	for k, v := range n.fields {
		c.fields[k] = v
	}
	return &c
}

// plain gives the value without its origin.
func (n *contextNode) plain() Value {
	switch n.kind {
	case listVar:
		out := make([]Value, len(n.list))
		for i, e := range n.list {
			out[i] = e.plain()
		}
		return out
	case mapVar:
		m := &Map{}
		for _, k := range n.keys {
			m.Set(k, n.fields[k].plain())
		}
		return m
	}
	return n.value
}

// child gives a field or, by a number that may be negative, an item.
func (n *contextNode) child(segment string) *contextNode {
	switch n.kind {
	case mapVar:
		return n.fields[segment]
	case listVar:
		i, err := strconv.Atoi(segment)
		if err == nil && i < 0 {
			i += len(n.list)
		}
		if err == nil && i >= 0 && i < len(n.list) {
			return n.list[i]
		}
	}
	return nil
}

// scope is what templates see: the root mapping, which files are loaded,
// and which values of files were used.
type scope struct {
	root     *contextNode
	imports  map[string][]string // file -> loaded keys; nil for the whole file
	reserved []string            // item and key, inside foreach and matrix
	used     *Map                // file -> dotted key -> value; nil: not recorded
}

func newScope() *scope {
	return &scope{root: newNode(&Map{}, "", "", false), imports: map[string][]string{}}
}

// clone gives a context that can be loaded into without changing c.
func (c *scope) clone() *scope {
	out := *c
	out.imports = make(map[string][]string, len(c.imports))
	for k, v := range c.imports {
		out.imports[k] = slices.Clone(v)
		if v != nil && out.imports[k] == nil {
			out.imports[k] = []string{}
		}
	}
	return &out
}

// with gives a context in which some names stand for other values and cannot
// be redefined.
func (c *scope) with(names []string, values []*contextNode) *scope {
	out := *c
	out.root = c.root.copyMap()
	for i, name := range names {
		out.root.set(name, values[i])
	}
	out.reserved = append(slices.Clone(c.reserved), names...)
	return &out
}

func (c *scope) find(path []string) *contextNode {
	n := c.root
	for _, segment := range path {
		if n = n.child(segment); n == nil {
			return nil
		}
	}
	return n
}

// track notes the use of a value of a file. Whole mappings are not noted, as
// in DVC.
func (c *scope) track(n *contextNode) {
	if c.used == nil || !n.inFile || n.kind == mapVar {
		return
	}
	v, ok := c.used.Get(n.source)
	if !ok {
		v = &Map{}
		c.used.Set(n.source, v)
	}
	v.(*Map).Set(n.path, n.plain())
}

// varsError is a failure to build the context. lineBreak tells that DVC shows
// it on a line of its own.
type varsError struct {
	text      string
	lineBreak bool
	twice     bool // a file was loaded twice; DVC names the vars, not the stage
	item      int  // which item of vars it is about
	err       error
}

func (e *varsError) Error() string { return e.text }
func (e *varsError) Unwrap() error { return e.err }

// merge puts the fields of n into the context; only mappings may meet.
func (c *scope) merge(n *contextNode, item string) error {
	var taken []string
	for _, key := range c.reserved {
		if _, ok := n.fields[key]; ok {
			taken = append(taken, key)
		}
	}
	if len(taken) > 0 {
		text := "attempted to modify reserved key "
		if len(taken) > 1 {
			text = "attempted to modify reserved keys "
		}
		text += strings.Join(taken, " and ")
		if item != "" {
			text += " in '" + item + "'"
		}
		return &varsError{text: text}
	}
	merged, err := mergeNodes(c.root, n)
	if err == nil {
		c.root = merged
	}
	return err
}

func mergeNodes(into, from *contextNode) (*contextNode, error) {
	out := into.copyMap()
	for _, key := range from.keys {
		v := from.fields[key]
		old, there := out.fields[key]
		switch {
		case !there:
			out.set(key, v)
		case old.kind == mapVar && v.kind == mapVar:
			merged, err := mergeNodes(old, v)
			if err != nil {
				return nil, err
			}
			out.set(key, merged)
		default:
			return nil, &varsError{lineBreak: true, text: "cannot redefine '" + v.path + "' from '" + v.source +
				"' as it already exists in '" + old.source + "'"}
		}
	}
	return out, nil
}

// varsFiles reads params and vars files, each once.
type varsFiles struct {
	dir    string // folder of the dvc.yaml, for messages
	read   func(path string) ([]byte, error)
	loaded map[string]*Map
}

func (f *varsFiles) load(file string) (*Map, error) {
	if m, ok := f.loaded[file]; ok {
		return m, nil
	}
	data, err := f.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &varsError{text: "'" + file + "' does not exist", err: err}
	}
	if err != nil {
		return nil, &varsError{text: "cannot read '" + file + "': " + err.Error(), err: err}
	}
	shown := path.Join(f.dir, file)
	v, err := ReadData(shown, data)
	if err != nil {
		return nil, err
	}
	m, ok := v.(*Map)
	if !ok {
		return nil, &varsError{text: "expected a dictionary, got '" + pyTypeName(v) + "' in file '" + file + "'"}
	}
	if f.loaded == nil {
		f.loaded = map[string]*Map{}
	}
	f.loaded[file] = m
	return m, nil
}

// findDate gives the dotted key of the first date in a value. DVC cannot load
// one for templates, so it is told before a stage depends on it.
func findDate(v Value) (key string, found bool) {
	join := func(name string, v Value) (string, bool) {
		below, found := findDate(v)
		return strings.TrimSuffix(name+"."+below, "."), found
	}
	switch v := v.(type) {
	case Timestamp:
		return "", true
	case []Value:
		for i, e := range v {
			if key, found = join(strconv.Itoa(i), e); found {
				return key, true
			}
		}
	case *Map:
		for i := range v.Len() {
			if key, found = join(v.At(i)); found {
				return key, true
			}
		}
	}
	return "", false
}

// dateError is about a date in a file; YAML files have its place.
func (f *varsFiles) dateError(file, key string) error {
	pos := errs.Pos{File: path.Join(f.dir, file)}
	switch data, err := f.read(file); strings.ToLower(path.Ext(file)) {
	case ".json", ".toml", ".py":
	default:
		if root, nodeErr := ParseYAMLNode(pos.File, data); err == nil && nodeErr == nil {
			pos = placeOf(root, strings.Split(key, "."))
		}
	}
	return errs.Hint(errs.At(pos, "'%s' is a date, which dvc.yaml cannot use", key), "write it in quotes")
}

// placeOf is the position of a key, or of what stands nearest above it.
func placeOf(n *Node, path []string) errs.Pos {
	for _, segment := range path {
		next := n.Get(segment)
		if i, err := strconv.Atoi(segment); next == nil && err == nil && n.Keys == nil && i >= 0 && i < len(n.Items) {
			next = n.Items[i]
		}
		if next == nil {
			break
		}
		n = next
	}
	return n.Pos
}

// load merges `file` or `file:key,key` into the context; dir is where the
// file name counts from.
func (c *scope) load(files *varsFiles, item, dir string) error {
	file, list, _ := strings.Cut(item, ":")
	file = path.Join(dir, file)
	keys := slices.DeleteFunc(strings.Split(list, ","), func(s string) bool { return s == "" })
	loaded, seen := c.imports[file]
	if seen {
		switch {
		case len(keys) == 0 && loaded == nil:
			return nil
		case len(keys) == 0:
			return &varsError{lineBreak: true, twice: true, text: "cannot load '" + item + "' as it's partially loaded already"}
		case loaded == nil:
			return &varsError{lineBreak: true, twice: true, text: "cannot partially load '" + item + "' as it's already loaded."}
		}
		if slices.ContainsFunc(keys, func(k string) bool { return slices.Contains(loaded, k) }) {
			return &varsError{lineBreak: true, twice: true, text: "cannot load '" + item + "' as it's partially loaded already"}
		}
	}
	content, err := files.load(file)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		picked := &Map{}
		for _, key := range keys {
			v, ok := content.Get(key)
			if !ok {
				return &varsError{text: "could not find '" + key + "' in '" + file + "'"}
			}
			picked.Set(key, v)
		}
		content = picked
	}
	if key, found := findDate(content); found {
		return files.dateError(file, key)
	}
	if err := c.merge(newNode(content, file, "", true), item); err != nil {
		return err
	}
	if len(keys) == 0 {
		c.imports[file] = nil
	} else {
		c.imports[file] = append(loaded, keys...)
	}
	return nil
}

// loadVars merges the items of a vars list. stage is "" for the top-level one.
func (c *scope) loadVars(files *varsFiles, vars []Value, dir, stage string) error {
	for i, item := range vars {
		if err := c.loadItem(files, item, i, dir, stage); err != nil {
			if bad := (*varsError)(nil); errors.As(err, &bad) {
				bad.item = i
			}
			return err
		}
	}
	return nil
}

func (c *scope) loadItem(files *varsFiles, item Value, i int, dir, stage string) error {
	switch item := item.(type) {
	case string:
		return c.load(files, item, dir)
	case *Map:
		if key, found := findDate(item); found {
			return &varsError{text: "'" + key + "' is a date, which templates cannot use; write it in quotes"}
		}
		source := "vars[" + strconv.Itoa(i) + "]"
		if stage != "" {
			source = stage + "." + source
		}
		return c.merge(newNode(item, source, "", false), "")
	}
	return nil
}
