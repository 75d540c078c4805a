package dvcfile

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// width is the column after which a line is folded.
	width = 80
	// maxKey is the length from which a key is written after "? ". It counts
	// the key's tag in its short form (!!str), though that is not written.
	maxKey = 128
)

// emitter writes YAML with the decisions of the dumper DVC uses (the
// round-trip emitter of ruamel.yaml 0.19): a lock file must come out byte for
// byte the same, folding quirks and trailing blanks included.
type emitter struct {
	out        []byte
	column     int
	whitespace bool // the last character written was blank
	indention  bool // only indentation and "-", "?", ":" stand on the line so far
	noNewline  bool // the next writeIndent stays on the line
	openEnded  bool // the document needs "..." at its end

	levels    []level
	indent    int
	hasIndent bool
	flow      []byte

	ctx place

	lastID int
	named  bool // an anchor was met
}

// level is a saved indentation; seq tells that a list opened it.
type level struct {
	indent int
	has    bool
	seq    bool
}

// place is where a node stands.
type place struct {
	root, sequence, mapping, simpleKey bool
}

// countUses finds the nodes that need an anchor.
func (e *emitter) countUses(n *enode) {
	if n == nil || n.kind == yScalar && n.anchor == "" {
		return
	}
	n.uses++
	switch n.uses {
	case 1:
		if n.kind == yScalar {
			n.name = n.anchor
			e.named = true
		}
		for _, item := range n.items {
			e.countUses(item)
		}
	case 2:
		e.named = true
		if n.anchor != "" {
			n.name = n.anchor
			return
		}
		e.lastID++
		n.name = fmt.Sprintf("id%03d", e.lastID)
	}
}

func (e *emitter) isAlias(n *enode) bool { return n.uses > 1 && n.written }

// --- levels

func (e *emitter) push(flow, seq, indentless bool) {
	e.levels = append(e.levels, level{e.indent, e.hasIndent, seq})
	switch {
	case !e.hasIndent:
		if !flow {
			e.indent, e.hasIndent = 0, true
		}
	case !indentless:
		e.indent += 2
	}
}

func (e *emitter) pop() {
	l := e.levels[len(e.levels)-1]
	e.levels = e.levels[:len(e.levels)-1]
	e.indent, e.hasIndent = l.indent, l.has
}

func (e *emitter) lastIsSeq() bool {
	return len(e.levels) > 0 && e.levels[len(e.levels)-1].seq
}

// flowPad aligns a flow collection that is an item of a nested list.
func (e *emitter) flowPad(afterComment bool) int {
	if (len(e.levels) < 2 || !e.lastIsSeq()) && (len(e.levels) == 0 || !afterComment) {
		return 0
	}
	base := e.levels[len(e.levels)-1].indent
	if afterComment {
		return base + 2
	}
	return max(0, base+2-e.column-1)
}

// --- nodes

func (e *emitter) node(n *enode, ctx place) {
	e.ctx = ctx
	if e.isAlias(n) {
		e.indicator("*"+n.name, true, false, false)
		e.noNewline = false
		return
	}
	n.written = true
	if n.name != "" {
		e.indicator("&"+n.name, true, false, false)
		e.noNewline = false
		if n.kind == yScalar {
			e.ctx.sequence = false
		}
	}
	switch n.kind {
	case yScalar:
		e.scalar(n)
	case ySeq:
		e.givenTag(n)
		e.sequence(n)
	case yMap:
		e.givenTag(n)
		e.mapping(n)
	}
}

func (e *emitter) givenTag(n *enode) {
	if n.given == "" {
		return
	}
	tag := n.given
	if tag[0] != '!' {
		tag = "!<" + tag + ">"
	}
	e.indicator(tag, true, false, false)
	if n.kind == yScalar && e.ctx.sequence && len(e.flow) == 0 {
		e.noNewline = true
	}
}

func (e *emitter) sequence(n *enode) {
	force := false
	if c := n.comments; c != nil {
		indention := e.indention
		if !n.flow && e.post(c.post) {
			e.indention, e.noNewline = false, true
		}
		column := e.column
		if e.pre(c.pre, true) {
			if n.flow {
				force = !e.lastIsSeq()
			}
			e.indention = indention
			e.noNewline = !indention
		}
		if n.flow {
			e.column = column
		}
	}
	if len(e.flow) > 0 || n.flow || len(n.items) == 0 {
		e.flowStart(force, true, "[")
		e.afterSequenceStart()
		e.flowList(n)
		return
	}
	indentless := e.ctx.mapping && !e.indention
	e.push(false, true, indentless)
	e.afterSequenceStart()
	for _, item := range n.items {
		if item.comments != nil && !e.isAlias(item) {
			e.pre(item.comments.pre, item.kind != yScalar)
		}
		stay := e.noNewline && e.column == 0
		e.writeIndent()
		e.indicator("-", true, false, true)
		if stay {
			e.noNewline = true
		}
		e.node(item, place{sequence: true})
	}
	if n.comments != nil {
		e.pre(n.comments.end, false)
	}
	e.pop()
	e.noNewline = false
}

// afterSequenceStart lets a list begin on the line of the dash before it.
func (e *emitter) afterSequenceStart() {
	if k := len(e.levels); k > 1 && e.levels[k-1].seq && e.levels[k-2].seq {
		e.indention, e.noNewline = true, false
	}
}

func (e *emitter) mapping(n *enode) {
	force := false
	if c := n.comments; c != nil {
		if !n.flow {
			e.post(c.post)
		}
		if len(c.pre) > 0 {
			e.pre(c.pre, true)
			if n.flow && len(e.levels) > 0 {
				force = !e.lastIsSeq()
			}
		}
	}
	if len(e.flow) > 0 || n.flow || len(n.items) == 0 {
		e.flowMap(n, force)
		return
	}
	e.push(false, false, false)
	for i := 0; i < len(n.items); i += 2 {
		e.blockEntry(n.items[i], n.items[i+1])
	}
	if n.comments != nil {
		e.pre(n.comments.end, false)
	}
	e.pop()
}

func (e *emitter) blockEntry(key, value *enode) {
	if key.chunks != nil {
		e.finishLine()
		for _, text := range key.chunks {
			e.out = append(e.out, text...)
		}
		return
	}
	if key.comments != nil {
		e.pre(key.comments.pre, key.kind != yScalar)
	}
	e.writeIndent()
	if e.fitsAsKey(key) {
		alias := e.isAlias(key)
		e.node(key, place{mapping: true, simpleKey: true})
		if alias {
			e.out = append(e.out, ' ')
		}
		e.indicator(":", false, false, false)
	} else {
		e.indicator("?", true, false, true)
		e.node(key, place{mapping: true})
		e.writeIndent()
		e.indicator(":", true, false, true)
	}
	e.node(value, place{mapping: true})
}

// fitsAsKey tells whether a key needs no "? ".
func (e *emitter) fitsAsKey(n *enode) bool {
	length := len(n.name)
	if e.isAlias(n) {
		return length < maxKey
	}
	if n.kind != yScalar {
		return len(n.items) == 0 || n.flow
	}
	length += len(n.tag) + utf8.RuneCountInString(n.text)
	return length < maxKey && !strings.ContainsAny(n.text, "\n\u0085\u2028\u2029")
}

// --- flow collections

func (e *emitter) flowStart(force, seq bool, open string) {
	if force {
		e.push(true, seq, false)
	}
	pad := e.flowPad(force)
	e.indicator(strings.Repeat(" ", pad)+open, true, true, false)
	if !force {
		e.push(true, seq, false)
	}
	e.flow = append(e.flow, open...)
	if open == "" {
		e.flow = append(e.flow, 0)
	}
}

func (e *emitter) flowEnd(n *enode, closing string) {
	e.pop()
	e.flow = e.flow[:len(e.flow)-1]
	e.indicator(closing, false, false, false)
	switch {
	case n.flow && n.comments != nil && n.comments.post != nil:
		e.post(n.comments.post)
	case len(n.items) > 0:
		e.noNewline = false
	case len(e.flow) == 0:
		e.lineBreak("\n")
	}
}

func (e *emitter) flowList(n *enode) {
	for i, item := range n.items {
		if i > 0 {
			e.indicator(",", false, false, false)
		}
		if e.column > width {
			e.writeIndent()
		}
		e.node(item, place{sequence: true})
	}
	e.flowEnd(n, "]")
}

func (e *emitter) flowMap(n *enode, force bool) {
	open, closing := "{", "}"
	if len(n.items) == 2 && len(e.flow) > 0 && e.flow[len(e.flow)-1] == '[' {
		open, closing = "", "" // a single pair inside a list needs no braces
	}
	e.flowStart(force, false, open)
	for i := 0; i < len(n.items); i += 2 {
		if i > 0 {
			e.indicator(",", false, false, false)
		}
		if e.column > width {
			e.writeIndent()
		}
		if e.fitsAsKey(n.items[i]) {
			e.node(n.items[i], place{mapping: true, simpleKey: true})
			e.indicator(":", false, false, false)
		} else {
			e.indicator("?", true, false, false)
			e.node(n.items[i], place{mapping: true})
			if e.column > width {
				e.writeIndent()
			}
			e.indicator(":", true, false, false)
		}
		e.node(n.items[i+1], place{mapping: true})
	}
	e.flowEnd(n, closing)
}

// --- comments

// pre writes the comment lines before a node. For a collection each is written
// once, though its entry carries the same ones. It reports whether there were any.
func (e *emitter) pre(cs []*comment, once bool) bool {
	if cs == nil {
		return false
	}
	for _, c := range cs {
		if once && c.done {
			continue
		}
		if e.column != 0 {
			e.lineBreak("\n")
		}
		e.comment(c, c.text)
		if once {
			c.done = true
		}
	}
	return true
}

// post writes the comment after a node, up to and with its line end.
func (e *emitter) post(c *comment) bool {
	if c == nil {
		return false
	}
	e.comment(c, strings.TrimSuffix(c.text, "\n"))
	e.lineBreak("\n")
	return true
}

func (e *emitter) comment(c *comment, text string) {
	pad := int(c.at.col) - e.column
	if strings.HasPrefix(c.text, "\n") {
		pad = 0
	}
	if e.column > 0 && pad < 1 && strings.TrimSpace(text) != "" && text[0] != '\n' {
		pad = 1
	}
	if pad > 0 {
		e.out = append(e.out, strings.Repeat(" ", pad)...)
	}
	e.out = append(e.out, text...)
}

// --- low level

func (e *emitter) indicator(s string, needBlank, whitespace, indention bool) {
	if needBlank && !e.whitespace {
		e.out = append(e.out, ' ')
		e.column++
	}
	e.whitespace = whitespace
	e.indention = e.indention && indention
	e.column += utf8.RuneCountInString(s)
	e.openEnded = false
	e.out = append(e.out, s...)
}

func (e *emitter) writeIndent() {
	indent := 0
	if e.hasIndent {
		indent = e.indent
	}
	if !e.indention || e.column > indent || e.column == indent && !e.whitespace {
		if e.noNewline {
			e.noNewline = false
		} else {
			e.lineBreak("\n")
		}
	}
	for e.column < indent {
		e.whitespace = true
		e.out = append(e.out, ' ')
		e.column++
	}
}

// finishLine ends the line if anything stands on it.
func (e *emitter) finishLine() {
	if e.column > 0 || !e.indention {
		e.lineBreak("\n")
	}
	e.noNewline = false
}

func (e *emitter) lineBreak(br string) {
	e.whitespace, e.indention = true, true
	e.column = 0
	e.out = append(e.out, br...)
}

func (e *emitter) write(s string) {
	e.column += utf8.RuneCountInString(s)
	e.out = append(e.out, s...)
}
