package dvcfile

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"ctrx/internal/errs"
)

// parseOverrideText reads a -S argument with its file.
func parseOverrideText(arg string) (*parsedOverride, error) {
	file, rest := SplitOverride(arg)
	if file == "" {
		return nil, badOverride(arg, "no file name before the colon")
	}
	return parseOverrideIn(file, rest)
}

func parseOverrideIn(file, text string) (*parsedOverride, error) {
	parsed, err := parseAnyOverride(file, text)
	if err != nil {
		return nil, err
	}
	switch v := parsed.value.(type) {
	case *globSweep:
		return nil, errs.New(errs.Usage, "Glob override '%s' is not supported.", v.input(text))
	case *distribution:
		return nil, badOverride(text, "a distribution has no list of values: `ctrx exp sweep` draws from it; for a list use range(start, stop, step) or choice(...)")
	}
	return parsed, nil
}

// parseAnyOverride reads an override whose value may also be one that only the
// options of a config group, or a sampler, give meaning to.
func parseAnyOverride(file, text string) (*parsedOverride, error) {
	op, key, pkg, hasPkg, rest, problem := hydraKey(text)
	if !utf8.ValidString(text) {
		problem = "the text is not valid UTF-8"
	}
	if problem != "" {
		return nil, badOverride(text, problem)
	}
	out := &parsedOverride{Override: Override{File: file, Op: op, Key: key, Package: pkg, hasPackage: hasPkg,
		HasValue: rest != "", Input: text}}
	if rest == "" {
		return out, nil // ~key
	}
	value := rest[1+blanks(rest[1:]):]
	if value == "" {
		out.value = ""
		return out, nil
	}
	tokens, at, ok := hydraTokens(value)
	if !ok {
		return nil, badOverride(text, "unexpected "+firstRune(value[at:])+" at position "+
			strconv.Itoa(len(text)-len(value)+at+1)+"; put the value in quotes")
	}
	p := &hydraParser{text: text, offset: len(text) - len(value), tokens: tokens}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	out.value = v
	return out, nil
}

type hydraParser struct {
	text   string
	offset int // of the value in text
	tokens []hydraToken
	at     int
	depth  int
}

func (p *hydraParser) peek() hydraKind { return p.tokens[p.at].kind }

func (p *hydraParser) take(k hydraKind) bool {
	if p.peek() != k {
		return false
	}
	p.at++
	return true
}

func (p *hydraParser) fail(problem string) error { return badOverride(p.text, problem) }

func (p *hydraParser) unexpected(want string) error {
	t := p.tokens[p.at]
	found := "'" + strings.TrimSpace(t.text) + "'"
	if t.kind == hEnd {
		found = "the end"
	}
	return p.fail("expected " + want + " at position " + strconv.Itoa(p.offset+t.at+1) + ", found " + found)
}

// value reads an element or a list of them without brackets, which is a sweep.
func (p *hydraParser) value() (any, error) {
	first, err := p.element()
	if err != nil {
		return nil, err
	}
	if p.take(hEnd) {
		return first, nil
	}
	if p.peek() != hComma {
		return nil, p.unexpected("the end of the value")
	}
	list := []any{first}
	for p.take(hComma) {
		e, err := p.element()
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	if !p.take(hEnd) {
		return nil, p.unexpected("the end of the value")
	}
	return &choiceSweep{list: list, simple: true}, nil
}

func (p *hydraParser) element() (any, error) {
	if p.depth > maxNesting {
		return nil, p.fail("nested too deeply")
	}
	p.depth++
	defer func() { p.depth-- }()
	switch p.peek() {
	case hListOpen:
		return p.list()
	case hMapOpen:
		return p.mapping()
	case hQuoted:
		p.at++
		return unquoteHydra(p.tokens[p.at-1].text), nil
	case hID:
		if p.tokens[p.at+1].kind == hParenOpen {
			return p.function()
		}
	}
	return p.primitive(true)
}

func (p *hydraParser) list() (any, error) {
	p.at++
	list := []any{}
	if p.take(hListClose) {
		return list, nil
	}
	for {
		e, err := p.element()
		if err != nil {
			return nil, err
		}
		list = append(list, e)
		if p.take(hListClose) {
			return list, nil
		}
		if !p.take(hComma) {
			return nil, p.unexpected("',' or ']'")
		}
	}
}

func (p *hydraParser) mapping() (any, error) {
	p.at++
	m := &hydraMap{}
	if p.take(hMapClose) {
		return m, nil
	}
	for {
		key, err := p.primitive(false)
		if err != nil {
			return nil, err
		}
		if !p.take(hColon) {
			return nil, p.unexpected("':' after the key of a mapping")
		}
		v, err := p.element()
		if err != nil {
			return nil, err
		}
		m.set(key, v)
		if p.take(hMapClose) {
			return m, nil
		}
		if !p.take(hComma) {
			return nil, p.unexpected("',' or '}'")
		}
	}
}

// primitive reads a plain scalar: tokens up to one that ends it. A colon and
// ${} may stand in values, not in keys.
func (p *hydraParser) primitive(inValue bool) (any, error) {
	start := p.at
	for {
		switch k := p.peek(); k {
		case hID, hNull, hInt, hFloat, hBool, hOther, hEscape, hBlank:
			p.at++
			continue
		case hColon, hInterpolation:
			if inValue {
				p.at++
				continue
			}
		}
		break
	}
	tokens := p.tokens[start:p.at]
	if len(tokens) == 0 {
		return nil, p.unexpected("a value")
	}
	if tokens[0].kind == hBlank {
		tokens = tokens[1:]
	}
	if n := len(tokens); n > 0 && tokens[n-1].kind == hBlank {
		tokens = tokens[:n-1]
	}
	if len(tokens) == 0 {
		return nil, p.fail("a value of blanks needs quotes")
	}
	if len(tokens) == 1 {
		return scalarHydra(tokens[0]), nil
	}
	var b strings.Builder
	for _, t := range tokens {
		if t.kind == hEscape {
			b.WriteString(unescape(t.text))
		} else {
			b.WriteString(t.text)
		}
	}
	return b.String(), nil
}

// unescape drops every first character of a run of escapes.
func unescape(s string) string {
	var b strings.Builder
	for i := 1; i < len(s); i += 2 {
		b.WriteByte(s[i])
	}
	return b.String()
}

// scalarHydra gives the value of a lone token.
func scalarHydra(t hydraToken) Value {
	switch t.kind {
	case hInt:
		n, _ := ParseInt(t.text)
		return n
	case hFloat:
		f, _ := parsePyFloat(t.text)
		return f
	case hNull:
		return nil
	case hBool:
		return strings.EqualFold(t.text, "true")
	case hEscape:
		return unescape(t.text)
	}
	return t.text
}

// unquoteHydra takes the quotes off: backslashes count only before a quote.
func unquoteHydra(s string) quotedText {
	q, body := s[0], s[1:]
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		n := 0
		for i+n < len(body) && body[i+n] == '\\' {
			n++
		}
		if i+n >= len(body) {
			break
		}
		if n == 0 || body[i+n] != q {
			b.WriteString(body[i : i+n])
			if i+n == len(body)-1 {
				break // the closing quote
			}
			b.WriteByte(body[i+n])
			i += n
			continue
		}
		b.WriteString(strings.Repeat(`\`, n/2))
		if n%2 == 1 {
			b.WriteByte(q)
		}
		i += n
	}
	return quotedText{text: b.String(), quote: q}
}

// function reads name(arg, ..., key=arg, ...) and evaluates it.
func (p *hydraParser) function() (any, error) {
	start := p.at
	call := hydraCall{name: p.tokens[p.at].text}
	p.at += 2
	if !p.take(hParenClose) {
		for {
			name := ""
			if p.peek() == hID && p.tokens[p.at+1].kind == hEqual {
				name = p.tokens[p.at].text
				p.at += 2
			}
			e, err := p.element()
			if err != nil {
				return nil, err
			}
			if q, ok := e.(quotedText); ok {
				e = q.text
			}
			switch {
			case name != "":
				call.named = append(call.named, namedArg{name, e})
			case len(call.named) > 0:
				return nil, p.fail("positional argument follows keyword argument")
			default:
				call.args = append(call.args, e)
			}
			if p.take(hParenClose) {
				break
			}
			if !p.take(hComma) {
				return nil, p.unexpected("',' or ')'")
			}
		}
	}
	end := p.tokens[p.at].at
	v, err := call.eval(p.text)
	if err != nil {
		source := p.text[p.offset+p.tokens[start].at : p.offset+end]
		return nil, p.fail("cannot evaluate '" + source + "': " + err.Error())
	}
	return v, nil
}
