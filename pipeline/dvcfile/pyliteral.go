package dvcfile

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// pyLiteral evaluates a Python literal: None, booleans, numbers, strings,
// lists, tuples, sets and dicts of such.
type pyLiteral struct {
	tokens []pyToken
	at     int
	depth  int
}

func (p *pyLiteral) op(text string) bool {
	if p.at < len(p.tokens) && p.tokens[p.at].kind == pyOp && p.tokens[p.at].text == text {
		p.at++
		return true
	}
	return false
}

func (p *pyLiteral) end() int {
	t := p.tokens[p.at-1]
	return t.start + len(t.text)
}

// sequence reads a literal or a tuple without parentheses.
func (p *pyLiteral) sequence() (*pyEntry, bool) {
	e, ok := p.value()
	if !ok || !p.op(",") {
		return e, ok
	}
	list := []Value{e.content()}
	for p.at < len(p.tokens) {
		item, ok := p.value()
		if !ok {
			return nil, false
		}
		list = append(list, item.content())
		if !p.op(",") {
			break
		}
	}
	return &pyEntry{value: list, start: e.start, end: p.end()}, true
}

func (e *pyEntry) content() Value {
	if e.scope != nil {
		return e.scope.content()
	}
	return e.value
}

func (p *pyLiteral) value() (*pyEntry, bool) {
	if p.at >= len(p.tokens) || p.depth > maxNesting {
		return nil, false
	}
	p.depth++
	defer func() { p.depth-- }()
	t := p.tokens[p.at]
	e := &pyEntry{start: t.start}
	p.at++
	ok := false
	switch {
	case t.kind == pyNumber:
		e.value, ok = pyNumberValue(t.text)
	case t.kind == pyString:
		p.at--
		e.value, ok = p.strings()
	case t.kind == pyName:
		e.value, ok = p.word(t.text)
	case t.text == "-" || t.text == "+":
		e.value, ok = p.signed(t.text == "-")
	case t.text == "[":
		e.value, ok = p.items("]")
	case t.text == "(":
		return p.parenthesis(e)
	case t.text == "{":
		return p.braces(e)
	}
	if !ok {
		return nil, false
	}
	e.end = p.end()
	return e, true
}

func (p *pyLiteral) word(word string) (Value, bool) {
	switch word {
	case "None":
		return nil, true
	case "True":
		return true, true
	case "False":
		return false, true
	case "set":
		return []Value{}, p.op("(") && p.op(")")
	}
	return nil, false
}

func (p *pyLiteral) signed(minus bool) (Value, bool) {
	if p.at >= len(p.tokens) || p.tokens[p.at].kind != pyNumber {
		return nil, false
	}
	v, ok := pyNumberValue(p.tokens[p.at].text)
	p.at++
	if !ok || !minus {
		return v, ok
	}
	return negate(v), true
}

func negate(v Value) Value {
	switch v := v.(type) {
	case Int:
		n := v.Big()
		return bigInt(n.Neg(n))
	case Float:
		return -v
	}
	return v
}

// items reads elements up to a closing bracket.
func (p *pyLiteral) items(closing string) (Value, bool) {
	list := []Value{}
	for !p.op(closing) {
		if len(list) > 0 && !p.comma(closing) {
			return nil, false
		}
		if p.op(closing) {
			break
		}
		e, ok := p.value()
		if !ok {
			return nil, false
		}
		list = append(list, e.content())
	}
	return list, true
}

// comma takes the comma before the next element.
func (p *pyLiteral) comma(string) bool { return p.op(",") }

func (p *pyLiteral) parenthesis(e *pyEntry) (*pyEntry, bool) {
	if p.op(")") {
		e.value, e.end = []Value{}, p.end()
		return e, true
	}
	inner, ok := p.value()
	if !ok {
		return nil, false
	}
	if p.op(")") {
		inner.start, inner.end = e.start, p.end()
		return inner, true
	}
	list := []Value{inner.content()}
	for !p.op(")") {
		if !p.op(",") {
			return nil, false
		}
		if p.op(")") {
			break
		}
		item, ok := p.value()
		if !ok {
			return nil, false
		}
		list = append(list, item.content())
	}
	e.value, e.end = list, p.end()
	return e, true
}

// braces reads a dict or a set.
func (p *pyLiteral) braces(e *pyEntry) (*pyEntry, bool) {
	e.scope = &pyScope{literal: true}
	var set []Value
	for n := 0; !p.op("}"); n++ {
		if n > 0 && !p.op(",") {
			return nil, false
		}
		if n > 0 && p.op("}") {
			break
		}
		key, ok := p.value()
		if !ok {
			return nil, false
		}
		isDict := p.op(":")
		if n > 0 && isDict != (set == nil) {
			return nil, false
		}
		if !isDict {
			set = append(set, key.content())
			continue
		}
		item, ok := p.value()
		if !ok || key.scope != nil {
			return nil, false
		}
		if _, list := key.value.([]Value); list {
			return nil, false
		}
		item.key = key.value
		e.scope.set(item)
	}
	e.end = p.end()
	if set != nil {
		e.scope, e.value = nil, set
	}
	return e, true
}

func pyNumberValue(text string) (Value, bool) {
	if strings.Contains(text, "__") || strings.HasSuffix(text, "_") {
		return nil, false
	}
	clean := strings.ToLower(strings.ReplaceAll(text, "_", ""))
	if len(clean) > 2 && clean[0] == '0' {
		if base := map[byte]int{'x': 16, 'o': 8, 'b': 2}[clean[1]]; base != 0 {
			return parseIntValue(clean[2:], base)
		}
	}
	if allDigits(clean) {
		return parseIntValue(clean, 10)
	}
	if strings.Trim(clean, "0123456789.e+-") != "" {
		return nil, false // a complex number
	}
	f, err := strconv.ParseFloat(clean, 64)
	if err != nil && f == 0 {
		return nil, false
	}
	return Float(f), true
}

func parseIntValue(digits string, base int) (Value, bool) {
	n, ok := parseIntBase(digits, base)
	return n, ok
}

// strings reads one string or several adjacent ones.
func (p *pyLiteral) strings() (Value, bool) {
	var b strings.Builder
	for p.at < len(p.tokens) && p.tokens[p.at].kind == pyString {
		if !pyUnquote(p.tokens[p.at].text, &b) {
			return nil, false
		}
		p.at++
	}
	return b.String(), true
}

// pyUnquote appends the text of a string literal. Bytes and f-strings are not
// text.
func pyUnquote(lit string, b *strings.Builder) bool {
	i := strings.IndexAny(lit, `"'`)
	prefix := strings.ToLower(lit[:i])
	if strings.ContainsAny(prefix, "bft") {
		return false
	}
	body := lit[i+1 : len(lit)-1]
	if q := lit[i : i+1]; len(lit)-i >= 6 && strings.HasPrefix(lit[i:], strings.Repeat(q, 3)) {
		body = lit[i+3 : len(lit)-3]
	}
	body = strings.ReplaceAll(body, "\r\n", "\n")
	if strings.Contains(prefix, "r") {
		b.WriteString(body)
		return true
	}
	for len(body) > 0 {
		j := strings.IndexByte(body, '\\')
		if j < 0 || j+1 >= len(body) {
			b.WriteString(body)
			return true
		}
		b.WriteString(body[:j])
		n, ok := pyEscape(body[j+1:], b)
		if !ok {
			return false
		}
		body = body[j+1+n:]
	}
	return true
}

// pyEscape appends what an escape stands for and tells how many bytes after
// the backslash belong to it. Unknown escapes stand for themselves.
func pyEscape(s string, b *strings.Builder) (n int, ok bool) {
	if i := strings.IndexByte("\\'\"abfnrtv", s[0]); i >= 0 {
		b.WriteByte("\\'\"\a\b\f\n\r\t\v"[i])
		return 1, true
	}
	if s[0] == '\n' {
		return 1, true
	}
	if s[0] >= '0' && s[0] <= '7' {
		for n = 1; n < 3 && n < len(s) && s[n] >= '0' && s[n] <= '7'; n++ {
		}
		r, _ := strconv.ParseUint(s[:n], 8, 32)
		b.WriteRune(rune(r))
		return n, true
	}
	if width := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[0]]; width > 0 {
		if len(s) <= width {
			return 0, false
		}
		r, err := strconv.ParseUint(s[1:1+width], 16, 32)
		if err != nil || r > utf8.MaxRune {
			return 0, false
		}
		b.WriteRune(rune(r))
		return 1 + width, true
	}
	if s[0] == 'N' {
		return 0, false // needs the names of Unicode characters
	}
	b.WriteByte('\\')
	return 0, true
}
