package dvcfile

import (
	"fmt"

	"ctrx/internal/errs"
)

// Document is a YAML file open for editing: comments, blank lines and the
// order of keys stay, and the result is what DVC would write after the same
// edit (quotes that are not needed go, the indentation becomes two blanks).
type Document struct {
	file string
	text *errs.Text
	root *ynode
	// anchored: the file has anchors.
	anchored bool
}

// ParseDocument opens a YAML file for editing. Empty data is an empty mapping.
func ParseDocument(file string, data []byte) (*Document, error) {
	d, _, err := parseDocument(file, data)
	return d, err
}

// parseDocument also gives the contents at the time of parsing.
func parseDocument(file string, data []byte) (*Document, *Node, error) {
	root, anchored, err := parseTree(file, data)
	if err != nil {
		return nil, nil, err
	}
	d := &Document{file: file, text: errs.NewText(file, data), root: root, anchored: anchored}
	node, err := d.Node()
	if err != nil {
		return nil, nil, err
	}
	if root == nil || root.kind == yScalar && root.scalarTag() == tagNull {
		d.root = &ynode{kind: yMap, flow: true}
		return d, node, nil
	}
	attach(root, false)
	return d, node, nil
}

// Node gives the present contents with positions. What was set after parsing
// has the position 0.
func (d *Document) Node() (*Node, error) {
	c := constructor{text: d.text, done: map[*ynode]*Node{}}
	if d.root == nil {
		return &Node{Pos: d.text.At(1, 1)}, nil
	}
	return c.node(d.root)
}

// Value gives the present contents.
func (d *Document) Value() Value {
	n, err := d.Node()
	if err != nil { // parsed before without one, and edits add none
		return nil
	}
	return n.Value
}

// Encode gives the file as DVC would write it.
func (d *Document) Encode() []byte {
	r := treeRepresenter{made: map[*ynode]*enode{}}
	n := r.node(d.root)
	if n.kind == yScalar && n.tag == tagNull {
		n.text = "null"
	}
	return emitDocument(n)
}

// Set replaces or adds the value at a path of keys (string) and list indexes
// (int). Missing mappings on the way are made. A comment beside the old value
// stays.
func (d *Document) Set(v Value, path ...any) error {
	if len(path) == 0 {
		d.root = plainNode(v)
		return nil
	}
	n := d.root
	for i, step := range path {
		n = n.real()
		at, err := n.locate(step)
		if err != nil {
			return fmt.Errorf("set %v in %s: %w", path, d.file, err)
		}
		if i == len(path)-1 {
			n.put(step, at, v)
			return nil
		}
		if at < 0 {
			n.put(step, at, &Map{})
			at, _ = n.locate(step)
		}
		n = n.open(at)
	}
	return nil
}

// open gives the node at a place in items, ready to be edited.
func (n *ynode) open(at int) *ynode {
	if k := n.items[at]; k.kind == yPlain {
		n.items[at] = openNode(k.value)
	}
	return n.items[at]
}

// Delete removes the entry at a path; a missing one is no error and gives false.
func (d *Document) Delete(path ...any) bool {
	n := d.root
	for i, step := range path {
		n = n.real()
		at, err := n.locate(step)
		if err != nil || at < 0 {
			return false
		}
		if i == len(path)-1 {
			n.remove(at)
			return true
		}
		n = n.open(at)
	}
	return false
}

// locate gives the place in items of the value of a key or list index: -1 for
// a key that is not there.
func (n *ynode) locate(step any) (int, error) {
	switch key := step.(type) {
	case int:
		if n.kind != ySeq {
			return 0, fmt.Errorf("%d is a list index, but there is no list", key)
		}
		if key < 0 || key > len(n.items) {
			return 0, fmt.Errorf("the list has no item %d", key)
		}
		if key == len(n.items) {
			return -1, nil
		}
		return key, nil
	case string:
		if n.kind == ySeq || n.kind == yScalar && n.scalarTag() != tagNull {
			return 0, fmt.Errorf("%q is a key, but there is no mapping", key)
		}
		return n.find(key), nil
	}
	return 0, fmt.Errorf("a path is made of strings and ints, not %T", step)
}

// find gives the place of the value of a key in items, or -1.
func (n *ynode) find(key Value) int {
	for i := 0; i+1 < len(n.items); i += 2 {
		if k := n.items[i]; !k.isMerge() && Equal(keyOf(k), key) {
			return i + 1
		}
	}
	return -1
}

// keyOf is the value of a key node.
func keyOf(n *ynode) Value {
	n = n.real()
	if n.kind == yPlain {
		return n.value
	}
	if n.kind == yScalar && (n.style != 0 || n.scalarTag() == tagStr || n.scalarTag() == tagValue) {
		return n.text
	}
	c := constructor{}
	v, err := c.scalar(n)
	if err != nil {
		return n.text
	}
	return v
}

// put sets the value at a place found by locate. A block string stays one when
// another string replaces it, if that can be read back from a block. (DVC keeps
// the block in any case and then cannot read its own file.)
func (n *ynode) put(step any, at int, v Value) {
	if at >= 0 {
		old := n.items[at].real()
		if s, ok := v.(string); ok && old.kind == yScalar && (old.style == '|' || old.style == '>') && old.tag == "" && fitsInBlock(s) {
			n.items[at] = &ynode{style: old.style, text: s, block: &blockForm{header: old.header()}}
			return
		}
		n.items[at] = plainNode(v)
		return
	}
	if n.kind == yScalar { // null becomes a mapping
		*n = ynode{kind: yMap, anchor: n.anchor, line: n.line, col: n.col}
	}
	if len(n.items) == 0 {
		n.flow = false
	}
	if n.kind == yMap {
		n.items = append(n.items, plainNode(step))
	}
	n.items = append(n.items, plainNode(v))
	n.entries = append(n.entries, nil)
}

// fitsInBlock tells whether a text can stand in a | or > scalar: nothing there
// can be escaped, and line ends other than \n become \n.
func fitsInBlock(s string) bool {
	for _, r := range s {
		if r != '\t' && !printable(r) || isBreak(r) && r != '\n' {
			return false
		}
	}
	return true
}

func (n *ynode) remove(at int) {
	if n.kind == yMap {
		n.items = append(n.items[:at-1:at-1], n.items[at+1:]...)
		at /= 2
	} else {
		n.items = append(n.items[:at:at], n.items[at+1:]...)
	}
	n.entries = append(n.entries[:at:at], n.entries[at+1:]...)
}

// plainNode holds a value that was not in the file.
func plainNode(v Value) *ynode { return &ynode{kind: yPlain, value: v} }

// openNode turns a value into a tree that can be edited.
func openNode(v Value) *ynode {
	switch v := v.(type) {
	case *Map:
		n := &ynode{kind: yMap, flow: v.Len() == 0, entries: make([]*entryComments, v.Len())}
		for i, k := range v.Keys() {
			n.items = append(n.items, plainNode(v.KeyValue(k)), plainNode(v.values[i]))
		}
		return n
	case []Value:
		n := &ynode{kind: ySeq, flow: len(v) == 0, entries: make([]*entryComments, len(v))}
		for _, e := range v {
			n.items = append(n.items, plainNode(e))
		}
		return n
	case nil:
		return &ynode{}
	}
	return plainNode(v)
}
