package dvcfile

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"ctrx/internal/errs"
)

// tomlTable is a table of a TOML document that remembers where its text is,
// so that a value can be changed without touching the rest of the file.
type tomlTable struct {
	keys   []string
	nodes  map[string]*tomlNode
	prefix string // for a table made by dotted keys (a.b = 1): the key as written up to the table
	inline bool
	header int // offset of its [header] line; -1 for the root and for implicit tables
	body   int // end of its own last key-value, or of its header, line break included
	brace  int // offset of the closing brace of an inline table
}

// tomlNode is the value of a key: exactly one of table, array and value.
type tomlNode struct {
	table      *tomlTable
	array      []*tomlTable // an array of tables, [[x]]
	value      Value
	elements   string // the text of an array on one line
	start, end int    // the value's text
	line       int    // where the line of the key begins
	key        int    // where the key begins
}

func newTOMLTable() *tomlTable {
	return &tomlTable{nodes: map[string]*tomlNode{}, header: -1}
}

func (t *tomlTable) set(key string, n *tomlNode) {
	if _, ok := t.nodes[key]; !ok {
		t.keys = append(t.keys, key)
	}
	t.nodes[key] = n
}

// value is the table as an ordered mapping.
func (t *tomlTable) content() *Map {
	m := &Map{}
	for _, k := range t.keys {
		m.Set(k, t.nodes[k].content())
	}
	return m
}

func (n *tomlNode) content() Value {
	switch {
	case n.table != nil:
		return n.table.content()
	case n.array != nil:
		list := make([]Value, len(n.array))
		for i, t := range n.array {
			list[i] = t.content()
		}
		return list
	}
	return n.value
}

// parseTOML reads a TOML document in the order of its keys. Dates become
// timestamps, hexadecimal numbers plain ones; a time without a date has no
// counterpart in a dvc.lock and is kept as text.
func parseTOML(file string, data []byte) (Value, error) {
	t, err := readTOML(file, data)
	if err != nil {
		return nil, err
	}
	return t.content(), nil
}

func readTOML(file string, data []byte) (*tomlTable, error) {
	if !utf8.Valid(data) {
		return nil, errs.At(errs.Pos{File: file}, "the file is not valid UTF-8")
	}
	var checked map[string]any
	if err := toml.Unmarshal(data, &checked); err != nil {
		var de *toml.DecodeError
		if errors.As(err, &de) {
			line, col := de.Position()
			return nil, errs.At(errs.NewText(file, data).At(line, col), "not valid TOML: %s", strings.TrimPrefix(de.Error(), "toml: "))
		}
		return nil, errs.At(errs.Pos{File: file}, "not valid TOML: %w", err)
	}
	r := &tomlReader{data: data, root: newTOMLTable()}
	r.p.Reset(data)
	r.current = r.root
	for r.p.NextExpression() {
		r.expression(r.p.Expression())
	}
	if err := r.p.Error(); err != nil {
		return nil, errs.At(errs.Pos{File: file}, "not valid TOML: %w", err)
	}
	return r.root, nil
}

type tomlReader struct {
	p       unstable.Parser
	data    []byte
	root    *tomlTable
	current *tomlTable
}

// lineStart and lineEnd give the bounds of the line around an offset; the end
// is behind the line break.
func (r *tomlReader) lineStart(at int) int { return bytes.LastIndexByte(r.data[:at], '\n') + 1 }

func (r *tomlReader) lineEnd(at int) int {
	if i := bytes.IndexByte(r.data[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(r.data)
}

func (r *tomlReader) expression(e *unstable.Node) {
	switch e.Kind {
	case unstable.KeyValue:
		n := r.keyValue(r.current, e)
		r.current.body = r.lineEnd(n.end)
	case unstable.Table, unstable.ArrayTable:
		var parts []string
		at := 0
		for it := e.Key(); it.Next(); {
			parts = append(parts, string(it.Node().Data))
			at = int(it.Node().Raw.Offset)
		}
		t := r.root
		for _, part := range parts[:len(parts)-1] {
			t = t.child(part)
		}
		last := parts[len(parts)-1]
		if e.Kind == unstable.ArrayTable {
			n := t.nodes[last]
			if n == nil {
				n = &tomlNode{}
				t.set(last, n)
			}
			r.current = newTOMLTable()
			n.array = append(n.array, r.current)
		} else {
			r.current = t.child(last)
		}
		r.current.header = r.lineStart(at)
		r.current.body = r.lineEnd(at)
	}
}

// child gives the table under a key, or makes it; of an array of tables the
// last one.
func (t *tomlTable) child(key string) *tomlTable {
	n := t.nodes[key]
	switch {
	case n == nil || n.table == nil && n.array == nil:
		n = &tomlNode{table: newTOMLTable()}
		t.set(key, n)
	case n.array != nil:
		return n.array[len(n.array)-1]
	}
	return n.table
}

func (r *tomlReader) keyValue(t *tomlTable, e *unstable.Node) *tomlNode {
	n := &tomlNode{start: int(e.Raw.Offset), end: int(e.Raw.Offset + e.Raw.Length)}
	n.line, n.key = r.lineStart(n.start), n.start
	prefixStart := n.start
	var parts []string
	var ends []int
	for it := e.Key(); it.Next(); {
		parts = append(parts, string(it.Node().Data))
		ends = append(ends, int(it.Node().Raw.Offset+it.Node().Raw.Length))
	}
	last := len(parts) - 1
	for i, part := range parts[:last] {
		t = t.child(part)
		t.prefix = string(r.data[prefixStart:ends[i]]) + "."
		t.body = r.lineEnd(n.end)
	}
	n.start = r.skipBlank(ends[last])
	n.start = r.skipBlank(n.start + 1) // the equals sign
	if n.end < n.start {
		n.end = n.start
	}
	r.fill(n, e.Value())
	t.set(parts[last], n)
	return n
}

func (r *tomlReader) skipBlank(at int) int {
	for at < len(r.data) && (r.data[at] == ' ' || r.data[at] == '\t') {
		at++
	}
	return at
}

// fill reads a value into a node whose text bounds are known.
func (r *tomlReader) fill(n *tomlNode, e *unstable.Node) {
	switch e.Kind {
	case unstable.InlineTable:
		n.table = r.inlineTable(e)
		n.table.brace = n.end - 1
	case unstable.Array:
		n.value, n.elements = r.array(e)
	default:
		n.value = tomlScalar(e)
	}
}

func (r *tomlReader) inlineTable(e *unstable.Node) *tomlTable {
	t := newTOMLTable()
	t.inline = true
	for it := e.Children(); it.Next(); {
		if it.Node().Kind == unstable.KeyValue {
			r.keyValue(t, it.Node())
		}
	}
	return t
}

// array gives a list and its text on one line with the elements as written.
func (r *tomlReader) array(e *unstable.Node) (Value, string) {
	list := []Value{}
	var texts []string
	for it := e.Children(); it.Next(); {
		c := it.Node()
		switch c.Kind {
		case unstable.Comment:
			continue
		case unstable.Array:
			v, text := r.array(c)
			list, texts = append(list, v), append(texts, text)
		case unstable.InlineTable:
			m := r.inlineTable(c).content()
			list, texts = append(list, m), append(texts, renderTOML(m))
		default:
			list, texts = append(list, tomlScalar(c)), append(texts, string(r.p.Raw(c.Raw)))
		}
	}
	return list, "[" + strings.Join(texts, ", ") + "]"
}

func tomlScalar(e *unstable.Node) Value {
	text := string(e.Data)
	switch e.Kind {
	case unstable.Bool:
		return text == "true"
	case unstable.Integer:
		text = strings.ReplaceAll(text, "_", "")
		base := 10
		if len(text) > 2 && text[0] == '0' {
			switch text[1] {
			case 'x':
				base = 16
			case 'o':
				base = 8
			case 'b':
				base = 2
			}
		}
		if base != 10 {
			text = text[2:]
		}
		n, _ := parseIntBase(strings.TrimPrefix(text, "+"), base)
		return n
	case unstable.Float:
		if strings.HasSuffix(text, "nan") {
			return Float(math.NaN())
		}
		f, _ := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
		return Float(f)
	case unstable.LocalDate, unstable.LocalDateTime, unstable.DateTime:
		return Timestamp{tomlTime(text)}
	}
	return text
}

// tomlTime spells a TOML date as Python's str() does: a blank before the time,
// six digits for a fraction of a second, +00:00 for Z.
func tomlTime(text string) string {
	if len(text) <= 10 {
		return text
	}
	date, clock := text[:10], text[11:]
	zone := ""
	if i := strings.IndexAny(clock, "Zz+-"); i >= 0 {
		clock, zone = clock[:i], clock[i:]
		if zone == "Z" || zone == "z" {
			zone = "+00:00"
		}
	}
	if len(clock) == 5 {
		clock += ":00"
	}
	if whole, fraction, ok := strings.Cut(clock, "."); ok {
		clock = whole
		if fraction = (fraction + "000000")[:6]; fraction != "000000" {
			clock += "." + fraction
		}
	}
	return date + " " + clock + zone
}
