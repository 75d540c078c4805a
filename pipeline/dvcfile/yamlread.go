package dvcfile

import (
	"encoding/base64"
	"strings"

	"ctrx/internal/errs"
)

// Node is a value with its place in the file, and the places of everything
// inside, so that an error about a wrong key or type can point at it.
type Node struct {
	Pos   errs.Pos
	Value Value
	// Keys are the keys of a mapping, in the order of Value; nil otherwise.
	Keys []*Node
	// Items are the values of a mapping (aligned with Keys) or of a list.
	Items []*Node
}

// Get gives the value node of a string key of a mapping, or nil.
func (n *Node) Get(key string) *Node {
	if _, v := n.Entry(key); v != nil {
		return v
	}
	return nil
}

// Entry gives the key and value nodes of a string key of a mapping, or nils.
func (n *Node) Entry(key string) (k, v *Node) {
	if n == nil {
		return nil, nil
	}
	for i, kn := range n.Keys {
		if s, ok := kn.Value.(string); ok && s == key {
			return kn, n.Items[i]
		}
	}
	return nil, nil
}

// Map gives the value as a mapping; ok is false for any other kind.
func (n *Node) Map() (m *Map, ok bool) { m, ok = n.Value.(*Map); return m, ok }

// ParseYAML reads a YAML document as DVC reads it (YAML 1.2: yes is a string,
// 017 is seventeen, 1e5 a float; << merges; a key given twice is an error).
// An empty document is nil. Values behind an alias are shared with the anchor:
// Clone before changing them. Errors are errs.ProjectFile with file:line:col.
func ParseYAML(file string, data []byte) (Value, error) {
	n, err := ParseYAMLNode(file, data)
	if err != nil || n == nil {
		return nil, err
	}
	return n.Value, nil
}

// ParseYAMLNode is ParseYAML with positions. An empty document gives a node
// with a nil value.
func ParseYAMLNode(file string, data []byte) (*Node, error) {
	root, _, err := parseTree(file, data)
	if err != nil {
		return nil, err
	}
	c := constructor{text: errs.NewText(file, data), done: map[*ynode]*Node{}}
	if root == nil {
		return &Node{Pos: c.text.At(1, 1)}, nil
	}
	return c.node(root)
}

// constructor turns the syntax tree into values.
type constructor struct {
	text *errs.Text
	done map[*ynode]*Node // anchored nodes; nil while under construction
	slab []Node
	v11  bool // YAML 1.1, as OmegaConf reads it
}

// newNode takes a node off a block of them: large files have a million.
func (c *constructor) newNode(pos errs.Pos) *Node {
	if len(c.slab) == 0 {
		c.slab = make([]Node, 64)
	}
	n := &c.slab[0]
	c.slab = c.slab[1:]
	n.Pos = pos
	return n
}

func (c *constructor) pos(n *ynode) errs.Pos {
	return c.text.At(int(n.line), int(n.col))
}

func (c *constructor) node(n *ynode) (*Node, error) {
	if n.kind == yAlias {
		if c.open(n.target) {
			return nil, c.insideItself(n)
		}
		made := c.done[n.target]
		if made == nil { // an anchor below a merged mapping
			return c.node(n.target)
		}
		at := *made
		at.Pos = c.pos(n)
		return &at, nil
	}
	if n.anchor != "" {
		if made := c.done[n]; made != nil {
			return made, nil
		}
		c.done[n] = nil
	}
	made, err := c.build(n)
	if err == nil && n.anchor != "" {
		c.done[n] = made
	}
	return made, err
}

// open tells that an anchored node is under construction.
func (c *constructor) open(n *ynode) bool {
	made, seen := c.done[n]
	return seen && made == nil
}

func (c *constructor) insideItself(alias *ynode) error {
	return errs.At(c.pos(alias), "the alias *%s stands inside its own anchor", alias.text)
}

func (c *constructor) build(n *ynode) (*Node, error) {
	out := c.newNode(c.pos(n))
	switch n.kind {
	case yPlain:
		out.Value = n.value
		return out, nil
	case yScalar:
		v, err := c.scalar(n)
		out.Value = v
		return out, err
	case ySeq:
		if n.tag != "" && n.tag != tagSeq {
			return nil, errs.At(out.Pos, "the tag %s is not supported on a list", n.tag)
		}
		list := make([]Value, len(n.items))
		out.Items = make([]*Node, len(n.items))
		for i, item := range n.items {
			in, err := c.node(item)
			if err != nil {
				return nil, err
			}
			out.Items[i], list[i] = in, in.Value
		}
		out.Value = list
		return out, nil
	}
	if n.tag != "" && n.tag != tagMap {
		return nil, errs.At(out.Pos, "the tag %s is not supported on a mapping", n.tag)
	}
	return out, c.mapping(n, out)
}

func (c *constructor) mapping(n *ynode, out *Node) error {
	entries := len(n.items) / 2
	m := &Map{keys: make([]string, 0, entries), values: make([]Value, 0, entries)}
	out.Value = m
	out.Keys, out.Items = make([]*Node, 0, entries), make([]*Node, 0, entries)
	merged := false
	for i := 0; i < len(n.items); i += 2 {
		key := n.items[i]
		if key.kind != yScalar || c.tagOf(key) != tagMerge {
			continue
		}
		if merged && !c.v11 {
			return errs.At(c.pos(key), "the merge key << is given twice in one mapping")
		}
		merged = true
		if err := c.merge(n.items[i+1], out); err != nil {
			return err
		}
	}
	inherited := m.Len()
	var given map[string]bool
	if c.v11 {
		given = map[string]bool{}
	}
	for i := 0; i < len(n.items); i += 2 {
		key := n.items[i]
		if key.kind == yScalar && c.tagOf(key) == tagMerge {
			continue
		}
		kn, err := c.key(key)
		if err != nil {
			return err
		}
		twice := m.HasKey(kn.Value) && inherited == 0
		if c.v11 {
			name, isString := kn.Value.(string)
			twice = isString && given[name]
			given[name] = given[name] || isString
		}
		if twice {
			return errs.At(kn.Pos, "the key %s is given twice in one mapping", PyStr(kn.Value))
		}
		vn, err := c.node(n.items[i+1])
		if err != nil {
			return err
		}
		c.put(out, kn, vn)
	}
	return nil
}

// put sets a key in the value and in the lists of nodes.
func (c *constructor) put(out, kn, vn *Node) {
	m := out.Value.(*Map)
	if name, ok := m.nameOf(kn.Value); ok {
		i := m.find(name)
		again := *kn
		again.Value = out.Keys[i].Value // 1 stays 1 where true follows, as in Python
		out.Keys[i], out.Items[i] = &again, vn
		m.values[i] = vn.Value
		return
	}
	m.SetKey(kn.Value, vn.Value)
	out.Keys = append(out.Keys, kn)
	out.Items = append(out.Items, vn)
}

// merge puts the entries of << before the mapping's own; of several mappings
// the first wins.
func (c *constructor) merge(from *ynode, out *Node) error {
	source := from
	if source.kind == yAlias {
		if source = source.target; c.open(source) {
			return c.insideItself(from)
		}
	}
	sources := []*ynode{source}
	if source.kind == ySeq {
		sources = nil
		for i := len(source.items) - 1; i >= 0; i-- {
			sources = append(sources, source.items[i])
		}
	}
	for _, s := range sources {
		in, err := c.node(s)
		if err != nil {
			return err
		}
		if _, ok := in.Map(); !ok {
			return errs.At(c.pos(s), "<< merges mappings only")
		}
		for i, k := range in.Keys {
			c.put(out, k, in.Items[i])
		}
	}
	return nil
}

func (c *constructor) key(n *ynode) (*Node, error) {
	target := n
	if n.kind == yAlias {
		target = n.target
	}
	if target.kind == yPlain {
		return &Node{Pos: c.pos(n), Value: target.value}, nil
	}
	if target.kind != yScalar {
		return nil, errs.At(c.pos(n), "a list or mapping cannot be a key here")
	}
	if c.tagOf(target) == tagValue {
		return &Node{Pos: c.pos(n), Value: target.text}, nil
	}
	return c.node(n)
}

// scalar gives the value of a scalar under its tag.
func (c *constructor) scalar(n *ynode) (Value, error) {
	if c.v11 {
		return c.scalar11(n)
	}
	tag := n.scalarTag()
	ok := true
	var v Value
	switch tag {
	case tagStr:
		return n.text, nil
	case tagNull:
		return nil, nil
	case tagBool:
		switch strings.ToLower(n.text) {
		case "true", "yes", "y", "on":
			return true, nil
		case "false", "no", "n", "off":
			return false, nil
		}
		ok = false
	case tagInt:
		v, ok = intOf(n.text)
	case tagFloat:
		v, ok = floatOf(n.text)
	case tagTimestamp:
		var f timestampFields
		if f, ok = splitTimestamp(n.text); ok {
			v, ok = f.value()
		}
	case "!!binary":
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.text), ""))
		v, ok = string(data), err == nil
	case tagValue, tagMerge:
		return nil, errs.At(c.pos(n), "%s cannot be a value here; quote it", n.text)
	default:
		return nil, errs.At(c.pos(n), "the tag %s is not supported", tag)
	}
	if !ok {
		return nil, errs.At(c.pos(n), "%q is no valid %s", n.text, strings.TrimPrefix(tag, "!!"))
	}
	return v, nil
}
