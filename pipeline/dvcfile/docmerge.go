package dvcfile

import "strconv"

// Update makes the document hold m, as setting parameters with -S does.
// Mappings are merged key by key and keep their comments; keys that m lacks
// are removed; every list is written anew, in block style unless it stands
// inside a { } mapping. A scalar that did not change keeps its spelling
// (1e-3, 0x1F, a | block), one that did takes the plain form.
//
// isNew tells that the value at a path (mapping keys as text and list indexes
// in decimal) was set by the caller: it takes the plain form even where it
// equals the old one. A nil isNew means none was.
func (d *Document) Update(m *Map, isNew func(path []string) bool) {
	if d.root.real().kind != yMap {
		d.root = plainNode(m)
		return
	}
	u := updater{isNew: isNew}
	u.mapping(d.root.real(), m)
}

type updater struct {
	isNew func(path []string) bool
	path  []string
}

func (u *updater) in(step string) { u.path = append(u.path, step) }
func (u *updater) out()           { u.path = u.path[:len(u.path)-1] }

// kept tells whether a scalar stays as it is spelled.
func (u *updater) kept(old *ynode, v Value) bool {
	return sameScalar(old.real(), v) && (u.isNew == nil || !u.isNew(u.path))
}

// sameScalar is true for equal scalars of one kind (1 and 1.0 are not).
func sameScalar(old *ynode, v Value) bool {
	if old.kind == yPlain {
		return PyRepr(old.value) == PyRepr(v)
	}
	if old.kind != yScalar {
		return false
	}
	c := constructor{}
	was, err := c.scalar(old)
	return err == nil && PyRepr(was) == PyRepr(v)
}

func (u *updater) mapping(n *ynode, m *Map) {
	for i, name := range m.Keys() {
		u.in(name)
		u.entry(n, m.KeyValue(name), m.values[i])
		u.out()
	}
	for at := len(n.items) - 1; at > 0; at -= 2 {
		if k := n.items[at-1]; !k.isMerge() && !m.HasKey(keyOf(k)) {
			n.remove(at)
		}
	}
}

func (u *updater) entry(n *ynode, key, v Value) {
	at := n.find(key)
	var old *ynode
	if at >= 0 {
		old = n.items[at].real()
	} else if old = n.inherited(key); old == nil {
		n.put(key, at, v)
		return
	}
	if in, ok := v.(*Map); ok && old.kind == yMap {
		u.mapping(old, in)
		return
	}
	_, isList := v.([]Value)
	if !isList && !u.kept(old, v) {
		n.put(key, at, v)
		return
	}
	made := old
	if isList || old.kind != yScalar && old.kind != yPlain {
		made = u.rewritten(old, v)
	}
	if at >= 0 {
		if made != old {
			n.items[at] = made
		}
		return
	}
	n.put(key, at, nil) // a key that << brought in becomes one of its own
	n.items[len(n.items)-1] = made
}

// rewritten gives a value without the form of the collection it had, but with
// the spelling of the scalars in it that did not change.
func (u *updater) rewritten(old *ynode, v Value) *ynode {
	if old == nil {
		return plainNode(v)
	}
	old = old.real()
	switch v := v.(type) {
	case []Value:
		if old.kind != ySeq {
			return plainNode(v)
		}
		n := &ynode{kind: ySeq, flow: len(v) == 0, entries: make([]*entryComments, len(v))}
		for i, e := range v {
			var was *ynode
			if i < len(old.items) {
				was = old.items[i]
			}
			u.in(strconv.Itoa(i))
			n.items = append(n.items, u.rewritten(was, e))
			u.out()
		}
		return n
	case *Map:
		if old.kind != yMap {
			return plainNode(v)
		}
		return u.rewrittenMap(old, v)
	}
	if !u.kept(old, v) {
		return plainNode(v)
	}
	if old.style != '>' || old.block == nil {
		return old
	}
	if _, folds := foldPlaces(old.text, old.block.folds); len(folds) > 0 { // the comment after > goes with the mapping's others
		bare := *old
		bare.block = &blockForm{folds: old.block.folds}
		return &bare
	}
	return old
}

// rewrittenMap gives the mapping's own keys first and those that << brought in
// after them.
func (u *updater) rewrittenMap(old *ynode, m *Map) *ynode {
	n := &ynode{kind: yMap, flow: m.Len() == 0, entries: make([]*entryComments, m.Len())}
	add := func(name string, was *ynode) {
		v, _ := m.Get(name)
		u.in(name)
		n.items = append(n.items, plainNode(m.KeyValue(name)), u.rewritten(was, v))
		u.out()
	}
	for i := 0; i+1 < len(old.items); i += 2 {
		if name, ok := m.nameOf(keyOf(old.items[i])); ok && !old.items[i].isMerge() {
			add(name, old.items[i+1])
		}
	}
	for _, name := range m.Keys() {
		if key := m.KeyValue(name); old.find(key) < 0 {
			add(name, old.inherited(key))
		}
	}
	return n
}

// inherited finds the value of a key that << brings in, or nil.
func (n *ynode) inherited(key Value) *ynode {
	return n.inheritedFrom(key, map[*ynode]bool{n: true})
}

// inheritedFrom looks at each mapping once: one may bring in itself.
func (n *ynode) inheritedFrom(key Value, seen map[*ynode]bool) *ynode {
	for i := 0; i+1 < len(n.items); i += 2 {
		if !n.items[i].isMerge() {
			continue
		}
		from := []*ynode{n.items[i+1].real()}
		if from[0].kind == ySeq {
			from = from[0].items
		}
		for _, source := range from {
			source = source.real()
			if source.kind != yMap || seen[source] {
				continue
			}
			seen[source] = true
			if at := source.find(key); at >= 0 {
				return source.items[at].real()
			}
			if v := source.inheritedFrom(key, seen); v != nil {
				return v
			}
		}
	}
	return nil
}

// ApplyDiff makes the mapping at a path hold m and touches only what differs,
// as DVC does when it rewrites a .dvc file or a stage of dvc.yaml: equal
// values keep their form, changed ones take the plain one, new keys go to the
// end, keys that m lacks are removed.
func (d *Document) ApplyDiff(m *Map, path ...any) error {
	n := d.root.real()
	for _, step := range path {
		at, err := n.locate(step)
		if err != nil {
			return err
		}
		if at < 0 {
			return d.Set(m, path...)
		}
		n = n.open(at).real()
	}
	if n.kind != yMap {
		return d.Set(m, path...)
	}
	n.applyDiff(m)
	return nil
}

func (n *ynode) applyDiff(v Value) {
	switch v := v.(type) {
	case *Map:
		for i, name := range v.Keys() {
			key := v.KeyValue(name)
			n.diffAt(key, n.find(key), v.values[i])
		}
		for at := len(n.items) - 1; at > 0; at -= 2 {
			if k := n.items[at-1]; !k.isMerge() && !v.HasKey(keyOf(k)) {
				n.remove(at)
			}
		}
	case []Value:
		if len(v) != len(n.items) {
			n.items, n.entries = nil, nil
			for _, e := range v {
				n.put(0, -1, e)
			}
			return
		}
		for i, e := range v {
			n.diffAt(i, i, e)
		}
	}
}

func (n *ynode) diffAt(step any, at int, v Value) {
	if at < 0 {
		n.put(step, at, v)
		return
	}
	old := n.items[at].real()
	_, isMap := v.(*Map)
	_, isList := v.([]Value)
	if isMap && old.kind == yMap || isList && old.kind == ySeq {
		old.applyDiff(v)
		return
	}
	c := constructor{done: map[*ynode]*Node{}}
	now, err := c.node(old)
	if err != nil || !Equal(now.Value, v) {
		n.put(step, at, v)
	}
}
