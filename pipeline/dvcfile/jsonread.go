package dvcfile

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"ctrx/internal/errs"
)

// ParseJSON reads a JSON document as Python's json module does: NaN and
// Infinity are allowed, the last of several equal keys wins, whole numbers of
// any size stay whole, an empty document is an error.
func ParseJSON(file string, data []byte) (Value, error) {
	p := &jsonParser{file: file, data: data}
	if !utf8.Valid(data) {
		return nil, errs.At(errs.Pos{File: file}, "the file is not valid UTF-8")
	}
	p.space()
	v, err := p.value(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.at < len(p.data) {
		return nil, p.errorf("extra data after the JSON value")
	}
	return v, nil
}

// maxNesting guards the recursive readers against a hostile file.
const maxNesting = 1000

type jsonParser struct {
	file string
	data []byte
	at   int
}

func (p *jsonParser) errorf(format string, args ...any) error {
	return errs.At(posAt(p.file, p.data, p.at), format, args...)
}

// posAt turns a byte offset into line and column (in characters).
func posAt(file string, data []byte, offset int) errs.Pos {
	before := data[:min(offset, len(data))]
	line := bytes.Count(before, []byte("\n"))
	start := bytes.LastIndexByte(before, '\n') + 1
	return errs.NewText(file, data).At(line+1, utf8.RuneCount(before[start:])+1)
}

func (p *jsonParser) space() {
	for p.at < len(p.data) && strings.IndexByte(" \t\r\n", p.data[p.at]) >= 0 {
		p.at++
	}
}

func (p *jsonParser) peek() byte {
	if p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

func (p *jsonParser) value(depth int) (Value, error) {
	if depth > maxNesting {
		return nil, p.errorf("nested too deeply")
	}
	switch c := p.peek(); c {
	case '{':
		return p.object(depth)
	case '[':
		return p.array(depth)
	case '"':
		return p.str()
	}
	for word, v := range map[string]Value{
		"true": true, "false": false, "null": nil, "NaN": Float(math.NaN()),
		"Infinity": Float(math.Inf(1)), "-Infinity": Float(math.Inf(-1)),
	} {
		if bytes.HasPrefix(p.data[p.at:], []byte(word)) {
			p.at += len(word)
			return v, nil
		}
	}
	return p.number()
}

func (p *jsonParser) object(depth int) (Value, error) {
	m := &Map{}
	p.at++
	p.space()
	if p.peek() == '}' {
		p.at++
		return m, nil
	}
	for {
		if p.peek() != '"' {
			return nil, p.errorf("expected a key in double quotes")
		}
		key, err := p.str()
		if err != nil {
			return nil, err
		}
		p.space()
		if p.peek() != ':' {
			return nil, p.errorf("expected ':' after the key %q", key)
		}
		p.at++
		p.space()
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		m.Set(key.(string), v)
		p.space()
		switch p.peek() {
		case '}':
			p.at++
			return m, nil
		case ',':
			p.at++
			p.space()
		default:
			return nil, p.errorf("expected ',' or '}'")
		}
	}
}

func (p *jsonParser) array(depth int) (Value, error) {
	list := []Value{}
	p.at++
	p.space()
	if p.peek() == ']' {
		p.at++
		return list, nil
	}
	for {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		p.space()
		switch p.peek() {
		case ']':
			p.at++
			return list, nil
		case ',':
			p.at++
			p.space()
		default:
			return nil, p.errorf("expected ',' or ']'")
		}
	}
}

func (p *jsonParser) str() (Value, error) {
	p.at++
	var b strings.Builder
	for p.at < len(p.data) {
		c := p.data[p.at]
		switch {
		case c == '"':
			p.at++
			return b.String(), nil
		case c < 0x20:
			return nil, p.errorf("control character in a string")
		case c != '\\':
			b.WriteByte(c)
			p.at++
		default:
			if err := p.escape(&b); err != nil {
				return nil, err
			}
		}
	}
	return nil, p.errorf("string that does not end")
}

func (p *jsonParser) escape(b *strings.Builder) error {
	if p.at+1 >= len(p.data) {
		return p.errorf("string that does not end")
	}
	c := p.data[p.at+1]
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		b.WriteByte("\"\\/\b\f\n\r\t"[i])
		p.at += 2
		return nil
	}
	if c != 'u' {
		return p.errorf("unknown escape \\%c", c)
	}
	r, ok := p.hex4(p.at + 2)
	if !ok {
		return p.errorf("\\u needs four hexadecimal digits")
	}
	p.at += 6
	if utf16.IsSurrogate(r) && p.at+1 < len(p.data) && p.data[p.at] == '\\' && p.data[p.at+1] == 'u' {
		if low, ok := p.hex4(p.at + 2); ok {
			if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
				r = full
				p.at += 6
			}
		}
	}
	b.WriteRune(r)
	return nil
}

func (p *jsonParser) hex4(at int) (rune, bool) {
	if at+4 > len(p.data) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(p.data[at:at+4]), 16, 16)
	return rune(n), err == nil
}

func (p *jsonParser) number() (Value, error) {
	start := p.at
	i := start
	digits := func() int {
		from := i
		for i < len(p.data) && p.data[i] >= '0' && p.data[i] <= '9' {
			i++
		}
		return i - from
	}
	if i < len(p.data) && p.data[i] == '-' {
		i++
	}
	first := i
	if n := digits(); n == 0 || n > 1 && p.data[first] == '0' {
		return nil, p.errorf("expected a value")
	}
	float := false
	if i < len(p.data) && p.data[i] == '.' {
		i++
		if digits() == 0 {
			return nil, p.errorf("expected digits after the point")
		}
		float = true
	}
	if i < len(p.data) && (p.data[i] == 'e' || p.data[i] == 'E') {
		i++
		if i < len(p.data) && (p.data[i] == '+' || p.data[i] == '-') {
			i++
		}
		if digits() == 0 {
			return nil, p.errorf("expected digits in the exponent")
		}
		float = true
	}
	p.at = i
	text := string(p.data[start:i])
	if float {
		f, _ := strconv.ParseFloat(text, 64) // out of range is infinite, as in Python
		return Float(f), nil
	}
	n, _ := ParseInt(text)
	return n, nil
}
