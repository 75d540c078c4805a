package dvcfile

// enode is a node ready to be written: tag and text of scalars are final.
type enode struct {
	kind   yKind
	tag    string // type of a scalar
	given  string // a tag written in the source that is kept, or ""
	text   string
	style  byte // of a scalar: 0 (the writer chooses), | or >
	block  *blockForm
	flow   bool
	anchor string // from the source; scalars always show it, collections when aliased
	items  []*enode
	chunks [][]byte // of a key: the texts of whole entries from here on, written already

	comments *comments

	// set by the emitter
	uses    int    // how often it is met; scalars count only with an anchor
	name    string // of the anchor to write
	written bool
}

// represent makes the tree to write from values. Lists and mappings that
// several places share become an anchor and aliases, as in DVC, so they are
// looked up by identity.
type representer struct {
	seen map[any]*enode
}

func (r *representer) value(v Value) *enode {
	switch v := v.(type) {
	case nil:
		return &enode{tag: tagNull}
	case bool:
		if v {
			return &enode{tag: tagBool, text: "true"}
		}
		return &enode{tag: tagBool, text: "false"}
	case Int:
		return &enode{tag: tagInt, text: v.String()}
	case Float:
		return &enode{tag: tagFloat, text: v.yaml()}
	case string:
		return &enode{tag: tagStr, text: v}
	case Timestamp:
		return &enode{tag: tagTimestamp, text: v.Text}
	case []Value:
		return r.list(v)
	case *Map:
		return r.mapping(v)
	}
	panic("dvcfile: a value of a type that is none of Value's")
}

func (r *representer) list(v []Value) *enode {
	n := &enode{kind: ySeq, flow: len(v) == 0}
	if len(v) > 0 {
		if made, ok := r.seen[&v[0]]; ok {
			return made
		}
		r.seen[&v[0]] = n
	}
	n.items = make([]*enode, len(v))
	for i, e := range v {
		n.items[i] = r.value(e)
	}
	return n
}

func (r *representer) mapping(m *Map) *enode {
	n := &enode{kind: yMap, flow: m.Len() == 0}
	if m != nil {
		if made, ok := r.seen[m]; ok {
			return made
		}
		r.seen[m] = n
	}
	n.items = make([]*enode, 0, 2*m.Len())
	for i, k := range m.Keys() {
		n.items = append(n.items, r.value(m.KeyValue(k)), r.value(m.values[i]))
	}
	return n
}

// EmitYAML writes a value as a whole document the way DVC does (ruamel's
// round-trip dumper: block style, width 80), with a newline at the end.
func EmitYAML(v Value) []byte {
	r := representer{seen: map[any]*enode{}}
	n := r.value(v)
	if n.tag == tagNull && n.kind == yScalar {
		n.text = "null"
	}
	return emitDocument(n)
}

// recorded gives a value as it will be read back after DVC's folding from below
// the keys of a file: where a long text is folded at several blanks in a row, one
// of them is left.
func recorded(v Value, below ...string) Value {
	for i := len(below) - 1; i >= 0; i-- {
		v = NewMap(below[i], v)
	}
	back, err := ParseYAML("", EmitYAML(v))
	if err != nil {
		back = v
	}
	for _, key := range below {
		m, _ := back.(*Map)
		back, _ = m.Get(key)
	}
	return back
}

func newEmitter() *emitter {
	return &emitter{whitespace: true, indention: true}
}

func emitDocument(n *enode) []byte { return emitSized(n, 0) }

// emitSized is emitDocument for a text that will have about this size.
func emitSized(n *enode, size int) []byte {
	e := newEmitter()
	e.out = make([]byte, 0, size)
	e.countUses(n)
	e.node(n, place{root: true})
	e.writeIndent()
	if e.openEnded {
		e.indicator("...", true, false, false)
		e.writeIndent()
	}
	return e.out
}

// emitEntry writes an entry of a mapping that is itself a value of the root
// mapping. shared tells that an anchor was needed: the text is then of no use.
func emitEntry(key, value *enode) (text []byte, shared bool) {
	e := newEmitter()
	e.countUses(key)
	e.countUses(value)
	e.push(false, false, false)
	e.push(false, false, false)
	e.blockEntry(key, value)
	e.finishLine()
	return e.out, e.named
}
