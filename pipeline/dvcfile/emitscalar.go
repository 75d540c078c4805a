package dvcfile

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// analysis is what the characters of a scalar allow.
type analysis struct {
	multiline    bool
	flowPlain    bool
	blockPlain   bool
	singleQuoted bool
}

func isBreak(r rune) bool { return r == '\n' || r == 0x85 || r == 0x2028 || r == 0x2029 }

func isBlank(r rune) bool { return r == 0 || r == ' ' || r == '\t' || r == '\r' || isBreak(r) }

func analyze(s string) analysis {
	if s == "" {
		return analysis{blockPlain: true, singleQuoted: true}
	}
	var flow, block, breaks, special bool                 // indicators and characters
	var edgeSpace, edgeBreak, breakSpace, spaceBreak bool // blanks in the wrong place
	var previousSpace, previousBreak, previousBlank = false, false, true
	if strings.HasPrefix(s, "---") || strings.HasPrefix(s, "...") {
		flow, block = true, true
	}
	for i, r := range s {
		size := utf8.RuneLen(r)
		if r == utf8.RuneError {
			_, size = utf8.DecodeRuneInString(s[i:])
		}
		last := i+size >= len(s)
		followedByBlank := last
		if !last {
			next, _ := utf8.DecodeRuneInString(s[i+size:])
			followedByBlank = isBlank(next)
		}
		f, b := indicators(r, i == 0, last, previousBlank, followedByBlank)
		flow, block = flow || f, block || b
		br := isBreak(r)
		breaks = breaks || br
		special = special || !printable(r)
		edge := i == 0 || last
		switch {
		case r == ' ':
			edgeSpace = edgeSpace || edge
			breakSpace = breakSpace || previousBreak
			previousSpace, previousBreak = true, false
		case br:
			edgeBreak = edgeBreak || edge
			spaceBreak = spaceBreak || previousSpace
			previousSpace, previousBreak = false, true
		default:
			previousSpace, previousBreak = false, false
		}
		previousBlank = isBlank(r)
	}
	quotedOnly := breakSpace || spaceBreak || special
	plain := !edgeSpace && !edgeBreak && !quotedOnly && !breaks
	return analysis{
		multiline:    breaks,
		flowPlain:    plain && !flow,
		blockPlain:   plain && !block,
		singleQuoted: !quotedOnly,
	}
}

// indicators tells whether a character keeps a scalar from being plain inside
// brackets (flow) and outside (block).
func indicators(r rune, first, last, afterBlank, beforeBlank bool) (flow, block bool) {
	if first {
		switch r {
		case '#', ',', '[', ']', '{', '}', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`':
			return true, true
		case '?', ':':
			return last, beforeBlank
		case '-':
			return beforeBlank, beforeBlank
		}
		return false, false
	}
	switch r {
	case ',', '[', ']', '{', '}':
		return true, false
	case ':':
		return beforeBlank, beforeBlank
	case '#':
		return afterBlank, afterBlank
	}
	return false, false
}

// printable characters may be written as they are.
func printable(r rune) bool {
	switch {
	case r == '\n' || r >= 0x20 && r <= 0x7e || r == 0x85:
		return true
	case r == 0xfeff:
		return false
	}
	return r >= 0xa0 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000
}

// chooseStyle gives 0 for plain, or ' " | >.
func (e *emitter) chooseStyle(n *enode, a analysis) byte {
	simpleKey := e.ctx.simpleKey
	if n.style == 0 && n.given == "" && resolvePlain(n.text) == n.tag && !(simpleKey && (n.text == "" || a.multiline)) {
		if len(e.flow) > 0 && a.flowPlain || len(e.flow) == 0 && a.blockPlain {
			return 0
		}
	}
	if n.given != "" {
		return e.givenStyle(n, a)
	}
	if n.style != 0 && len(e.flow) == 0 && !simpleKey {
		return n.style
	}
	if n.style == 0 && strings.ContainsAny(n.text, "'\n") {
		return '"'
	}
	if n.style == 0 && a.singleQuoted && !(simpleKey && a.multiline) {
		return '\''
	}
	return '"'
}

// givenStyle is the style of a scalar with a tag in the source: its own.
func (e *emitter) givenStyle(n *enode, a analysis) byte {
	block := n.style == '|' || n.style == '>'
	switch {
	case n.style == 0 && (len(e.flow) > 0 && a.flowPlain || len(e.flow) == 0 && a.blockPlain):
		return 0
	case block && len(e.flow) == 0 && !e.ctx.simpleKey:
		return n.style
	case n.style == '\'' && a.singleQuoted && !(e.ctx.simpleKey && a.multiline):
		return '\''
	}
	return '"'
}

func (e *emitter) scalar(n *enode) {
	text := n.text
	a := analyze(text)
	style := e.chooseStyle(n, a)
	if text == "" && style == '\'' && n.tag == tagNull {
		text, style = "null", 0
	}
	e.givenTag(n)
	e.push(true, false, false)
	split := !e.ctx.simpleKey
	if e.ctx.sequence && len(e.flow) == 0 {
		e.writeIndent()
	}
	switch style {
	case '"':
		e.doubleQuoted(text, split)
	case '\'':
		e.singleQuoted(text, split)
	case '|':
		e.literal(n)
	case '>':
		e.folded(n)
	default:
		e.plain(text, split)
	}
	post := (*comment)(nil)
	if n.comments != nil {
		post = n.comments.post
	}
	if (style == '|' || style == '>') && post != nil && int(post.at.col) >= e.indent {
		post.at.col = int32(e.indent - 1)
	}
	e.pop()
	e.post(post)
}

// plain writes words; one that would pass the width goes to a new line, and
// the blank before it stays at the end of the old one.
func (e *emitter) plain(text string, split bool) {
	if e.ctx.root {
		e.openEnded = true
	}
	if text == "" {
		return
	}
	if !e.whitespace {
		e.write(" ")
	}
	e.whitespace, e.indention = false, false
	for text != "" {
		n := strings.IndexByte(text, ' ')
		if n < 0 {
			n = len(text)
		}
		word := text[:n]
		// DVC breaks long keys too, and cannot read the file it wrote; a key
		// stays on its line here
		if split && e.column+utf8.RuneCountInString(word) > width && e.hasIndent && e.column > e.indent {
			e.writeIndent()
		}
		e.write(word)
		text = text[n:]
		blanks := len(text) - len(strings.TrimLeft(text, " "))
		switch {
		case blanks == 1 && e.column >= width && split:
			e.writeIndent()
			e.whitespace, e.indention = false, false
		case blanks > 0:
			e.write(text[:blanks])
		}
		text = text[blanks:]
	}
}

func (e *emitter) singleQuoted(s string, split bool) {
	e.indicator("'", true, false, false)
	text := []rune(s)
	spaces, breaks := false, false
	start := 0
	for end := 0; end <= len(text); end++ {
		ch, more := rune(0), end < len(text)
		if more {
			ch = text[end]
		}
		switch {
		case spaces:
			if !more || ch != ' ' {
				if start+1 == end && e.column > width && split && start != 0 && more {
					e.writeIndent()
				} else {
					e.write(string(text[start:end]))
				}
				start = end
			}
		case breaks:
			if !more || !isBreak(ch) {
				e.breaks(text[start:end])
				e.writeIndent()
				start = end
			}
		case !more || ch == ' ' || isBreak(ch) || ch == '\'':
			if start < end {
				e.write(string(text[start:end]))
				start = end
			}
		}
		if more && ch == '\'' {
			e.write("''")
			start = end + 1
		}
		if more {
			spaces, breaks = ch == ' ', isBreak(ch)
		}
	}
	e.indicator("'", false, false, false)
}

// breaks writes a run of line breaks inside a folded scalar.
func (e *emitter) breaks(run []rune) {
	if run[0] == '\n' {
		e.lineBreak("\n")
	}
	for _, br := range run {
		e.lineBreak(string(br))
	}
}

var doubleEscapes = map[rune]string{
	0: `\0`, '\a': `\a`, '\b': `\b`, '\t': `\t`, '\n': `\n`, '\v': `\v`, '\f': `\f`, '\r': `\r`, 0x1b: `\e`,
	'"': `\"`, '\\': `\\`, 0x85: `\N`, 0xa0: `\_`, 0x2028: `\L`, 0x2029: `\P`,
}

func escaped(r rune) bool {
	if r == '"' || r == '\\' || isBreak(r) || r == 0xfeff {
		return true
	}
	return !printable(r)
}

func escape(r rune) string {
	if s, ok := doubleEscapes[r]; ok {
		return s
	}
	switch {
	case r <= 0xff:
		return fmt.Sprintf(`\x%02X`, r)
	case r <= 0xffff:
		return fmt.Sprintf(`\u%04X`, r)
	}
	return fmt.Sprintf(`\U%08X`, r)
}

func (e *emitter) doubleQuoted(s string, split bool) {
	e.indicator(`"`, true, false, false)
	text := []rune(s)
	start := 0
	for end := 0; end <= len(text); end++ {
		if end == len(text) || escaped(text[end]) {
			if start < end {
				e.write(string(text[start:end]))
				start = end
			}
			if end < len(text) {
				e.write(escape(text[end]))
				start = end + 1
			}
		}
		if end == 0 || end >= len(text)-1 || text[end] != ' ' && start < end || !split || e.column+end-start <= width {
			continue
		}
		backslash := foldNeedsBackslash(text, start, end)
		part := ""
		if start < end { // an escape just written may have moved start past end
			part = string(text[start:end])
			start = end
		}
		if backslash {
			part += `\`
		}
		e.write(part)
		e.writeIndent()
		e.whitespace, e.indention = false, false
		if text[start] == ' ' {
			if backslash {
				e.write(`\`)
			} else {
				start++
			}
		}
	}
	e.indicator(`"`, false, false, false)
}

// foldNeedsBackslash decides whether the fold at end must be escaped, so that
// reading it back gives no other blank. (The conditions are those of the
// dumper; some escape more often than needed.)
func foldNeedsBackslash(text []rune, start, end int) bool {
	space := slices.Index(text[end:], ' ')
	if space < 0 {
		return true
	}
	space += end
	if nl := slices.Index(text[end:space], '\n'); nl >= 0 {
		space = end + nl
	}
	if space+1 >= len(text) {
		return true
	}
	if text[space] == '\n' && text[space+1] != ' ' {
		return true
	}
	between := text[end:space]
	return slices.Contains(between, '"') || slices.Contains(between, '\'') ||
		text[space+1] == ' ' || text[space+1] == '\n' ||
		text[end-1] == ' ' && text[end] == ' ' || start == end
}
