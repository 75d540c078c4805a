package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// The format of .dvc/config is that of Python's ConfigObj 5: INI sections that
// may nest ([a] holds [[b]]), values that are strings or, with commas, lists of
// strings, quotes of four kinds, # comments, and %(name)s for the value of
// another key. This file reads it; emit.go writes it.

// section is a [section] with its keys and nested sections in file order.
type section struct {
	kind     string // "remote", "machine" or "db"; "" for a plain section (set by file.add)
	name     string
	depth    int
	line     int
	parent   *section
	keys     []*option
	sections []*section
}

// option is one `key = value`.
type option struct {
	key   string
	value value
	line  int
}

// value is a string, or a list of strings when list is set.
type value struct {
	text string
	list []string
	many bool
	// written is what to write in place of text, when the two differ: a path is
	// used as an absolute one but kept as the user wrote it.
	written  string
	hasWrite bool
}

func (s *section) option(key string) *option {
	for _, o := range s.keys {
		if o.key == key {
			return o
		}
	}
	return nil
}

func (s *section) section(name string) *section {
	for _, c := range s.sections {
		if c.name == name {
			return c
		}
	}
	return nil
}

type parser struct {
	shown *errs.Text // for messages
	lines []string
	at    int // index of the current line
	root  *section
}

// parseConfigObj reads a file; errors carry its name and the line.
func parseConfigObj(file string, data []byte) (*section, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	p := &parser{shown: errs.NewText(file, quotable(data)), lines: strings.Split(text, "\n"), root: &section{}}
	p.root.parent = p.root
	current := p.root
	for ; p.at < len(p.lines); p.at++ {
		line := p.lines[p.at]
		if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		next, err := p.line(current, line)
		if err != nil {
			return nil, err
		}
		current = next
	}
	if err := p.interpolate(p.root); err != nil {
		return nil, err
	}
	return p.root, nil
}

// secretLine finds the value of an option that may hold a secret, and what stands
// before the @ of a URL.
var secretLine = regexp.MustCompile(`(?im)^(\s*[^=\n]*(?:key|secret|pass|token|sas|cred|auth|connection)[^=\n]*=).*$|(://)[^/@\s]*@`)

// quotable is a config file as messages may show it: without secrets.
func quotable(data []byte) []byte { return secretLine.ReplaceAll(data, []byte("$1$2***")) }

func (p *parser) fail(format string, args ...any) error {
	return errs.At(p.shown.At(p.at+1, 0), format, args...)
}

// line handles one line and gives the section that the next one belongs to.
func (p *parser) line(current *section, line string) (*section, error) {
	if name, open, closed, ok := splitMarker(line); ok {
		return p.open(current, name, open, closed)
	}
	key, rest, ok := splitKey(line)
	if !ok {
		return nil, p.fail("%q is neither a [section] nor a key = value", strings.TrimSpace(line))
	}
	o := &option{key: unquote(key), line: p.at + 1}
	if strings.HasPrefix(rest, `"""`) || strings.HasPrefix(rest, "'''") {
		if o.value.text, ok = p.multiline(rest); !ok {
			return nil, p.fail("the value of %s has no closing %s", o.key, rest[:3])
		}
	} else if o.value, ok = parseValue(rest); !ok {
		return nil, p.fail("the value of %s is badly quoted, or a list with an empty item", o.key)
	}
	if current.option(o.key) != nil || current.section(o.key) != nil {
		return nil, p.fail("duplicate key %s", o.key)
	}
	current.keys = append(current.keys, o)
	return current, nil
}

func (p *parser) open(current *section, name string, open, closed int) (*section, error) {
	if open != closed {
		return nil, p.fail("section %s opens with %d brackets and closes with %d", name, open, closed)
	}
	if open > current.depth+1 {
		return nil, p.fail("section %s is nested too deep", name)
	}
	parent := current
	for parent.depth >= open {
		parent = parent.parent
	}
	s := &section{name: unquote(name), depth: open, line: p.at + 1, parent: parent}
	if parent.section(s.name) != nil || parent.option(s.name) != nil {
		return nil, p.fail("duplicate section %s", s.name)
	}
	parent.sections = append(parent.sections, s)
	return s, nil
}

// splitMarker takes a section line apart: the name as written and the number
// of brackets on its two sides.
func splitMarker(line string) (name string, open, closed int, ok bool) {
	line = strings.TrimSpace(line)
	for strings.HasPrefix(line, "[") {
		open++
		line = trimLeft(line[1:])
	}
	if open == 0 || line == "" || line[0] == ']' && !strings.Contains(line[1:], "]") {
		return "", 0, 0, false
	}
	if q := line[0]; q == '"' || q == '\'' {
		for i := 1; i < len(line); i++ {
			if line[i] == q && strings.TrimSpace(line[1:i]) != "" {
				if n, ok := closingBrackets(line[i+1:]); ok {
					return line[:i+1], open, n, true
				}
			}
		}
		return "", 0, 0, false
	}
	for i := 1; i < len(line); i++ {
		if n, ok := closingBrackets(line[i:]); ok {
			return line[:i], open, n, true
		}
	}
	return "", 0, 0, false
}

// closingBrackets counts the brackets in s, which must hold nothing else but
// blanks and a comment behind them.
func closingBrackets(s string) (int, bool) {
	n := 0
	for s = trimLeft(s); strings.HasPrefix(s, "]"); s = trimLeft(s[1:]) {
		n++
	}
	return n, n > 0 && endsHere(s)
}

// endsHere tells whether only blanks and perhaps a comment are left.
func endsHere(s string) bool {
	s = trimLeft(s)
	return s == "" || s[0] == '#'
}

func trimLeft(s string) string { return strings.TrimLeft(s, " \t\v\f") }

// splitKey takes `key = value` apart; the key keeps its quotes.
func splitKey(line string) (key, rest string, ok bool) {
	line = trimLeft(line)
	if line == "" || line[0] == '=' {
		return "", "", false
	}
	if q := line[0]; q == '"' || q == '\'' {
		for i := 1; i < len(line); i++ {
			if after := trimLeft(line[i+1:]); line[i] == q && strings.HasPrefix(after, "=") {
				return line[:i+1], trimLeft(after[1:]), true
			}
		}
		return "", "", false
	}
	key, rest, ok = strings.Cut(line, "=")
	return strings.TrimSpace(key), trimLeft(rest), ok
}

// unquote takes off one pair of equal quotes.
func unquote(s string) string {
	if n := len(s); n > 0 && s[0] == s[n-1] && (s[0] == '"' || s[0] == '\'') {
		return s[1:max(1, n-1)]
	}
	return s
}

// multiline reads a value in triple quotes that begins with rest and may go on
// in the following lines.
func (p *parser) multiline(rest string) (string, bool) {
	quote, line := rest[:3], rest[3:]
	var text strings.Builder
	for !strings.Contains(line, quote) {
		if p.at+1 >= len(p.lines) {
			return "", false
		}
		text.WriteString(line + "\n")
		p.at++
		line = p.lines[p.at]
	}
	for i := range len(line) - 2 {
		if line[i:i+3] == quote && endsHere(line[i+3:]) {
			return text.String() + line[:i], true
		}
	}
	return "", false
}

// parseValue reads what stands behind the `=`: a string or a list, and a
// comment.
func parseValue(s string) (value, bool) {
	if strings.HasPrefix(s, ",") && endsHere(s[1:]) {
		return value{many: true}, true
	}
	items, ok := parseItems(s, 0, map[int]bool{})
	slices.Reverse(items.list)
	return items, ok
}

// parseItems reads the items of s from pos on, in reverse order when they are
// a list. Quotes may stand inside of items, so a closing quote is tried at each
// place; dead remembers where that failed.
func parseItems(s string, pos int, dead map[int]bool) (value, bool) {
	if dead[pos] {
		return value{}, false
	}
	for _, end := range itemEnds(s, pos) {
		after := trimLeft(s[end:])
		if !strings.HasPrefix(after, ",") {
			continue
		}
		next := len(s) - len(trimLeft(after[1:]))
		if v, ok := parseItems(s, next, dead); ok {
			v.list = append(v.list, unquote(strings.TrimSpace(s[pos:end])))
			return v, true
		}
	}
	for _, end := range itemEnds(s, pos) {
		if !endsHere(s[end:]) {
			continue
		}
		text := unquote(strings.TrimSpace(s[pos:end]))
		if pos > 0 {
			return value{list: []string{text}, many: true}, true
		}
		return value{text: text}, true
	}
	if endsHere(s[pos:]) {
		return value{many: pos > 0}, true
	}
	dead[pos] = true
	return value{}, false
}

// itemEnds gives the places where an item that begins at pos can end.
func itemEnds(s string, pos int) []int {
	if pos >= len(s) {
		return nil
	}
	switch q := s[pos]; q {
	case '"', '\'':
		var ends []int
		for i := pos + 1; i < len(s); i++ {
			if s[i] == q {
				ends = append(ends, i+1)
			}
		}
		return ends
	case ',', '#':
		return nil
	}
	end := strings.IndexAny(s[pos:], ",#")
	if end < 0 {
		return []int{len(s)}
	}
	return []int{pos + end}
}

// interpolate replaces %(name)s in all values: by the key of that name in the
// same section, else in the ones around it.
func (p *parser) interpolate(s *section) error {
	// All values are computed from the raw ones before any is replaced.
	done := make([]value, len(s.keys))
	for i, o := range s.keys {
		v := o.value
		var err error
		if v.many {
			v.list = make([]string, len(o.value.list))
			for j, text := range o.value.list {
				if v.list[j], err = p.expand(s, o, text, nil); err != nil {
					return err
				}
			}
		} else if v.text, err = p.expand(s, o, v.text, nil); err != nil {
			return err
		}
		done[i] = v
	}
	for _, c := range s.sections {
		if err := p.interpolate(c); err != nil {
			return err
		}
	}
	for i, o := range s.keys {
		o.value = done[i]
	}
	return nil
}

func (p *parser) expand(s *section, o *option, text string, through []string) (string, error) {
	fail := func(format string, args ...any) error {
		return errs.At(p.shown.At(o.line, 0), "%s: "+format, append([]any{o.key}, args...)...)
	}
	mark := fmt.Sprintf("%d:%s:%s", s.line, s.name, o.key)
	for _, t := range through {
		if t == mark {
			return "", fail("%%(%s)s refers to itself", o.key)
		}
	}
	var b strings.Builder
	for {
		start := strings.Index(text, "%(")
		if start < 0 {
			break
		}
		end := strings.IndexByte(text[start:], ')')
		if end < 0 {
			break
		}
		end += start
		if !strings.HasPrefix(text[end+1:], "s") {
			// A later %( may still begin a reference.
			b.WriteString(text[:start+2])
			text = text[start+2:]
			continue
		}
		in, found := lookup(s, text[start+2:end])
		if found == nil || found.value.many {
			return "", fail("%%(%s)s: there is no such key to take the value of", text[start+2:end])
		}
		replacement, err := p.expand(in, found, found.value.text, append(through, mark))
		if err != nil {
			return "", err
		}
		if b.Len()+len(replacement) > maxValue {
			return "", fail("the value becomes too long")
		}
		b.WriteString(text[:start])
		b.WriteString(replacement)
		text = text[end+2:]
	}
	b.WriteString(text)
	return b.String(), nil
}

// maxValue bounds what a few lines of nested references can grow to.
const maxValue = 1 << 20

func lookup(s *section, key string) (*section, *option) {
	for {
		if o := s.option(key); o != nil {
			return s, o
		}
		if s == s.parent {
			return s, nil
		}
		s = s.parent
	}
}
