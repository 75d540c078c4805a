package dvcfile

import (
	"regexp"
	"strings"
)

// attach hands the comments the parser left on nodes to the collections that
// keep them: a collection keeps its own and those of its entries, so that an
// entry's value can be replaced without losing the comment beside it.
//
// A list outside of every mapping takes the comments of all its items before
// those inside the items are looked at; that decides to whom the comment of an
// aliased item goes.
func attach(n *ynode, inMap bool) {
	switch n.kind {
	case ySeq:
		attachList(n, inMap)
	case yMap:
		attachMap(n)
	}
}

func (n *ynode) takeOwn() {
	if len(n.items) == 0 {
		n.flow = true
	}
	if c := n.comments; c != nil {
		n.own = &comments{post: c.post, pre: c.pre, end: c.end}
	}
}

// real is the node behind an alias.
func (n *ynode) real() *ynode {
	if n.kind == yAlias {
		return n.target
	}
	return n
}

func attachList(n *ynode, inMap bool) {
	n.takeOwn()
	n.entries = make([]*entryComments, len(n.items))
	for i, item := range n.items {
		if b := item.block; b != nil && b.header != "" {
			item.block = &blockForm{folds: b.folds}
			n.forgets = true
		}
		if c := item.real().comments; c != nil {
			n.entries[i] = &entryComments{post: c.post, pre: c.pre}
			item.real().comments = nil
		}
		if inMap {
			attach(item, true)
		}
	}
	if inMap {
		return
	}
	for _, item := range n.items {
		attach(item, false)
	}
}

func attachMap(n *ynode) {
	n.takeOwn()
	n.entries = make([]*entryComments, len(n.items)/2)
	last := -1 // the entry before, where its value is null
	for i := range n.entries {
		key, value := n.items[2*i], n.items[2*i+1]
		attach(key, true)
		attach(value, true)
		if key.isMerge() {
			continue
		}
		e := &entryComments{}
		if c := key.real().comments; c != nil {
			if c.hasKey && c.key != nil && last >= 0 {
				n.entry(last).valuePost = c.key
				if p := n.entry(last); p.valuePre == nil {
					p.valuePre = c.pre
				}
			} else {
				e.post, e.pre = c.post, c.pre
				n.entries[i] = e
			}
		}
		if c := value.real().comments; c != nil {
			e.valuePost, e.valuePre = c.post, c.pre
			n.entries[i] = e
		}
		last = -1
		if v := value.real(); v.kind == yScalar && v.scalarTag() == tagNull {
			last = i
		}
	}
}

func (n *ynode) entry(i int) *entryComments {
	if n.entries[i] == nil {
		n.entries[i] = &entryComments{}
	}
	return n.entries[i]
}

func (n *ynode) isMerge() bool { return n.kind == yScalar && n.scalarTag() == tagMerge }

// generatedAnchor are the names the dumper makes up; they are not kept.
var generatedAnchor = regexp.MustCompile(`^id\d{3,}$`)

// treeRepresenter makes the tree to write from a document.
type treeRepresenter struct {
	made map[*ynode]*enode
	// chunked is a mapping whose entries are written apart and kept in chunks
	// (by the node of their value): the stages of a large dvc.lock.
	chunked *ynode
	chunks  map[*ynode][]byte
	size    int  // of all chunks
	shared  bool // an entry needs an anchor, so it cannot be written apart
}

func (r *treeRepresenter) node(n *ynode) *enode {
	n = n.real()
	if n.kind == yPlain {
		values := representer{seen: map[any]*enode{}}
		return values.value(n.value)
	}
	if e := r.made[n]; e != nil {
		return e
	}
	var e *enode
	if n.kind == yScalar {
		if e = scalarNode(n); e.anchor != "" {
			r.made[n] = e
		}
		return e
	}
	e = &enode{kind: n.kind, flow: n.flow}
	r.made[n] = e
	if n.tag != "" && n.tag != tagSeq && n.tag != tagMap {
		e.given = n.tag
	}
	if n.anchor != "" && !(generatedAnchor.MatchString(n.anchor) && n.anchor != "id000") {
		e.anchor = n.anchor
	}
	if n.own != nil {
		own := *n.own
		e.comments = &own
		for _, c := range own.pre {
			c.done = false
		}
	}
	if n.kind == ySeq {
		r.list(n, e)
	} else {
		r.mapping(n, e)
	}
	return e
}

func (r *treeRepresenter) list(n *ynode, e *enode) {
	e.items = make([]*enode, len(n.items))
	if n.forgets && e.comments != nil {
		e.comments.end = nil
	}
	for i, item := range n.items {
		in := r.node(item)
		e.items[i] = in
		c := n.entries[i]
		if c == nil || n.forgets {
			continue
		}
		merged := &comments{post: c.post, pre: c.pre}
		if own := in.comments; own != nil {
			if own.post != nil {
				merged.post = own.post
			}
			if own.pre != nil {
				merged.pre = own.pre
			}
			merged.end = own.end
		}
		resetDone(merged.pre)
		in.comments = merged
	}
}

func resetDone(cs []*comment) {
	for _, c := range cs {
		c.done = false
	}
}

func (r *treeRepresenter) mapping(n *ynode, e *enode) {
	if n != r.chunked {
		e.items = make([]*enode, 0, len(n.items))
	}
	for i, c := range n.entries {
		key, value := n.items[2*i], n.items[2*i+1]
		if key.isMerge() {
			e.items = append(e.items, &enode{tag: tagMerge, text: "<<"}, r.node(value))
			continue
		}
		if text := r.chunks[value]; n == r.chunked && text != nil {
			r.chunk(e, text)
			continue
		}
		ke, ve := r.node(key), r.node(value)
		if c != nil {
			resetDone(c.pre)
			resetDone(c.valuePre)
			ke.comments = &comments{post: c.post, pre: c.pre}
			if ve.comments == nil {
				ve.comments = &comments{}
			}
			ve.comments.post, ve.comments.pre = c.valuePost, c.valuePre
		}
		if n == r.chunked {
			text, shared := emitEntry(ke, ve)
			if shared {
				r.shared = true
				return
			}
			r.chunks[value] = text
			r.chunk(e, text)
			continue
		}
		e.items = append(e.items, ke, ve)
	}
}

// chunk appends an entry that is written already. Those that stand one behind
// the other make one, since a large dvc.lock is written after every stage.
func (r *treeRepresenter) chunk(e *enode, text []byte) {
	r.size += len(text)
	if last := len(e.items) - 2; last >= 0 && e.items[last].chunks != nil {
		e.items[last].chunks = append(e.items[last].chunks, text)
		return
	}
	e.items = append(e.items, &enode{chunks: [][]byte{text}}, nil)
}

// scalarNode writes an unchanged scalar: quotes are lost where they are not
// needed, numbers keep their spelling, block strings their form.
func scalarNode(n *ynode) *enode {
	tag := n.scalarTag()
	e := &enode{tag: tag, text: n.text, anchor: n.anchor}
	if n.style == '|' || n.style == '>' {
		e.style, e.block = n.style, n.block
	}
	if n.tag != "" {
		if n.tag != "!" {
			e.given = n.tag
		} else {
			e.tag = tagStr
		}
		if e.style == 0 {
			e.style = n.style
		}
		return e
	}
	switch tag {
	case tagNull:
		e.text, e.anchor = "", ""
	case tagBool:
		e.text = strings.ToLower(n.text)
	case tagInt:
		e.text = intSpelling(n.text)
	case tagFloat:
		e.text = floatSpelling(n.text)
	case tagTimestamp:
		e.text, e.anchor = timestampSpelling(n.text), ""
	case tagValue, tagMerge: // a key
		e.tag = tagStr
	}
	return e
}
