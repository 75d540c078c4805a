package dvcfile

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// plain scans an unquoted scalar, joining its lines.
func (s *yscanner) plain() error {
	start, end := s.mark, s.mark
	indent := s.indent + 1
	var text strings.Builder
	first := ""
	spaces := ""
	for s.peek() != '#' {
		n := 0
		for {
			c := s.peekAt(n)
			if c == ':' && !s.atBlank(n+1) || c == '?' {
				n++
				continue
			}
			if s.atBlank(n) || len(s.flow) == 0 && c == ':' || len(s.flow) > 0 && strings.IndexByte(",:[]{}", c) >= 0 {
				break
			}
			n++
		}
		if n == 0 {
			break
		}
		s.simpleKeyAllowed = false
		word := s.take(n)
		if first == "" && text.Len() == 0 {
			first = word // most scalars are one word: no copy
		} else {
			if text.Len() == 0 {
				text.WriteString(first)
			}
			text.WriteString(spaces)
			text.WriteString(word)
		}
		end = s.mark
		spaces = s.plainSpaces()
		if spaces == "" || s.peek() == '#' || len(s.flow) == 0 && s.col < indent {
			break
		}
	}
	t := s.add(tkScalar, start)
	t.end = end
	t.text = first
	if text.Len() > 0 {
		t.text = text.String()
	}
	if strings.HasPrefix(spaces, "\n") {
		// blank lines after the scalar
		t.addPost(&comment{text: spaces + "\n", at: start})
	}
	return nil
}

// plainSpaces eats the blanks and line breaks inside a plain scalar and gives
// what they stand for.
func (s *yscanner) plainSpaces() string {
	n := 0
	for s.peekAt(n) == ' ' {
		n++
	}
	from := s.pos
	s.pos += n
	s.col += int32(n)
	if s.breakLen(0) == 0 {
		return s.src[from:s.pos]
	}
	br := s.lineBreak()
	s.simpleKeyAllowed = true
	if s.documentMarker() {
		return ""
	}
	breaks := ""
	for {
		if s.peek() == ' ' {
			s.forward(1)
			continue
		}
		more := s.lineBreak()
		if more == "" {
			break
		}
		breaks += more
		if s.documentMarker() {
			return ""
		}
	}
	switch {
	case br != "\n":
		return br + breaks
	case breaks == "":
		return " "
	}
	return breaks
}

func (s *yscanner) documentMarker() bool {
	m := string(s.buf[s.pos : s.pos+3])
	return (m == "---" || m == "...") && s.atBlank(3)
}

// escapes of double-quoted scalars.
var escapes = map[byte]string{
	'0': "\x00", 'a': "\a", 'b': "\b", 't': "\t", '\t': "\t", 'n': "\n", 'v': "\v", 'f': "\f", 'r': "\r",
	'e': "\x1b", ' ': " ", '"': `"`, '/': "/", '\\': `\`, 'N': "\u0085", '_': "\u00a0", 'L': "\u2028", 'P': "\u2029",
}

// quoted scans a ' or " scalar, joining its lines.
func (s *yscanner) quoted(quote byte) error {
	start := s.mark
	s.forward(1)
	var text strings.Builder
	for {
		if err := s.quotedWord(&text, quote, start); err != nil {
			return err
		}
		if s.peek() == quote {
			break
		}
		if err := s.quotedSpaces(&text, start); err != nil {
			return err
		}
	}
	s.forward(1)
	t := s.add(tkScalar, start)
	t.style, t.text = quote, text.String()
	return nil
}

func (s *yscanner) quotedWord(text *strings.Builder, quote byte, start mark) error {
	for {
		n := 0
		for {
			c := s.peekAt(n)
			if c == '\'' || c == '"' || c == '\\' || s.atBlank(n) {
				break
			}
			n++
		}
		if n > 0 {
			text.WriteString(s.take(n))
		}
		c := s.peek()
		switch {
		case quote == '\'' && c == '\'' && s.peekAt(1) == '\'':
			text.WriteByte('\'')
			s.forward(2)
		case quote == '"' && c == '\'' || quote == '\'' && (c == '"' || c == '\\'):
			text.WriteByte(c)
			s.forward(1)
		case quote == '"' && c == '\\':
			if err := s.escape(text, start); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (s *yscanner) escape(text *strings.Builder, start mark) error {
	s.forward(1)
	c := s.peek()
	if e, ok := escapes[c]; ok {
		text.WriteString(e)
		s.forward(1)
		return nil
	}
	if s.breakLen(0) > 0 {
		s.lineBreak()
		breaks, err := s.quotedBreaks(start)
		text.WriteString(breaks)
		return err
	}
	length := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	if length == 0 {
		return s.errorAt(s.mark, "there is no escape \\%c in a double-quoted string", rune(c))
	}
	s.forward(1)
	if s.pos+length >= len(s.buf) {
		return s.errorAt(s.mark, "an escape needs %d hexadecimal digits", length)
	}
	code, err := strconv.ParseUint(string(s.buf[s.pos:s.pos+length]), 16, 32)
	if err != nil {
		return s.errorAt(s.mark, "an escape needs %d hexadecimal digits", length)
	}
	if code > utf8.MaxRune || code >= 0xd800 && code < 0xe000 {
		return s.errorAt(s.mark, "the escape names no Unicode character")
	}
	text.WriteRune(rune(code))
	s.forward(length)
	return nil
}

func (s *yscanner) quotedSpaces(text *strings.Builder, start mark) error {
	n := 0
	for s.peekAt(n) == ' ' || s.peekAt(n) == '\t' {
		n++
	}
	blanks := s.take(n)
	if s.peek() == 0 {
		return s.errorAt(start, "the quoted string that begins here has no end")
	}
	if s.breakLen(0) == 0 {
		text.WriteString(blanks)
		return nil
	}
	br := s.lineBreak()
	breaks, err := s.quotedBreaks(start)
	switch {
	case br != "\n":
		text.WriteString(br)
	case breaks == "":
		text.WriteByte(' ')
	}
	text.WriteString(breaks)
	return err
}

func (s *yscanner) quotedBreaks(start mark) (string, error) {
	breaks := ""
	for {
		if s.documentMarker() {
			return "", s.errorAt(start, "the quoted string that begins here has no end before the end of the document")
		}
		for s.peek() == ' ' || s.peek() == '\t' {
			s.forward(1)
		}
		br := s.lineBreak()
		if br == "" {
			return breaks, nil
		}
		breaks += br
	}
}

// blockScalar scans a | or > scalar.
func (s *yscanner) blockScalar(style byte) error {
	start := s.mark
	s.forward(1)
	chomp, increment, err := s.blockIndicators()
	if err != nil {
		return err
	}
	header, err := s.blockHeader()
	if err != nil {
		return err
	}
	minIndent := s.indent + 1
	var indent int32
	var b blockText
	if increment == 0 {
		var deepest int32
		b.breaks, deepest, b.end, err = s.blockIndentation()
		if err != nil {
			return err
		}
		indent = max(minIndent, deepest)
	} else {
		indent = max(minIndent, 1) + increment - 1
		b.breaks, b.end = s.blockBreaks(indent)
	}
	t := s.newToken()
	t.kind, t.style, t.start = tkScalar, style, start
	t.block = &blockForm{header: header}
	s.blockLines(&b, t, indent, minIndent == 0)
	if chomp != '-' {
		b.text.WriteString(b.br)
	}
	if chomp == '+' {
		b.text.WriteString(strings.Join(b.breaks, ""))
		b.breaks = nil
	}
	t.text, t.end = b.text.String(), b.end
	s.blockTrailer(t, b.breaks, b.end)
	return nil
}

// blockText is a block scalar as far as it is read.
type blockText struct {
	text   strings.Builder
	br     string   // the line break after text
	breaks []string // the blank lines after that
	end    mark
}

// blockLines reads the lines of t with this indentation. top: the lines may stand
// at the margin, where the next document begins too.
func (s *yscanner) blockLines(b *blockText, t *ytoken, indent int32, top bool) {
	for s.col == indent && s.peek() != 0 {
		b.text.WriteString(strings.Join(b.breaks, ""))
		leading := s.peek() != ' ' && s.peek() != '\t'
		n := 0
		for !s.atEnd(n) {
			n++
		}
		b.text.WriteString(s.take(n))
		b.br = s.lineBreak()
		b.breaks, b.end = s.blockBreaks(indent)
		if top && (s.atDocument("---") || s.atDocument("...")) || s.col != indent || s.peek() == 0 {
			return
		}
		fold := t.style == '>' && b.br == "\n"
		if fold {
			t.block.folds = append(t.block.folds, b.text.Len())
		}
		if fold && leading && s.peek() != ' ' && s.peek() != '\t' {
			if len(b.breaks) == 0 {
				b.text.WriteByte(' ')
			}
		} else {
			b.text.WriteString(b.br)
		}
	}
}

// blockTrailer keeps the blank lines and comments after a block scalar, which
// are no part of its value, as a comment on it, and queues the token.
func (s *yscanner) blockTrailer(t *ytoken, trailing []string, end mark) {
	if len(trailing) > 0 {
		text := strings.Join(trailing, "")
		for c := s.skipToToken(); c != nil; c = s.skipToToken() {
			text += strings.Repeat(" ", int(c.at.col)) + c.text
		}
		t.addPost(&comment{text: text, at: end})
	}
	s.tokens = append(s.tokens, t)
}

func (s *yscanner) blockIndicators() (chomp byte, increment int32, err error) {
	for range 2 {
		c := s.peek()
		switch {
		case (c == '+' || c == '-') && chomp == 0:
			chomp = c
		case c >= '0' && c <= '9' && increment == 0:
			if c == '0' {
				return 0, 0, s.errorAt(s.mark, "the indentation of a block string is 1 to 9, not 0")
			}
			increment = int32(c - '0')
		default:
			continue
		}
		s.forward(1)
	}
	if s.peek() != ' ' && !s.atEnd(0) {
		return 0, 0, s.errorAt(s.mark, "after | or > only + or - and a digit may stand")
	}
	return chomp, increment, nil
}

// blockHeader gives the comment on the line of | or >, with the blanks before it.
func (s *yscanner) blockHeader() (string, error) {
	from := s.pos
	for s.peek() == ' ' {
		s.forward(1)
	}
	header := ""
	if s.peek() == '#' {
		for !s.atEnd(0) {
			s.forward(1)
		}
		header = s.src[from:s.pos]
	}
	if !s.atEnd(0) {
		return "", s.errorAt(s.mark, "a block string begins on the line after | or >")
	}
	s.lineBreak()
	return header, nil
}

func (s *yscanner) blockIndentation() (breaks []string, deepest int32, end mark, err error) {
	first := int32(-1)
	end = s.mark
	for {
		if s.peek() == ' ' {
			s.forward(1)
			deepest = max(deepest, s.col)
			continue
		}
		if s.breakLen(0) == 0 {
			break
		}
		if first < 0 {
			first = s.col
		}
		breaks = append(breaks, s.lineBreak())
		end = s.mark
	}
	if first > 0 && deepest > first {
		return nil, 0, end, s.errorAt(s.mark, "a block string is indented deeper than its first line")
	}
	return breaks, deepest, end, nil
}

func (s *yscanner) blockBreaks(indent int32) (breaks []string, end mark) {
	end = s.mark
	for {
		for s.col < indent && s.peek() == ' ' {
			s.forward(1)
		}
		br := s.lineBreak()
		if br == "" {
			return breaks, end
		}
		breaks = append(breaks, br)
		end = s.mark
	}
}
