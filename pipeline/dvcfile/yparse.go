package dvcfile

import (
	"strings"
)

// maxDepth bounds nesting, so that a hostile file cannot exhaust the stack.
const maxDepth = 1000

// yparser builds the syntax tree from tokens, and hands each comment to the
// node that carries it when the file is written again.
type yparser struct {
	*yscanner
	anchors map[string]*ynode
	tags    map[string]string // %TAG handles
	depth   int
	slab    []ynode
}

// newNode takes a node off a block of them: large files have a million.
func (p *yparser) newNode() *ynode {
	if len(p.slab) == 0 {
		p.slab = make([]ynode, 64)
	}
	n := &p.slab[0]
	p.slab = p.slab[1:]
	return n
}

// parseTree reads one document. An empty one (or comments only) is nil.
// anchored tells whether it has anchors.
func parseTree(file string, data []byte) (root *ynode, anchored bool, err error) {
	s, err := newScanner(file, data)
	if err != nil {
		return nil, false, err
	}
	p := &yparser{yscanner: s, anchors: map[string]*ynode{}, tags: map[string]string{}}
	root, err = p.document()
	return root, len(p.anchors) > 0, err
}

// is tells whether the next token is one of some kinds.
func (p *yparser) is(kinds ...tokenKind) bool {
	t := p.queued()[0]
	for _, k := range kinds {
		if t.kind == k {
			return true
		}
	}
	return false
}

func (p *yparser) document() (*ynode, error) {
	t, err := p.next()
	if err != nil {
		return nil, err
	}
	if t.kind == tkStreamEnd {
		return nil, nil
	}
	if p.is(tkDirective, tkDocumentStart) {
		if err := p.documentStart(); err != nil {
			return nil, err
		}
	}
	var root *ynode
	if p.is(tkDirective, tkDocumentStart, tkDocumentEnd, tkStreamEnd) {
		root = p.empty(p.queued()[0].start)
	} else if root, err = p.node(true, false); err != nil {
		return nil, err
	}
	if t, err = p.next(); err != nil {
		return nil, err
	}
	for t.kind == tkDocumentEnd {
		if _, err = p.get(); err != nil {
			return nil, err
		}
		if t, err = p.next(); err != nil {
			return nil, err
		}
	}
	switch t.kind {
	case tkStreamEnd:
		return root, nil
	case tkDocumentStart, tkDirective:
		return nil, p.errorAt(t.start, "a second document begins here; one is expected")
	}
	return nil, p.errorAt(t.start, "the document ended before this %s; is the indentation right?", t.kind)
}

func (p *yparser) documentStart() error {
	for p.is(tkDirective) {
		t, err := p.get()
		if err != nil {
			return err
		}
		switch f := strings.Fields(t.text); {
		case f[0] == "%YAML" && len(f) > 1 && f[1] != "1.2":
			return p.errorAt(t.start, "the file asks for YAML %s; DVC files are YAML 1.2", f[1])
		case f[0] == "%TAG" && len(f) > 2:
			p.tags[f[1]] = f[2]
		}
		if _, err := p.next(); err != nil {
			return err
		}
	}
	t, err := p.get()
	if err != nil {
		return err
	}
	if t.kind != tkDocumentStart {
		return p.errorAt(t.start, "after a directive --- is expected, not %s", t.kind)
	}
	_, err = p.next()
	return err
}

func (p *yparser) empty(at mark) *ynode {
	n := p.newNode()
	n.line, n.col = at.line+1, at.col+1
	return n
}

// node reads a node. block allows block collections, indentless a list whose
// dashes stand at the column of the key before it.
func (p *yparser) node(block, indentless bool) (*ynode, error) {
	t, err := p.next()
	if err != nil {
		return nil, err
	}
	if p.depth++; p.depth > maxDepth {
		return nil, p.errorAt(t.start, "the file is nested deeper than %d levels", maxDepth)
	}
	defer func() { p.depth-- }()
	if t.kind == tkAlias {
		if _, err := p.get(); err != nil {
			return nil, err
		}
		target := p.anchors[t.text]
		if target == nil {
			return nil, p.errorAt(t.start, "the alias *%s has no anchor before it", t.text)
		}
		n := p.empty(t.start)
		n.kind, n.text, n.target = yAlias, t.text, target
		return n, nil
	}
	n := p.newNode()
	start, propertied, err := p.properties(n)
	if err != nil {
		return nil, err
	}
	if t, err = p.next(); err != nil {
		return nil, err
	}
	if !propertied {
		start = t.start
	}
	n.line, n.col = start.line+1, start.col+1
	if n.anchor != "" {
		p.anchors[n.anchor] = n
	}
	return n, p.content(n, t, block, indentless, propertied)
}

func (p *yparser) content(n *ynode, t *ytoken, block, indentless, propertied bool) error {
	switch {
	case indentless && t.kind == tkBlockEntry:
		return p.indentlessList(n, t)
	case t.kind == tkScalar:
		return p.scalar(n)
	case t.kind == tkFlowSeqStart:
		return p.flowList(n)
	case t.kind == tkFlowMapStart:
		return p.flowMap(n)
	case block && t.kind == tkBlockSeqStart:
		return p.blockList(n, t)
	case block && t.kind == tkBlockMapStart:
		return p.blockMap(n, t)
	case propertied:
		return nil
	}
	return p.errorAt(t.start, "a value is expected here, not %s", t.kind)
}

// properties reads an anchor and a tag, in any order.
func (p *yparser) properties(n *ynode) (start mark, any bool, err error) {
	for {
		t, err := p.next()
		if err != nil {
			return start, any, err
		}
		if t.kind != tkAnchor && t.kind != tkTag || t.kind == tkAnchor && n.anchor != "" || t.kind == tkTag && n.tag != "" {
			return start, any, nil
		}
		if _, err := p.get(); err != nil {
			return start, any, err
		}
		follow, err := p.next()
		if err != nil {
			return start, any, err
		}
		if !any {
			start, any = t.start, true
			t.moveComments(follow, false)
		}
		if t.kind == tkAnchor {
			n.anchor = t.text
			continue
		}
		if n.tag, err = p.tag(t); err != nil {
			return start, any, err
		}
	}
}

func (p *yparser) tag(t *ytoken) (string, error) {
	const core = "tag:yaml.org,2002:"
	handle, suffix, _ := strings.Cut(t.text, "\x00")
	prefix, defined := p.tags[handle]
	if !defined {
		switch handle {
		case "", "!":
			prefix = handle
		case "!!":
			prefix = core
		default:
			return "", p.errorAt(t.start, "the tag handle %s is not defined", handle)
		}
	}
	full := prefix + suffix
	if short, ok := strings.CutPrefix(full, core); ok {
		return "!!" + short, nil
	}
	return full, nil
}

func (p *yparser) scalar(n *ynode) error {
	t, err := p.get()
	if err != nil {
		return err
	}
	n.text, n.style, n.comments = t.text, t.style, t.comments
	n.block = t.block
	return nil
}

func (p *yparser) blockList(n *ynode, t *ytoken) error {
	n.kind = ySeq
	n.comments = t.comments
	if n.comments != nil && n.comments.pre == nil {
		n.comments = nil
		if t.comments.post != nil {
			n.comments = &comments{post: t.comments.post}
			t.comments = nil
		}
	}
	if _, err := p.get(); err != nil {
		return err
	}
	if err := p.listItems(n, tkBlockEnd); err != nil {
		return err
	}
	if !p.is(tkBlockEnd) {
		found := p.queued()[0]
		return p.errorAt(found.start, "in the list that begins on line %d a '-' is expected, not %s", n.line, found.kind)
	}
	end, err := p.get()
	if err != nil {
		return err
	}
	n.takeEnd(end.comments)
	return nil
}

func (p *yparser) indentlessList(n *ynode, t *ytoken) error {
	n.kind = ySeq
	if c := t.comments; c != nil && c.post != nil {
		n.comments = &comments{post: c.post, pre: []*comment{}}
		c.post = nil
	} else if c != nil && len(c.pre) > 0 {
		n.comments = &comments{pre: c.pre}
		c.pre = nil
	}
	if err := p.listItems(n, tkKey, tkValue, tkBlockEnd); err != nil {
		return err
	}
	n.takeEnd(p.queued()[0].comments)
	return nil
}

// listItems reads "- item" entries; an item followed by another dash or one of
// the given tokens is null.
func (p *yparser) listItems(n *ynode, after ...tokenKind) error {
	for {
		t, err := p.next()
		if err != nil {
			return err
		}
		if t.kind != tkBlockEntry {
			return nil
		}
		if _, err := p.get(); err != nil {
			return err
		}
		follow, err := p.next()
		if err != nil {
			return err
		}
		t.moveComments(follow, false)
		item := p.empty(t.end)
		if follow.kind != tkBlockEntry && !p.is(after...) {
			if item, err = p.node(true, false); err != nil {
				return err
			}
		}
		n.items = append(n.items, item)
	}
}

// takeEnd gives the comments before the end of a collection to it.
func (n *ynode) takeEnd(c *comments) {
	if c == nil || len(c.pre) == 0 {
		return
	}
	if n.comments == nil {
		n.comments = &comments{}
	}
	n.comments.end, n.comments.hasEnd = c.pre, true
	c.pre = nil
}

func (p *yparser) blockMap(n *ynode, t *ytoken) error {
	n.kind = yMap
	n.comments = t.comments
	if _, err := p.get(); err != nil {
		return err
	}
	for {
		if _, err := p.next(); err != nil {
			return err
		}
		if !p.is(tkKey, tkValue) {
			break
		}
		key, err := p.blockKey()
		if err != nil {
			return err
		}
		value, err := p.blockValue()
		if err != nil {
			return err
		}
		n.items = append(n.items, key, value)
	}
	if !p.is(tkBlockEnd) {
		found := p.queued()[0]
		return p.errorAt(found.start, "in the mapping that begins on line %d a key is expected, not %s", n.line, found.kind)
	}
	end, err := p.get()
	if err != nil {
		return err
	}
	follow, err := p.next()
	if err != nil {
		return err
	}
	end.moveComments(follow, false)
	n.takeEnd(end.comments)
	return nil
}

func (p *yparser) blockKey() (*ynode, error) {
	if p.is(tkValue) {
		return p.empty(p.queued()[0].start), nil
	}
	t, err := p.get()
	if err != nil {
		return nil, err
	}
	follow, err := p.next()
	if err != nil {
		return nil, err
	}
	t.moveComments(follow, false)
	if p.is(tkKey, tkValue, tkBlockEnd) {
		return p.empty(t.end), nil
	}
	return p.node(true, true)
}

func (p *yparser) blockValue() (*ynode, error) {
	t, err := p.next()
	if err != nil {
		return nil, err
	}
	if t.kind != tkValue {
		return p.empty(t.start), nil
	}
	if t, err = p.get(); err != nil {
		return nil, err
	}
	follow, err := p.next()
	if err != nil {
		return nil, err
	}
	if follow.kind != tkKey {
		t.moveComments(follow, follow.kind != tkValue)
	}
	if !p.is(tkKey, tkValue, tkBlockEnd) {
		return p.node(true, true)
	}
	v := p.empty(t.end)
	v.comments = t.comments
	if v.comments == nil && follow.comments != nil {
		v.comments = &comments{post: follow.comments.post}
		follow.comments = &comments{pre: follow.comments.pre}
	}
	return v, nil
}
