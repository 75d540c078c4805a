package dvcfile

import (
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// editTOML puts new values into a TOML file. Values that stay keep their
// spelling and their comments; lists are written on one line, as DVC does.
func editTOML(file string, data []byte, now *Map) ([]byte, error) {
	if data == nil {
		data = []byte{}
	}
	root, err := readTOML(file, data)
	if err != nil {
		return nil, err
	}
	e := &tomlEditor{file: file, textEdits: textEdits{data: data}}
	if err := e.table(root, now, nil); err != nil {
		return nil, err
	}
	out := e.apply()
	// What was written is read back: an edit must never break the file.
	if _, err := readTOML(file, out); err != nil {
		return nil, errs.New(errs.Usage, "cannot make this change in %s in place: %w", file, err)
	}
	return out, nil
}

type tomlEditor struct {
	textEdits
	file string
}

func (e *tomlEditor) line(at int) (start, end int) {
	r := tomlReader{data: e.data}
	return r.lineStart(at), r.lineEnd(at)
}

func (e *tomlEditor) table(t *tomlTable, now *Map, path []string) error {
	for _, key := range t.keys {
		if _, keep := now.Get(key); !keep {
			e.remove(t, t.nodes[key])
		}
	}
	for i := range now.Len() {
		key, v := now.At(i)
		at := append(path[:len(path):len(path)], key)
		if hasNull(v) {
			return errs.New(errs.Usage, "cannot set '%s' to null in %s: TOML has no null; delete the key with ~", strings.Join(at, "."), e.file)
		}
		n := t.nodes[key]
		m, isMap := v.(*Map)
		switch {
		case n == nil:
			e.add(t, key, v, at)
		case n.table != nil && isMap:
			if err := e.table(n.table, m, at); err != nil {
				return err
			}
		case n.array != nil:
			if PyRepr(n.content()) != PyRepr(v) {
				return errs.New(errs.Usage, "cannot change the array of tables '%s' in %s", strings.Join(at, "."), e.file)
			}
		case n.table != nil && t.inline:
			e.remove(t, n)
			e.add(t, key, v, at)
		case n.table != nil:
			e.remove(t, n)
			end, _ := e.bodyEnd(t)
			e.replace(end, end, e.lineBreak(end)+tomlKey(key)+" = "+renderTOML(v)+"\n")
		case isMap && !t.inline && t.prefix == "":
			e.remove(t, n)
			e.addBefore(t, at, m)
		case n.elements != "" && PyRepr(n.value) == PyRepr(v):
			if !allMaps(n.value.([]Value)) {
				e.replace(n.start, n.end, n.elements)
			}
		case PyRepr(n.value) != PyRepr(v):
			e.replace(n.start, n.end, renderTOML(v))
		}
	}
	return nil
}

// hasNull tells whether null stands anywhere in a value.
func hasNull(v Value) bool {
	switch v := v.(type) {
	case nil:
		return true
	case []Value:
		return slices.ContainsFunc(v, hasNull)
	case *Map:
		return slices.ContainsFunc(v.values, hasNull)
	}
	return false
}

// allMaps tells whether a list has mappings only; such lists stay as they are.
func allMaps(list []Value) bool {
	for _, v := range list {
		if _, ok := v.(*Map); !ok {
			return false
		}
	}
	return len(list) > 0
}

// remove takes the lines of a key, or of a table and all below it.
func (e *tomlEditor) remove(t *tomlTable, n *tomlNode) {
	switch {
	case n.array != nil:
		for _, item := range n.array {
			e.removeTable(item, false)
		}
	case n.table != nil && !n.table.inline:
		e.removeTable(n.table, false)
	case t.inline:
		e.removeInline(t, n)
	default:
		start, _ := e.line(n.line)
		_, end := e.line(n.end)
		e.replace(start, end, "")
	}
}

// removeTable takes a [table] from its header up to the next one, comments
// included. inside tells that the lines of its own keys are gone already.
func (e *tomlEditor) removeTable(t *tomlTable, inside bool) {
	if t.header >= 0 {
		e.replace(t.header, e.nextHeader(t.body), "")
		inside = true
	}
	for _, k := range t.keys {
		n := t.nodes[k]
		switch {
		case n.table != nil && !n.table.inline:
			e.removeTable(n.table, inside && n.table.header < 0)
		case n.array != nil || !inside:
			e.remove(t, n)
		}
	}
}

// nextHeader is where the next [header] behind a table's last key begins.
func (e *tomlEditor) nextHeader(at int) int {
	for at < len(e.data) {
		_, end := e.line(at)
		if strings.HasPrefix(strings.TrimSpace(string(e.data[at:end])), "[") {
			break
		}
		at = end
	}
	return at
}

// removeInline takes a key out of { }, with the comma beside it.
func (e *tomlEditor) removeInline(t *tomlTable, n *tomlNode) {
	start, end := n.key, n.end
	rest := string(e.data[end:t.brace])
	if i := strings.IndexByte(rest, ','); i >= 0 && strings.TrimSpace(rest[:i]) == "" {
		end += i + 1
	} else {
		before := strings.TrimRight(string(e.data[:start]), " \t\r\n")
		if strings.HasSuffix(before, ",") {
			start = len(before) - 1
		}
	}
	e.replace(start, end, "")
}

// add writes a new key: into { } before the brace, a mapping as a table of its
// own at the end of its parent, anything else behind the keys of its table.
func (e *tomlEditor) add(t *tomlTable, key string, v Value, path []string) {
	m, isMap := v.(*Map)
	text := tomlKey(key) + " = " + renderTOML(v)
	switch {
	case t.inline:
		sep := ", "
		if len(t.keys) == 0 {
			sep = ""
		}
		at := t.brace
		for at > 0 && e.data[at-1] == ' ' {
			at--
		}
		e.replace(at, at, sep+text)
	case t.prefix != "" && t.header < 0:
		e.replace(t.body, t.body, e.lineBreak(t.body)+t.prefix+text+"\n")
	case isMap:
		end := t.last()
		e.replace(end, end, e.lineBreak(end)+e.blankBefore(end)+newTables(path, m))
	default:
		at, gap := e.bodyEnd(t)
		e.replace(at, at, e.lineBreak(at)+text+"\n"+gap)
	}
}

// addBefore writes a mapping that takes the place of a plain value: as a table
// between the keys of its parent and the parent's other tables.
func (e *tomlEditor) addBefore(t *tomlTable, path []string, m *Map) {
	end, _ := e.bodyEnd(t)
	text := e.lineBreak(end) + newTables(path, m)
	if end < len(e.data) {
		text += "\n"
	}
	e.replace(end, end, text)
}

// bodyEnd is where a new key of a table goes, and the blank line that DVC
// then leaves before a table inside this one.
func (e *tomlEditor) bodyEnd(t *tomlTable) (at int, gap string) {
	if first := t.firstTable(); first >= 0 {
		at = len(strings.TrimRight(string(e.data[:first]), " \t\r\n"))
		if at > 0 {
			_, at = e.line(at)
		}
		if at < t.body {
			at = t.body
		}
		if at >= first {
			return first, "\n"
		}
		return at, ""
	}
	return e.nextHeader(t.body), ""
}

// firstTable is the offset of the first header below this table, or -1.
func (t *tomlTable) firstTable() int {
	first := -1
	consider := func(at int) {
		if at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	for _, k := range t.keys {
		n := t.nodes[k]
		tables := n.array
		if n.table != nil && !n.table.inline {
			tables = append(tables, n.table)
		}
		for _, sub := range tables {
			consider(sub.header)
			consider(sub.firstTable())
		}
	}
	return first
}

// last is the end of a table and of all tables below it.
func (t *tomlTable) last() int {
	end := t.body
	for _, k := range t.keys {
		n := t.nodes[k]
		tables := n.array
		if n.table != nil && !n.table.inline {
			tables = append(tables, n.table)
		}
		for _, sub := range tables {
			end = max(end, sub.last())
		}
	}
	return end
}

// lineBreak ends an unfinished last line before something new.
func (e *tomlEditor) lineBreak(at int) string {
	if at > 0 && e.data[at-1] != '\n' {
		return "\n"
	}
	return ""
}

// blankBefore separates a new table from what stands before it.
func (e *tomlEditor) blankBefore(at int) string {
	text := string(e.data[:at])
	if strings.TrimSpace(text) == "" || strings.HasSuffix(text, "\n\n") || !strings.HasSuffix(text, "\n") {
		return ""
	}
	return "\n"
}

// newTables writes a mapping as [a.b] with its own keys first.
func newTables(path []string, m *Map) string {
	parts := make([]string, len(path))
	for i, p := range path {
		parts[i] = tomlKey(p)
	}
	var own, below strings.Builder
	for i := range m.Len() {
		key, v := m.At(i)
		if sub, ok := v.(*Map); ok {
			below.WriteString("\n" + newTables(append(path[:len(path):len(path)], key), sub))
			continue
		}
		own.WriteString(tomlKey(key) + " = " + renderTOML(v) + "\n")
	}
	header := "[" + strings.Join(parts, ".") + "]\n"
	if own.Len() == 0 && below.Len() > 0 {
		return strings.TrimPrefix(below.String(), "\n")
	}
	return header + own.String() + below.String()
}
