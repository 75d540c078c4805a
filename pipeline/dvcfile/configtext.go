package dvcfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The grammar of OmegaConf's strings: text with ${path} and ${resolver:args}.
// What is an escape depends on what follows it; see text.

// itext is a string with interpolations: parts are strings, *iref and *icall.
type itext struct {
	parts []any
}

// iref is ${a.b}: its parts make a path that begins with dots where it is
// relative.
type iref struct {
	parts []any
}

// icall is ${name:arg, ...}.
type icall struct {
	name []any // strings and interpolations that are joined by dots
	args []any
}

// An argument is a constant Value, or one of the following, or *itext, *iref or
// *icall. *itext is text in quotes or a plain text with interpolations in it;
// both are strings.

// ilist is [a, b].
type ilist struct {
	items []any
}

// idict is {a: b}; its keys are constants.
type idict struct {
	keys   []Value
	values []any
}

// iparser reads a string.
type iparser struct {
	text  string
	at    int
	depth int
}

// parseInterpolated reads a whole string.
func parseInterpolated(s string) (*itext, error) {
	p := &iparser{text: s}
	parts, err := p.textUntil(0)
	if err != nil {
		return nil, err
	}
	return &itext{parts}, nil
}

// parseElement reads a string as an argument of a resolver: what oc.decode does.
func parseElement(s string) (any, error) {
	p := &iparser{text: s}
	v, err := p.element()
	if err != nil {
		return nil, err
	}
	if p.at < len(s) {
		return nil, p.unexpected("the end")
	}
	return v, nil
}

func (p *iparser) rest() string { return p.text[p.at:] }

func (p *iparser) unexpected(want string) error {
	found := "the end"
	if p.at < len(p.text) {
		r, _ := utf8.DecodeRuneInString(p.rest())
		found = strconv.QuoteRune(r)
	}
	return fmt.Errorf("in %q %s is expected at position %d, not %s", p.text, want, utf8.RuneCountInString(p.text[:p.at])+1, found)
}

func (p *iparser) enter() error {
	if p.depth++; p.depth > maxNesting {
		return errors.New("an interpolation is nested too deeply")
	}
	return nil
}

// textUntil reads text up to a quote (which is not taken) or, for 0, to the end.
func (p *iparser) textUntil(quote byte) (parts []any, err error) {
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			parts = append(parts, b.String())
			b.Reset()
		}
	}
	for {
		rest := p.rest()
		switch {
		case rest == "":
			if quote != 0 {
				return nil, p.unexpected("a closing quote")
			}
			flush()
			return parts, nil
		case quote != 0 && rest[0] == quote:
			flush()
			return parts, nil
		case strings.HasPrefix(rest, "${"):
			flush()
			in, err := p.interpolation()
			if err != nil {
				return nil, err
			}
			parts = append(parts, in)
			continue
		case rest[0] == '$':
			b.WriteByte('$')
			p.at++
			continue
		}
		stops := "$"
		if quote != 0 {
			stops += string(rune(quote))
		}
		n := strings.IndexAny(rest, stops)
		if n < 0 {
			n = len(rest)
		}
		if plain := strings.TrimRight(rest[:n], `\`); plain != "" {
			b.WriteString(plain)
			p.at += len(plain)
			continue
		}
		p.backslashes(&b, n, quote)
	}
}

// backslashes reads n of them, which stand before a $, a quote or the end. They
// escape an interpolation or a quote, and each other only before one of these.
func (p *iparser) backslashes(b *strings.Builder, n int, quote byte) {
	after := p.text[p.at+n:]
	p.at += n
	inter := strings.HasPrefix(after, "${")
	closes := quote != 0 && after != "" && after[0] == quote
	switch {
	case n%2 == 1 && inter:
		b.WriteString(strings.Repeat(`\`, n/2) + "${")
		p.at += 2
	case n%2 == 1 && closes:
		b.WriteString(strings.Repeat(`\`, n/2) + string(rune(quote)))
		p.at++
	case inter || closes:
		b.WriteString(strings.Repeat(`\`, n/2))
	default:
		b.WriteString(strings.Repeat(`\`, n))
	}
}

func (p *iparser) skipBlanks() { p.at += blanks(p.rest()) }

// sign takes a character with the blanks before it, and those after it where
// after is set.
func (p *iparser) sign(c byte, after bool) bool {
	n := blanks(p.rest())
	if p.at+n >= len(p.text) || p.text[p.at+n] != c {
		return false
	}
	p.at += n + 1
	if after {
		p.skipBlanks()
	}
	return true
}

// interpolation reads ${...}.
func (p *iparser) interpolation() (any, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	p.at += len("${")
	p.skipBlanks()
	dots := 0
	for p.at < len(p.text) && p.text[p.at] == '.' {
		dots++
		p.at++
	}
	ref := &iref{}
	if dots > 0 {
		ref.parts = append(ref.parts, strings.Repeat(".", dots))
	}
	names, named := []any{}, dots == 0
	for first := true; ; first = false {
		rest := p.rest()
		bracket := strings.HasPrefix(rest, "[")
		switch {
		case bracket:
			p.at++
			ref.parts = append(ref.parts, "[")
		case first:
		case strings.HasPrefix(rest, "."):
			p.at++
			ref.parts = append(ref.parts, ".")
		case named && p.sign(':', true):
			args, err := p.sequence('}')
			return &icall{name: names, args: args}, err
		case p.sign('}', false):
			return ref, nil
		default:
			return nil, p.unexpected("'.', '[', ':' or '}'")
		}
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		ref.parts = append(ref.parts, key)
		word, isWord := key.(string)
		named = named && !bracket && (!isWord || isHydraID(word))
		names = append(names, key)
		if bracket {
			if p.at >= len(p.text) || p.text[p.at] != ']' {
				return nil, p.unexpected("']'")
			}
			p.at++
			ref.parts = append(ref.parts, "]")
		}
	}
}

// key reads one key of a path: a word or an interpolation.
func (p *iparser) key() (any, error) {
	if strings.HasPrefix(p.rest(), "${") {
		return p.interpolation()
	}
	n := strings.IndexAny(p.rest(), "\\{}()[]:. \t'\"")
	if n < 0 {
		n = len(p.rest())
	}
	if n == 0 {
		return nil, p.unexpected("a key")
	}
	word := p.rest()[:n]
	p.at += n
	return word, nil
}

// sequence reads arguments up to the closing character. An argument that is left
// out is an empty string.
func (p *iparser) sequence(closing byte) ([]any, error) {
	var args []any
	comma, any := true, false
	for {
		switch {
		case p.sign(',', true):
			if comma {
				args = append(args, "")
			}
			comma, any = true, true
		case p.sign(closing, false):
			if comma && any {
				args = append(args, "")
			}
			return args, nil
		case !comma:
			return nil, p.unexpected("',' or '" + string(rune(closing)) + "'")
		default:
			e, err := p.element()
			if err != nil {
				return nil, err
			}
			args = append(args, e)
			comma, any = false, true
		}
	}
}

func (p *iparser) element() (any, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer func() { p.depth-- }()
	if p.at >= len(p.text) {
		return nil, p.unexpected("a value")
	}
	switch c := p.text[p.at]; c {
	case '[':
		p.at++
		p.skipBlanks()
		items, err := p.sequence(']')
		return &ilist{items}, err
	case '{':
		p.at++
		p.skipBlanks()
		return p.dict()
	case '\'', '"':
		p.at++
		parts, err := p.textUntil(c)
		if err != nil {
			return nil, err
		}
		p.at++
		return &itext{append([]any{""}, parts...)}, nil
	}
	return p.primitive(true)
}

func (p *iparser) dict() (any, error) {
	d := &idict{}
	if p.sign('}', false) {
		return d, nil
	}
	for {
		key, err := p.primitive(false)
		if err != nil {
			return nil, err
		}
		if !p.sign(':', true) {
			return nil, p.unexpected("':'")
		}
		v, err := p.element()
		if err != nil {
			return nil, err
		}
		d.keys, d.values = append(d.keys, key), append(d.values, v)
		if p.sign('}', false) {
			return d, nil
		}
		if !p.sign(',', true) {
			return nil, p.unexpected("',' or '}'")
		}
	}
}

// primitive reads a plain value: one token has its type, several are a text.
// Interpolations and colons may stand in values, not in keys.
func (p *iparser) primitive(inValue bool) (any, error) {
	var parts []any
	var only Value
	start := p.at
	for {
		rest := p.rest()
		if inValue && strings.HasPrefix(rest, "${") {
			in, err := p.interpolation()
			if err != nil {
				return nil, err
			}
			parts = append(parts, in)
			continue
		}
		kind, n := nextValueToken(rest)
		if n == 0 || kind == hColon && !inValue {
			break
		}
		p.at += n
		only = scalarHydra(hydraToken{kind: kind, text: rest[:n]})
		if kind == hEscape {
			parts = append(parts, unescape(rest[:n]))
		} else {
			parts = append(parts, rest[:n])
		}
	}
	switch len(parts) {
	case 0:
		return nil, p.unexpected("a value")
	case 1:
		if _, ok := parts[0].(string); ok {
			if blanks(p.text[start:p.at]) == p.at-start {
				return nil, errors.New("a value of blanks needs quotes")
			}
			return only, nil
		}
		return parts[0], nil
	}
	var b strings.Builder
	for _, part := range parts {
		s, ok := part.(string)
		if !ok {
			return &itext{append([]any{""}, parts...)}, nil
		}
		b.WriteString(s)
	}
	return b.String(), nil
}

// nextValueToken gives the longest token of a plain value at the start of s; 0
// where there is none. Blanks before , ] } belong to these.
func nextValueToken(s string) (kind hydraKind, length int) {
	if s == "" {
		return hEnd, 0
	}
	if n := blanks(s); n > 0 {
		switch rest := s[n:]; {
		case rest != "" && strings.IndexByte(",]}", rest[0]) >= 0:
			return hEnd, 0
		case rest != "" && rest[0] == ':':
			return hColon, n + 1 + blanks(rest[1:])
		}
		return hBlank, n
	}
	if strings.IndexByte(",[]{}'\"", s[0]) >= 0 {
		return hEnd, 0
	}
	kind, length = nextHydraToken(s)
	switch kind {
	case hParenOpen, hParenClose, hEqual, hComma, hQuoted, hInterpolation, hListOpen, hListClose, hMapOpen, hMapClose:
		return hEnd, 0
	}
	return kind, length
}
