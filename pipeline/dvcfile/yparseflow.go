package dvcfile

func (p *yparser) flowList(n *ynode) error {
	n.kind, n.flow = ySeq, true
	start, err := p.get()
	if err != nil {
		return err
	}
	n.comments = start.comments
	for first := true; ; first = false {
		done, err := p.flowNext(n, first, tkFlowSeqEnd, "]")
		if err != nil {
			return err
		}
		if done {
			return p.flowEnd(n)
		}
		var item *ynode
		if p.is(tkKey) {
			item, err = p.flowPair()
		} else {
			item, err = p.node(false, false)
		}
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
}

// flowNext moves over the comma before an entry; true at the closing bracket.
func (p *yparser) flowNext(n *ynode, first bool, end tokenKind, closing string) (bool, error) {
	t, err := p.next()
	if err != nil || t.kind == end {
		return true, err
	}
	if first {
		return false, nil
	}
	if t.kind != tkFlowEntry {
		return false, p.errorAt(t.start, "',' or '%s' is expected here, not %s (the bracket opens on line %d)", closing, t.kind, n.line)
	}
	if _, err := p.get(); err != nil {
		return false, err
	}
	t, err = p.next()
	return err == nil && t.kind == end, err
}

func (p *yparser) flowEnd(n *ynode) error {
	t, err := p.get()
	if err != nil {
		return err
	}
	if t.comments != nil {
		n.comments = t.comments
	}
	n.takeEnd(t.comments)
	return nil
}

// flowPair reads the one-entry mapping of [key: value].
func (p *yparser) flowPair() (*ynode, error) {
	t := p.queued()[0]
	n := p.empty(t.start)
	n.kind, n.flow = yMap, true
	key, err := p.flowKey(tkFlowSeqEnd)
	if err != nil {
		return nil, err
	}
	value, err := p.flowValue(tkFlowSeqEnd)
	n.items = []*ynode{key, value}
	return n, err
}

func (p *yparser) flowKey(end tokenKind) (*ynode, error) {
	t, err := p.get()
	if err != nil {
		return nil, err
	}
	if _, err := p.next(); err != nil {
		return nil, err
	}
	if p.is(tkValue, tkFlowEntry, end) {
		return p.empty(t.end), nil
	}
	return p.node(false, false)
}

func (p *yparser) flowValue(end tokenKind) (*ynode, error) {
	t, err := p.next()
	if err != nil {
		return nil, err
	}
	if t.kind != tkValue {
		return p.empty(t.start), nil
	}
	if _, err := p.get(); err != nil {
		return nil, err
	}
	if _, err := p.next(); err != nil {
		return nil, err
	}
	if p.is(tkFlowEntry, end) {
		return p.empty(t.end), nil
	}
	return p.node(false, false)
}

func (p *yparser) flowMap(n *ynode) error {
	n.kind, n.flow = yMap, true
	start, err := p.get()
	if err != nil {
		return err
	}
	n.comments = start.comments
	for first := true; ; first = false {
		done, err := p.flowNext(n, first, tkFlowMapEnd, "}")
		if err != nil {
			return err
		}
		if done {
			return p.flowEnd(n)
		}
		key, value, err := p.flowEntry()
		if err != nil {
			return err
		}
		n.items = append(n.items, key, value)
	}
}

func (p *yparser) flowEntry() (key, value *ynode, err error) {
	switch {
	case p.is(tkKey):
		key, err = p.flowKey(tkFlowMapEnd)
	case p.is(tkValue):
		key = p.empty(p.queued()[0].end)
	default: // a key without a value
		if key, err = p.node(false, false); err != nil {
			return nil, nil, err
		}
		t, err := p.next()
		if err != nil {
			return nil, nil, err
		}
		return key, p.empty(t.start), nil
	}
	if err != nil {
		return nil, nil, err
	}
	value, err = p.flowValue(tkFlowMapEnd)
	return key, value, err
}
