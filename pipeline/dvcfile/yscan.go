package dvcfile

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"ctrx/internal/errs"
)

// yscanner cuts YAML text into tokens. It follows the reader DVC uses (the
// round-trip scanner of ruamel.yaml, a descendant of PyYAML's): which comment
// and blank line belongs to which token decides how a file looks after an
// edit, so it is done in the same way.
type yscanner struct {
	file string
	buf  []byte // the text and a closing NUL padding
	src  string // the same, for texts that need no copy
	pos  int
	mark

	tokens []*ytoken // ready tokens, from head
	head   int
	taken  int // tokens handed out so far
	slab   []ytoken
	free   []*ytoken
	done   bool
	filled bool // fill has nothing to do until a token is fetched or dropped

	flow    []byte // open [ and {
	indent  int32
	indents []int32
	// simpleKeyAllowed: a key without "?" may begin here.
	simpleKeyAllowed bool
	keys             []simpleKey // by flow depth
	used             [8]*ytoken  // tokens the parser is done with, the oldest at turn
	turn             int
}

// simpleKey remembers where a key without "?" may have begun.
type simpleKey struct {
	possible bool
	number   int // of its first token
	required bool
	pos      int
	mark
}

// maxSimpleKey is how far ":" may stand from the beginning of its key.
const maxSimpleKey = 1024

// newScanner checks the text and prepares it as DVC does: UTF-8, every line
// end is \n.
func newScanner(file string, data []byte) (*yscanner, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if bytes.IndexByte(data, '\r') >= 0 {
		data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
		data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	}
	s := &yscanner{file: file, indent: -1, simpleKeyAllowed: true}
	if err := checkText(file, data); err != nil {
		return nil, err
	}
	s.buf = make([]byte, len(data)+4)
	copy(s.buf, data)
	s.src = string(s.buf)
	return s, nil
}

// checkText refuses what is not UTF-8 and control characters.
func checkText(file string, data []byte) error {
	text := errs.NewText(file, data)
	line, col := 1, 1
	for i := 0; i < len(data); {
		c := data[i]
		if c >= ' ' && c < 0x7f {
			i++
			col++
			continue
		}
		if c == '\n' || c == '\t' {
			i++
			col++
			if c == '\n' {
				line, col = line+1, 1
			}
			continue
		}
		r, n := utf8.DecodeRune(data[i:])
		pos := text.At(line, col)
		if r == utf8.RuneError && n <= 1 {
			return errs.At(pos, "the file is not valid UTF-8")
		}
		if r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff {
			return errs.At(pos, "the control character U+%04X is not allowed", r)
		}
		i += n
		col++
	}
	return nil
}

func (s *yscanner) errorAt(m mark, format string, args ...any) error {
	return errs.At(errs.NewText(s.file, s.given()).At(int(m.line)+1, int(m.col)+1), format, args...)
}

// given is the text without the room behind it.
func (s *yscanner) given() []byte { return s.buf[:len(s.buf)-4] }

func (s *yscanner) peek() byte { return s.buf[s.pos] }

// peekAt looks k bytes ahead; past the end it is 0.
func (s *yscanner) peekAt(k int) byte {
	if s.pos+k < len(s.buf) {
		return s.buf[s.pos+k]
	}
	return 0
}

// breakLen is the length of the line break at offset k, or 0.
func (s *yscanner) breakLen(k int) int {
	switch s.peekAt(k) {
	case '\n':
		return 1
	case 0xc2:
		if s.peekAt(k+1) == 0x85 {
			return 2
		}
	case 0xe2:
		if s.peekAt(k+1) == 0x80 && (s.peekAt(k+2) == 0xa8 || s.peekAt(k+2) == 0xa9) {
			return 3
		}
	}
	return 0
}

// atEnd: a line break or the end of the text stands at offset k.
func (s *yscanner) atEnd(k int) bool { return s.peekAt(k) == 0 || s.breakLen(k) > 0 }

// atBlank: atEnd, or a space or tab.
func (s *yscanner) atBlank(k int) bool {
	c := s.peekAt(k)
	return c == ' ' || c == '\t' || s.atEnd(k)
}

// forward moves over n bytes, counting lines and columns.
func (s *yscanner) forward(n int) {
	for end := s.pos + n; s.pos < end; {
		c := s.buf[s.pos]
		if c < 0x80 && c != '\n' {
			s.pos++
			s.col++
			continue
		}
		switch {
		case s.breakLen(0) > 0:
			s.pos += s.breakLen(0)
			s.line++
			s.col = 0
		default:
			r, size := utf8.DecodeRune(s.buf[s.pos:])
			s.pos += size
			if r != '\ufeff' {
				s.col++
			}
		}
	}
}

func (s *yscanner) take(n int) string {
	text := s.src[s.pos : s.pos+n]
	s.forward(n)
	return text
}

// lineBreak eats a line break and gives it normalised, or "".
func (s *yscanner) lineBreak() string {
	n := s.breakLen(0)
	switch n {
	case 0:
		return ""
	case 3:
		return s.take(3)
	}
	s.forward(n)
	return "\n"
}

// --- the queue of tokens

func (s *yscanner) add(kind tokenKind, start mark) *ytoken {
	t := s.newToken()
	t.kind, t.start, t.end = kind, start, s.mark
	s.tokens = append(s.tokens, t)
	return t
}

func (s *yscanner) newToken() *ytoken {
	if n := len(s.free); n > 0 {
		t := s.free[n-1]
		s.free = s.free[:n-1]
		return t
	}
	if len(s.slab) == 0 {
		s.slab = make([]ytoken, 128)
	}
	t := &s.slab[0]
	s.slab = s.slab[1:]
	return t
}

func (s *yscanner) queued() []*ytoken { return s.tokens[s.head:] }

func (s *yscanner) insert(at int, t *ytoken) {
	at += s.head
	s.tokens = append(s.tokens, nil)
	copy(s.tokens[at+1:], s.tokens[at:])
	s.tokens[at] = t
}

// drop removes the i-th queued token.
func (s *yscanner) drop(i int) *ytoken {
	s.filled = false
	t := s.tokens[s.head+i]
	if i == 0 {
		s.head++
		if s.head == len(s.tokens) {
			s.tokens, s.head = s.tokens[:0], 0
		}
	} else {
		s.tokens = append(s.tokens[:s.head+i], s.tokens[s.head+i+1:]...)
	}
	s.taken++
	return t
}

func (s *yscanner) needMore() (bool, error) {
	if s.done {
		return false, nil
	}
	if len(s.queued()) == 0 {
		return true, nil
	}
	if err := s.dropStaleKeys(); err != nil {
		return false, err
	}
	for _, k := range s.keys {
		if k.possible && k.number == s.taken {
			return true, nil
		}
	}
	return false, nil
}

// fill makes the first queued token final and hands the comments before it to it.
func (s *yscanner) fill() error {
	if s.filled {
		return nil
	}
	var before []*comment
	for {
		for len(s.queued()) > 0 && s.queued()[0].kind == tkComment {
			before = append(before, s.drop(0).comments.post)
		}
		more, err := s.needMore()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if err := s.fetch(); err != nil {
			return err
		}
	}
	if before != nil && len(s.queued()) > 0 {
		s.queued()[0].addPre(before)
	}
	if !s.done && len(s.queued()) < 2 {
		return s.fetch()
	}
	s.filled = true
	return nil
}

// next is the next token, still queued.
func (s *yscanner) next() (*ytoken, error) {
	if err := s.fill(); err != nil {
		return nil, err
	}
	return s.queued()[0], nil
}

// get takes the next token off the queue, with the comments after it.
func (s *yscanner) get() (*ytoken, error) {
	if err := s.fill(); err != nil {
		return nil, err
	}
	t := s.queued()[0]
	if len(s.queued()) > 1 && s.queued()[1].kind == tkComment {
		follow := s.queued()[1]
		sameLine := t.end.line == follow.start.line
		switch {
		case sameLine && (t.kind == tkScalar || t.kind == tkValue || t.kind == tkFlowSeqEnd || t.kind == tkFlowMapEnd):
			c := s.drop(1).comments.post
			if err := s.joinComments(c); err != nil {
				return nil, err
			}
			t.addPost(c)
		case !sameLine && t.kind == tkScalar:
			c := s.drop(1).comments.post
			c.text = strings.Repeat("\n", int(follow.start.line-t.end.line)) + strings.Repeat(" ", int(c.at.col)) + c.text
			t.addPost(c)
			if err := s.joinComments(c); err != nil {
				return nil, err
			}
		}
	}
	s.drop(0)
	s.recycle(t)
	return t, nil
}

// recycle lets a token be used again once a few more were taken: the parser
// looks at the last two or three.
func (s *yscanner) recycle(t *ytoken) {
	if old := s.used[s.turn]; old != nil {
		*old = ytoken{}
		s.free = append(s.free, old)
	}
	s.used[s.turn] = t
	s.turn = (s.turn + 1) % len(s.used)
}

// joinComments appends the comments that follow the first queued token to c.
func (s *yscanner) joinComments(c *comment) error {
	var text strings.Builder
	text.WriteString(c.text)
	for {
		if !s.done {
			if err := s.fetch(); err != nil {
				return err
			}
		}
		if len(s.queued()) < 2 || s.queued()[1].kind != tkComment {
			c.text = text.String()
			return nil
		}
		more := s.drop(1).comments.post
		text.WriteString(strings.Repeat(" ", int(more.at.col)))
		text.WriteString(more.text)
	}
}

// --- simple keys and indentation

func (s *yscanner) dropStaleKeys() error {
	for level := range s.keys {
		k := &s.keys[level]
		if k.possible && k.line != s.line || k.possible && s.pos-k.pos > maxSimpleKey && utf8.RuneCount(s.buf[k.pos:s.pos]) > maxSimpleKey {
			if k.required {
				return s.errorAt(k.mark, "a ':' is missing after the key that begins here")
			}
			k.possible = false
		}
	}
	return nil
}

func (s *yscanner) saveKey() error {
	if !s.simpleKeyAllowed {
		return nil
	}
	required := len(s.flow) == 0 && s.indent == s.col
	if err := s.removeKey(); err != nil {
		return err
	}
	for len(s.keys) <= len(s.flow) {
		s.keys = append(s.keys, simpleKey{})
	}
	s.keys[len(s.flow)] = simpleKey{
		possible: true, number: s.taken + len(s.queued()), required: required, pos: s.pos, mark: s.mark,
	}
	return nil
}

func (s *yscanner) removeKey() error {
	if k := s.key(); k.possible && k.required {
		return s.errorAt(k.mark, "a ':' is missing after the key that begins here")
	}
	s.forgetKey()
	return nil
}

// key is the key that may have begun at the present depth.
func (s *yscanner) key() simpleKey {
	if len(s.flow) < len(s.keys) {
		return s.keys[len(s.flow)]
	}
	return simpleKey{}
}

func (s *yscanner) forgetKey() {
	if len(s.flow) < len(s.keys) {
		s.keys[len(s.flow)].possible = false
	}
}

func (s *yscanner) unwind(col int32) {
	if len(s.flow) > 0 {
		return
	}
	for s.indent > col {
		s.indent = s.indents[len(s.indents)-1]
		s.indents = s.indents[:len(s.indents)-1]
		s.add(tkBlockEnd, s.mark)
	}
}

func (s *yscanner) indentTo(col int32) bool {
	if s.indent >= col {
		return false
	}
	s.indents = append(s.indents, s.indent)
	s.indent = col
	return true
}
