package dvcfile

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// blockHints are the indicators after | or >, and the indentation they ask for.
func (e *emitter) blockHints(text []rune) (hints string, indent int) {
	if len(text) == 0 {
		return "", 0
	}
	if text[0] == ' ' || isBreak(text[0]) {
		hints, indent = "2", 2
	} else if e.ctx.root && hasDocumentMarker(string(text)) {
		indent = 2
	}
	last := len(text) - 1
	switch {
	case !isBreak(text[last]):
		return hints + "-", indent
	case last == 0 || isBreak(text[last-1]):
		e.openEnded = true
		return hints + "+", indent
	}
	return hints, indent
}

func hasDocumentMarker(text string) bool {
	for _, line := range strings.Split(text, "\n") {
		if line == "---" || line == "..." || strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "... ") {
			return true
		}
	}
	return false
}

// blockHeader writes | or > with its indicators and comment.
func (e *emitter) blockHeader(n *enode, text []rune) int {
	open := e.openEnded
	hints, indent := e.blockHints(text)
	keep := e.openEnded && !open || strings.HasSuffix(hints, "+")
	e.indicator(string(n.style)+hints+n.header(), true, false, false)
	e.openEnded = keep
	e.lineBreak("\n")
	return indent
}

func (e *emitter) literal(n *enode) {
	text := []rune(n.text)
	indent := e.blockHeader(n, text)
	breaks := true
	start := 0
	for end := 0; end <= len(text); end++ {
		more := end < len(text)
		switch {
		case breaks:
			if more && isBreak(text[end]) {
				break
			}
			for _, br := range text[start:end] {
				e.lineBreak(string(br))
			}
			if more && e.ctx.root {
				e.out = append(e.out, strings.Repeat(" ", indent+e.rootIndent())...)
			} else if more {
				e.writeIndent()
			}
			start = end
		case !more || isBreak(text[end]):
			e.out = append(e.out, string(text[start:end])...)
			if !more {
				e.lineBreak("\n")
			}
			start = end
		}
		if more {
			breaks = isBreak(text[end])
		}
	}
}

func (e *emitter) rootIndent() int {
	if e.hasIndent {
		return e.indent
	}
	return 0
}

// folded writes a > scalar: at the places where the source broke its lines,
// and where the width is passed.
func (e *emitter) folded(n *enode) {
	text, foldAt := foldPlaces(n.text, n.folds())
	e.blockHeader(n, text)
	leading, spaces, breaks := true, false, true
	start := 0
	for end := 0; end <= len(text); end++ {
		more := end < len(text)
		ch := rune(-1)
		if more {
			ch = text[end]
		}
		isFold := more && slices.Contains(foldAt, end)
		switch {
		case breaks:
			if more && (isBreak(ch) || isFold) {
				break
			}
			if !leading && more && ch != ' ' && text[start] == '\n' {
				e.lineBreak("\n")
			}
			leading = ch == ' '
			for _, br := range text[start:end] {
				e.lineBreak(string(br))
			}
			if more {
				e.writeIndent()
			}
			start = end
		case spaces:
			if ch == ' ' && !isFold {
				break
			}
			if start+1 == end && e.column > width {
				e.writeIndent()
			} else {
				e.write(string(text[start:end]))
			}
			start = end
		case !more || ch == ' ' || isBreak(ch):
			e.write(string(text[start:end]))
			if !more {
				e.lineBreak("\n")
			}
			start = end
			if isFold { // the blank becomes the line break
				e.lineBreak("\n")
				e.writeIndent()
				start = end + 1
				spaces = false
				continue
			}
		}
		if more {
			breaks, spaces = isBreak(ch), ch == ' '
		}
	}
}

// foldPlaces gives the text and the places of the blanks at which the source
// was folded (folds, in bytes) and can be folded again.
func foldPlaces(s string, folds []int) (text []rune, at []int) {
	text = []rune(s)
	for _, f := range folds {
		i := utf8.RuneCountInString(s[:min(f, len(s))])
		if i > 0 && i+1 < len(text) && text[i] == ' ' && !unicode.IsSpace(text[i-1]) && !unicode.IsSpace(text[i+1]) {
			at = append(at, i)
		}
	}
	return text, at
}

func (n *enode) header() string {
	if n.block == nil {
		return ""
	}
	return n.block.header
}

func (n *enode) folds() []int {
	if n.block == nil {
		return nil
	}
	return n.block.folds
}
