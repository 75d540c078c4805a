package dvcfile

import "strings"

// fetch scans one more token (or comment) onto the queue.
func (s *yscanner) fetch() error {
	s.filled = false
	if c := s.skipToToken(); c != nil {
		c.text = strings.TrimRight(c.text, " ")
		s.add(tkComment, c.at).comments = &comments{post: c}
		return nil
	}
	if err := s.dropStaleKeys(); err != nil {
		return err
	}
	s.unwind(s.col)
	c := s.peek()
	if c == 0 && s.pos >= len(s.buf)-4 {
		return s.fetchEnd()
	}
	if s.col == 0 {
		if c == '%' {
			return s.fetchDirective()
		}
		if s.atDocument("---") {
			return s.fetchDocument(tkDocumentStart)
		}
		if s.atDocument("...") {
			return s.fetchDocument(tkDocumentEnd)
		}
	}
	return s.fetchToken(c)
}

// fetchToken scans the token that begins with c.
func (s *yscanner) fetchToken(c byte) error {
	switch c {
	case '[':
		return s.fetchFlowStart(tkFlowSeqStart, '[')
	case '{':
		return s.fetchFlowStart(tkFlowMapStart, '{')
	case ']':
		return s.fetchFlowEnd(tkFlowSeqEnd)
	case '}':
		return s.fetchFlowEnd(tkFlowMapEnd)
	case ',':
		s.simpleKeyAllowed = true
		return s.fetchOne(tkFlowEntry)
	case '-':
		if s.atBlank(1) {
			return s.fetchBlockEntry()
		}
	case '?':
		if len(s.flow) > 0 || s.atBlank(1) {
			return s.fetchKey()
		}
	case ':':
		if s.valueHere() {
			return s.fetchValue()
		}
	case '*':
		return s.fetchName(tkAlias)
	case '&':
		return s.fetchName(tkAnchor)
	case '!':
		return s.fetchTag()
	case '|', '>':
		if len(s.flow) == 0 {
			s.simpleKeyAllowed = true
			if err := s.removeKey(); err != nil {
				return err
			}
			return s.blockScalar(c)
		}
	case '\'', '"':
		if err := s.beginScalar(); err != nil {
			return err
		}
		return s.quoted(c)
	}
	if s.plainHere() {
		if err := s.beginScalar(); err != nil {
			return err
		}
		return s.plain()
	}
	if c == '\t' {
		return s.errorAt(s.mark, "a tab cannot be used for indentation")
	}
	return s.errorAt(s.mark, "the character %q cannot begin a value; quote it", rune(c))
}

// beginScalar notes that the quoted or plain scalar here may be a key.
func (s *yscanner) beginScalar() error {
	if err := s.saveKey(); err != nil {
		return err
	}
	s.simpleKeyAllowed = false
	return nil
}

// skipToToken moves over blanks to the next token, or over one comment or run
// of blank lines, which it returns.
func (s *yscanner) skipToToken() *comment {
	for {
		for s.peek() == ' ' || len(s.flow) > 0 && s.peek() == '\t' {
			s.pos++
			s.col++
		}
		if s.peek() == '#' {
			return s.scanComment()
		}
		if s.lineBreak() == "" {
			return nil
		}
		if len(s.flow) == 0 {
			s.simpleKeyAllowed = true
		}
		if s.peek() == '\n' {
			return s.scanBlankLines()
		}
	}
}

func (s *yscanner) scanComment() *comment {
	start, from := s.mark, s.pos
	n := 1
	for !s.atEnd(n) {
		n++
	}
	n += s.breakLen(n)
	s.forward(n)
	text := s.src[from:s.pos]
	if s.peek() == 0 && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	for {
		br := s.lineBreak()
		if br == "" {
			break
		}
		text += br
	}
	if len(s.flow) == 0 {
		s.simpleKeyAllowed = true
	}
	return &comment{text: text, at: start}
}

func (s *yscanner) scanBlankLines() *comment {
	start := s.mark
	var text []byte
	for {
		if c := s.peek(); c == ' ' || c == '\t' {
			text = append(text, c)
			s.forward(1)
			continue
		}
		br := s.lineBreak()
		if br == "" {
			break
		}
		text = append(text, br...)
	}
	if s.peek() == '#' {
		// an indented comment follows: its indentation is no part of the blank lines
		text = append(text[:strings.LastIndexByte(string(text), '\n')], '\n')
	}
	return &comment{text: string(text), at: start}
}

func (s *yscanner) fetchEnd() error {
	s.unwind(-1)
	if err := s.removeKey(); err != nil {
		return err
	}
	s.simpleKeyAllowed = false
	s.keys = s.keys[:0]
	s.add(tkStreamEnd, s.mark)
	s.done = true
	return nil
}

func (s *yscanner) atDocument(marker string) bool {
	return s.col == 0 && s.src[s.pos:s.pos+3] == marker && s.atBlank(3)
}

func (s *yscanner) fetchDocument(kind tokenKind) error {
	s.unwind(-1)
	if err := s.removeKey(); err != nil {
		return err
	}
	s.simpleKeyAllowed = false
	start := s.mark
	s.forward(3)
	s.add(kind, start)
	return nil
}

// fetchDirective reads a % line whole. Only %YAML 1.2 and %TAG mean something.
func (s *yscanner) fetchDirective() error {
	s.unwind(-1)
	if err := s.removeKey(); err != nil {
		return err
	}
	s.simpleKeyAllowed = false
	start := s.mark
	n := 1
	for !s.atEnd(n) {
		n++
	}
	text := s.take(n)
	s.lineBreak()
	s.add(tkDirective, start).text = text
	return nil
}

func (s *yscanner) fetchOne(kind tokenKind) error {
	if err := s.removeKey(); err != nil {
		return err
	}
	start := s.mark
	s.forward(1)
	s.add(kind, start)
	return nil
}

func (s *yscanner) fetchFlowStart(kind tokenKind, open byte) error {
	if err := s.saveKey(); err != nil {
		return err
	}
	s.flow = append(s.flow, open)
	s.simpleKeyAllowed = true
	start := s.mark
	s.forward(1)
	s.add(kind, start)
	return nil
}

func (s *yscanner) fetchFlowEnd(kind tokenKind) error {
	if err := s.removeKey(); err != nil {
		return err
	}
	if len(s.flow) > 0 {
		s.flow = s.flow[:len(s.flow)-1]
	}
	s.simpleKeyAllowed = false
	start := s.mark
	s.forward(1)
	s.add(kind, start)
	return nil
}

func (s *yscanner) fetchBlockEntry() error {
	if len(s.flow) == 0 {
		if !s.simpleKeyAllowed {
			return s.errorAt(s.mark, "a list item cannot begin here")
		}
		if s.indentTo(s.col) {
			s.add(tkBlockSeqStart, s.mark)
		}
	}
	s.simpleKeyAllowed = true
	return s.fetchOne(tkBlockEntry)
}

func (s *yscanner) fetchKey() error {
	if len(s.flow) == 0 {
		if !s.simpleKeyAllowed {
			return s.errorAt(s.mark, "a mapping key cannot begin here")
		}
		if s.indentTo(s.col) {
			s.add(tkBlockMapStart, s.mark)
		}
	}
	s.simpleKeyAllowed = len(s.flow) == 0
	return s.fetchOne(tkKey)
}

// valueHere: the ":" at hand ends a key.
func (s *yscanner) valueHere() bool {
	if len(s.flow) == 0 {
		return s.atBlank(1)
	}
	if s.flow[len(s.flow)-1] == '[' {
		return s.atBlank(1)
	}
	if q := s.queued(); len(q) > 0 && q[len(q)-1].kind == tkValue {
		return s.atBlank(1)
	}
	return true
}

func (s *yscanner) fetchValue() error {
	if k := s.key(); k.possible {
		s.forgetKey()
		at := k.number - s.taken
		t := s.newToken()
		t.kind, t.start, t.end = tkKey, k.mark, k.mark
		s.insert(at, t)
		if len(s.flow) == 0 && s.indentTo(k.col) {
			t := s.newToken()
			t.kind, t.start, t.end = tkBlockMapStart, k.mark, k.mark
			s.insert(at, t)
		}
		s.simpleKeyAllowed = false
	} else {
		if len(s.flow) == 0 {
			if !s.simpleKeyAllowed {
				return s.errorAt(s.mark, "a mapping value cannot stand here (quote text that has ': ')")
			}
			if s.indentTo(s.col) {
				s.add(tkBlockMapStart, s.mark)
			}
		}
		s.simpleKeyAllowed = len(s.flow) == 0
		if err := s.removeKey(); err != nil {
			return err
		}
	}
	start := s.mark
	s.forward(1)
	s.add(tkValue, start)
	return nil
}

// anchorLen is the length of the anchor name at offset 1.
func (s *yscanner) anchorLen() int {
	n := 1
	for !s.atBlank(n) && !strings.ContainsRune(",[]{}", rune(s.peekAt(n))) {
		n++
	}
	return n - 1
}

func (s *yscanner) fetchName(kind tokenKind) error {
	if err := s.saveKey(); err != nil {
		return err
	}
	s.simpleKeyAllowed = false
	start := s.mark
	n := s.anchorLen()
	if n == 0 {
		return s.errorAt(start, "a name is missing after %q (quote text that begins so)", rune(s.peek()))
	}
	s.forward(1)
	name := s.take(n)
	s.add(kind, start).text = name
	return nil
}

func (s *yscanner) fetchTag() error {
	if err := s.saveKey(); err != nil {
		return err
	}
	s.simpleKeyAllowed = false
	start := s.mark
	n := 1
	for !s.atBlank(n) && (len(s.flow) == 0 || !strings.ContainsRune(",[]{}", rune(s.peekAt(n)))) {
		n++
	}
	text := s.take(n)
	t := s.add(tkTag, start)
	switch rest := text[1:]; {
	case strings.HasPrefix(rest, "<"):
		if !strings.HasSuffix(rest, ">") {
			return s.errorAt(start, "the tag %s lacks its >", text)
		}
		t.text = "\x00" + rest[1:len(rest)-1]
	case strings.Contains(rest, "!"):
		cut := strings.LastIndexByte(rest, '!') + 2
		t.text = text[:cut] + "\x00" + text[cut:]
	case rest == "":
		t.text = "\x00!"
	default:
		t.text = "!\x00" + rest
	}
	return nil
}

func (s *yscanner) plainHere() bool {
	c := s.peek()
	switch {
	case c == '\t' || strings.IndexByte("-?:,[]{}#&*!|>'\"%@`", c) >= 0 || s.atEnd(0):
	default:
		return true
	}
	switch c {
	case '-':
		return !s.atBlank(1)
	case ':':
		if len(s.flow) > 0 {
			return s.peekAt(1) != ' ' && s.peekAt(1) != '\t'
		}
		return !s.atBlank(1)
	case '?':
		return len(s.flow) == 0 && !s.atBlank(1)
	}
	return false
}
