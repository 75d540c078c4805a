package dvcfile

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"ctrx/internal/errs"
)

// A .py params file is never executed. What DVC takes from it, and so do we,
// are assignments of literals: at module level, in class bodies (nested under
// the name of the class), and to self.x in __init__. Everything else is only
// scanned far enough to know where it ends.

// pyEntry is a parameter of a Python file and where its literal stands.
type pyEntry struct {
	key        Value // as in the file: a string, or a scalar key of a dict literal
	value      Value // unused where scope is set
	scope      *pyScope
	start, end int // the literal, or 0, 0 for a class
}

// pyScope is a module, class or dict literal.
type pyScope struct {
	entries []*pyEntry
	literal bool // a dict literal
}

func (s *pyScope) set(e *pyEntry) {
	for i, old := range s.entries {
		if Equal(old.key, e.key) {
			s.entries[i] = e
			return
		}
	}
	s.entries = append(s.entries, e)
}

func (s *pyScope) content() *Map {
	m := &Map{}
	for _, e := range s.entries {
		if e.scope != nil {
			m.SetKey(e.key, e.scope.content())
		} else {
			m.SetKey(e.key, e.value)
		}
	}
	return m
}

// parsePython reads the parameters of a Python file. Tuples and sets become
// lists; complex numbers, bytes and computed values are not parameters.
func parsePython(file string, data []byte) (Value, error) {
	s, err := readPython(file, data)
	if err != nil {
		return nil, err
	}
	return s.content(), nil
}

func readPython(file string, data []byte) (*pyScope, error) {
	if !utf8.Valid(data) {
		return nil, errs.At(errs.Pos{File: file}, "the file is not valid UTF-8")
	}
	tokens, at, problem := pyTokens(string(data))
	if problem != "" {
		return nil, errs.At(posAt(file, data, at), "not valid Python: %s", problem)
	}
	p := &pyParser{tokens: tokens}
	scope := &pyScope{}
	p.block(scope, false)
	return scope, nil
}

type pyKind int

const (
	pyName pyKind = iota
	pyNumber
	pyString
	pyOp
	pyNewline
	pyIndent
	pyDedent
)

type pyToken struct {
	kind  pyKind
	text  string
	start int
}

// pyTokens cuts Python source into tokens; comments and blank lines vanish,
// line breaks inside brackets too. problem tells what is wrong at an offset.
func pyTokens(src string) (tokens []pyToken, at int, problem string) {
	l := &pyLexer{src: src, indents: []int{0}, lineStart: true}
	for l.problem == "" && l.at < len(src) {
		l.next()
	}
	if l.problem == "" && len(l.brackets) > 0 {
		l.fail("a bracket is never closed")
	}
	if l.problem != "" {
		return nil, l.at, l.problem
	}
	if n := len(l.tokens); n > 0 && l.tokens[n-1].kind != pyNewline {
		l.add(pyNewline, len(src))
	}
	for range l.indents[1:] {
		l.add(pyDedent, len(src))
	}
	return l.tokens, 0, ""
}

type pyLexer struct {
	src       string
	at        int
	tokens    []pyToken
	indents   []int
	brackets  []byte
	lineStart bool
	problem   string
}

func (l *pyLexer) fail(problem string) { l.problem = problem }

func (l *pyLexer) add(kind pyKind, end int) {
	l.tokens = append(l.tokens, pyToken{kind, l.src[l.at:end], l.at})
	l.at = end
}

func (l *pyLexer) next() {
	if l.lineStart && len(l.brackets) == 0 {
		if l.indentation() {
			return
		}
	}
	rest := l.src[l.at:]
	c := rest[0]
	switch {
	case c == '\n':
		if len(l.brackets) > 0 {
			l.at++
			return
		}
		l.add(pyNewline, l.at+1)
		l.lineStart = true
	case c == ' ' || c == '\t' || c == '\r' || c == '\f':
		l.at++
	case c == '#':
		l.skipLine()
	case c == '\\' && (strings.HasPrefix(rest, "\\\n") || strings.HasPrefix(rest, "\\\r\n")):
		l.at += strings.IndexByte(rest, '\n') + 1
	case c == '"' || c == '\'':
		l.str(l.at)
	case c >= '0' && c <= '9' || c == '.' && len(rest) > 1 && rest[1] >= '0' && rest[1] <= '9':
		l.number()
	default:
		if r, _ := utf8.DecodeRuneInString(rest); r == '_' || unicode.IsLetter(r) {
			l.name()
			return
		}
		l.operator()
	}
}

func (l *pyLexer) skipLine() {
	if i := strings.IndexByte(l.src[l.at:], '\n'); i >= 0 {
		l.at += i
	} else {
		l.at = len(l.src)
	}
}

// indentation handles the start of a logical line. done means that the line
// is blank and was consumed.
func (l *pyLexer) indentation() (done bool) {
	width, i := 0, l.at
loop:
	for ; i < len(l.src); i++ {
		switch l.src[i] {
		case ' ':
			width++
		case '\t':
			width += 8 - width%8
		case '\f', '\r':
		default:
			break loop
		}
	}
	if i >= len(l.src) {
		l.at = i
		return true
	}
	if l.src[i] == '\n' {
		l.at = i + 1
		return true
	}
	if l.src[i] == '#' {
		l.at = i
		l.skipLine()
		return true
	}
	l.at = i
	l.lineStart = false
	n, top := len(l.tokens), l.indents[len(l.indents)-1]
	header := n > 1 && l.tokens[n-1].kind == pyNewline && l.tokens[n-2].text == ":"
	if header != (width > top) {
		l.fail("the indentation does not fit the line before")
	}
	switch {
	case width > top:
		l.indents = append(l.indents, width)
		l.add(pyIndent, l.at)
	case width < top:
		for width < l.indents[len(l.indents)-1] {
			l.indents = l.indents[:len(l.indents)-1]
			l.add(pyDedent, l.at)
		}
		if width != l.indents[len(l.indents)-1] {
			l.fail("the indentation matches no outer level")
		}
	}
	return false
}

func (l *pyLexer) name() {
	end := l.at
	for end < len(l.src) {
		r, size := utf8.DecodeRuneInString(l.src[end:])
		if r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r) {
			break
		}
		end += size
	}
	word := strings.ToLower(l.src[l.at:end])
	if end < len(l.src) && (l.src[end] == '"' || l.src[end] == '\'') && len(word) <= 2 && strings.Trim(word, "rbuft") == "" {
		l.str(end)
		return
	}
	l.add(pyName, end)
}

// str scans a string whose quote stands at an offset at or behind l.at.
func (l *pyLexer) str(quote int) {
	q := l.src[quote : quote+1]
	if strings.HasPrefix(l.src[quote:], strings.Repeat(q, 3)) {
		q = strings.Repeat(q, 3)
	}
	for i := quote + len(q); i < len(l.src); i++ {
		switch {
		case l.src[i] == '\\':
			i++
		case strings.HasPrefix(l.src[i:], q):
			l.add(pyString, i+len(q))
			return
		case l.src[i] == '\n' && len(q) == 1:
			l.fail("a string is not closed on its line")
			return
		}
	}
	l.fail("a string is never closed")
}

func (l *pyLexer) number() {
	end := l.at
	for end < len(l.src) {
		c := l.src[end]
		exponent := end > l.at && (c == '+' || c == '-') && (l.src[end-1] == 'e' || l.src[end-1] == 'E') &&
			!strings.HasPrefix(strings.ToLower(l.src[l.at:]), "0x")
		if c != '_' && c != '.' && !exponent && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') {
			break
		}
		end++
	}
	l.add(pyNumber, end)
}

func (l *pyLexer) operator() {
	c := l.src[l.at]
	switch c {
	case '(', '[', '{':
		l.brackets = append(l.brackets, c)
	case ')', ']', '}':
		open := map[byte]byte{')': '(', ']': '[', '}': '{'}[c]
		if n := len(l.brackets); n == 0 || l.brackets[n-1] != open {
			l.fail("unmatched '" + string(c) + "'")
			return
		} else {
			l.brackets = l.brackets[:n-1]
		}
	}
	for _, op := range []string{"**=", "//=", "<<=", ">>=", "...", "==", "!=", "<=", ">=", "->", ":=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "@=", "**", "//", "<<", ">>"} {
		if strings.HasPrefix(l.src[l.at:], op) {
			l.add(pyOp, l.at+len(op))
			return
		}
	}
	r, size := utf8.DecodeRuneInString(l.src[l.at:])
	if r == '\ufeff' && l.at == 0 {
		l.at += size
		l.lineStart = true
		return
	}
	if !strings.ContainsRune("()[]{}:,;.=+-*/%&|^~<>@!", r) {
		l.fail("unexpected character " + strconv.QuoteRune(r))
		return
	}
	l.add(pyOp, l.at+size)
}

type pyParser struct {
	tokens []pyToken
	at     int
}

// block reads statements up to the end of the block. A nil scope only skips.
func (p *pyParser) block(scope *pyScope, onlySelf bool) {
	for p.at < len(p.tokens) {
		switch p.tokens[p.at].kind {
		case pyDedent:
			p.at++
			return
		case pyIndent:
			p.at++
			p.block(nil, false)
		case pyNewline:
			p.at++
		default:
			p.statement(scope, onlySelf)
		}
	}
}

// statement reads one logical line and, if it is a header, its block.
func (p *pyParser) statement(scope *pyScope, onlySelf bool) {
	start := p.at
	for p.at < len(p.tokens) && p.tokens[p.at].kind != pyNewline {
		p.at++
	}
	line := p.tokens[start:p.at]
	if p.at < len(p.tokens) {
		p.at++
	}
	inner, innerSelf, header := (*pyScope)(nil), false, 0
	if scope != nil && len(line) > 2 && line[0].kind == pyName {
		switch {
		case line[0].text == "class" && line[1].kind == pyName:
			inner, header = &pyScope{}, pyColon(line)
			scope.set(&pyEntry{key: line[1].text, scope: inner})
		case line[0].text == "def" && line[1].text == "__init__":
			inner, innerSelf, header = scope, true, pyColon(line)
		}
	}
	if p.at < len(p.tokens) && p.tokens[p.at].kind == pyIndent {
		p.at++
		p.block(inner, innerSelf)
		return
	}
	if inner != nil {
		line, scope, onlySelf = line[header:], inner, innerSelf
	}
	if scope == nil {
		return
	}
	for len(line) > 0 {
		end := pyFind(line, ";")
		pyAssign(line[:end], scope, onlySelf)
		line = line[min(end+1, len(line)):]
	}
}

// pyColon gives the index behind the colon that ends a header.
func pyColon(line []pyToken) int { return min(pyFind(line, ":")+1, len(line)) }

// pyFind gives the index of the first such operator outside brackets, or the
// length of the line.
func pyFind(line []pyToken, op string) int {
	depth := 0
	for i, t := range line {
		if t.kind != pyOp {
			continue
		}
		if depth == 0 && t.text == op {
			return i
		}
		switch t.text {
		case "(", "[", "{":
			depth++
		case ")", "]", "}":
			depth--
		}
	}
	return len(line)
}

// pyAssign records `name = literal`, `name: type = literal` and the same for
// self.name; all other statements are ignored.
func pyAssign(line []pyToken, scope *pyScope, onlySelf bool) {
	eq := pyFind(line, "=")
	if eq == 0 || eq+1 >= len(line) || pyFind(line[eq+1:], "=") < len(line)-eq-1 {
		return
	}
	target := line[:min(eq, pyFind(line, ":"))]
	var name string
	switch {
	case len(target) == 1 && target[0].kind == pyName && !onlySelf:
		name = target[0].text
	case len(target) == 3 && target[0].text == "self" && target[1].text == "." && target[2].kind == pyName:
		name = target[2].text
	default:
		return
	}
	lit := &pyLiteral{tokens: line[eq+1:]}
	e, ok := lit.sequence()
	if !ok || lit.at < len(lit.tokens) {
		return
	}
	e.key = name
	scope.set(e)
}
