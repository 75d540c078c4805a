package dvcfile

import (
	"strings"
	"unicode/utf8"

	"ctrx/storage"
)

// ReadLock gives what a dvc.lock records of each stage: ParseLock for those who
// only look. A file of the form that DVC and ctrx write is read line by line,
// in a tenth of the time; a stage that has another form goes to the YAML
// reader, and where that finds anything unusual the whole file does.
func ReadLock(file string, data []byte) (map[string]*StageLock, error) {
	r := lockReader{rest: string(data)}
	if r.file() {
		return r.stages, nil
	}
	l, err := ParseLock(file, data)
	if err != nil {
		return nil, err
	}
	return l.stages, nil
}

// lockReader reads a dvc.lock line by line. Its methods give false where the
// text is not of the form they know; that is no verdict about it.
type lockReader struct {
	rest   string // behind the line at hand
	line   string // the line at hand, without blanks before it
	indent int    // how many blanks; -1 behind the last line
	start  string // the line at hand and the rest
	stages map[string]*StageLock
}

// Columns of what DVC writes: stages stand at 2, their fields at 4, lists at
// the column of the field, params files at 6, parameters at 8.
const (
	stageColumn = 2
	fieldColumn = 4
	fileColumn  = 6
	paramColumn = 8
)

func (r *lockReader) next() {
	r.start = r.rest
	if r.rest == "" {
		r.line, r.indent = "", -1
		return
	}
	line, rest, _ := strings.Cut(r.rest, "\n")
	n := 0
	for n < len(line) && line[n] == ' ' {
		n++
	}
	r.line, r.indent, r.rest = line[n:], n, rest
}

func (r *lockReader) file() bool {
	body, ok := strings.CutPrefix(r.rest, "schema: '"+lockSchema+"'\nstages:\n")
	if !ok || !plainBytes(body) {
		return false
	}
	r.rest = body
	r.stages = make(map[string]*StageLock, strings.Count(body, "\n    cmd:"))
	for r.next(); r.indent >= 0; {
		name, ok := strings.CutSuffix(r.line, ":")
		if !ok || r.indent != stageColumn {
			return false
		}
		if name, ok = keyText(name); !ok || r.stages[name] != nil {
			return false
		}
		from := r.start
		r.next()
		s := &StageLock{}
		if !r.stage(s) || s.Cmd == nil {
			if s = r.unusual(from); s == nil {
				return false
			}
		}
		r.stages[name] = s
	}
	return len(r.stages) > 0
}

// plainBytes refuses control characters, tabs, and line ends other than \n.
func plainBytes(s string) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f || c == '\n' {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0xfe00 && r < 0x10000 {
			return false
		}
		i += n
	}
	return true
}

// unusual reads the stage whose text begins at from with the YAML reader. It
// gives nil where that fails: an error is to be about the whole file.
func (r *lockReader) unusual(from string) *StageLock {
	for r.indent > stageColumn || r.indent >= 0 && r.line == "" {
		r.next()
	}
	n, err := ParseYAMLNode("", []byte(from[:len(from)-len(r.start)]))
	if err != nil || len(n.Items) != 1 || len(n.Keys) != 1 {
		return nil
	}
	s, err := parseStageLock(n.Items[0])
	if err != nil {
		return nil
	}
	return s
}

// stage reads the fields of a stage up to the next one.
func (r *lockReader) stage(s *StageLock) bool {
	for r.indent > stageColumn {
		field, value, ok := strings.Cut(r.line, ":")
		if !ok || r.indent != fieldColumn {
			return false
		}
		ok = false
		switch {
		case field == "cmd" && s.Cmd == nil && value == "":
			ok = r.commands(s)
		case field == "cmd" && s.Cmd == nil:
			var text string
			if text, ok = r.folded(value); ok {
				s.Cmd = text
			}
		case field == "deps" && s.Deps == nil && value == "":
			s.Deps, ok = r.entries()
		case field == "outs" && s.Outs == nil && value == "":
			s.Outs, ok = r.entries()
		case field == "params" && s.Params == nil && value == "":
			ok = r.params(s)
		}
		if !ok {
			return false
		}
	}
	return true
}

// folded reads a text, of which value is on the line at hand, with the lines
// that it was broken into.
func (r *lockReader) folded(value string) (string, bool) {
	text, ok := strings.CutPrefix(value, " ")
	if !ok {
		return "", false
	}
	if text, ok = textOf(strings.TrimRight(text, " ")); !ok {
		return "", false
	}
	quoted := strings.HasPrefix(value, " '")
	r.next()
	if r.indent <= fieldColumn {
		return text, true
	}
	var b strings.Builder
	b.WriteString(text)
	for ; r.indent > fieldColumn; r.next() {
		more := strings.TrimRight(r.line, " ")
		if quoted || more == "" || more[0] == '#' || !plainRest(more) {
			return "", false
		}
		b.WriteByte(' ')
		b.WriteString(more)
	}
	return b.String(), true
}

func (r *lockReader) commands(s *StageLock) bool {
	var list []Value
	r.next()
	for r.indent == fieldColumn {
		value, ok := strings.CutPrefix(r.line, "-")
		if !ok {
			break
		}
		text, ok := r.folded(value)
		if !ok {
			return false
		}
		list = append(list, text)
	}
	s.Cmd = list
	return list != nil
}

// entries reads the list of a field.
func (r *lockReader) entries() ([]Entry, bool) {
	var list []Entry
	r.next()
	for r.indent == fieldColumn && strings.HasPrefix(r.line, "- ") {
		var e Entry
		r.line = r.line[2:]
		for {
			key, value, ok := strings.Cut(r.line, ": ")
			if !ok || !e.setText(key, value) {
				return nil, false
			}
			r.next()
			if r.indent <= fieldColumn {
				break
			}
			if r.indent != fieldColumn+2 {
				return nil, false
			}
		}
		if e.Path == "" {
			return nil, false
		}
		list = append(list, e)
	}
	return list, list != nil
}

// setText is set for a value that stands on one line; false also where the key
// was there before.
func (e *Entry) setText(key, value string) (ok bool) {
	switch key {
	case "path":
		if e.Path != "" {
			return false
		}
		e.Path, ok = textOf(value)
		return ok
	case "hash":
		if e.Hash != "" {
			return false
		}
		e.Hash, ok = textOf(value)
		return ok && e.Hash != ""
	case "md5":
		if e.Digest != "" {
			return false
		}
		text, ok := textOf(value)
		e.Digest = storage.Digest(strings.ToLower(text))
		return ok && e.Digest.Valid()
	case "size":
		if e.HasSize {
			return false
		}
		e.HasSize = true
		e.Meta.Size, ok = countOf(value)
		return ok
	case "nfiles":
		if e.HasNFiles {
			return false
		}
		e.HasNFiles = true
		n, ok := countOf(value)
		e.Meta.NFiles = int(n)
		return ok && n <= 1<<30
	case "isexec":
		if e.Meta.IsExec || value != "true" {
			return false
		}
		e.Meta.IsExec = true
		return true
	}
	return false
}

// params reads the parameters of a stage, as far as they are scalars.
func (r *lockReader) params(s *StageLock) bool {
	s.Params = &Map{}
	r.next()
	for r.indent == fileColumn {
		file, ok := strings.CutSuffix(r.line, ":")
		if !ok {
			return false
		}
		if file, ok = keyText(file); !ok {
			return false
		}
		if _, twice := s.Params.Get(file); twice {
			return false
		}
		keys := &Map{}
		s.Params.Set(file, keys)
		r.next()
		for r.indent == paramColumn {
			key, value, ok := strings.Cut(r.line, ": ")
			if !ok {
				return false
			}
			if key, ok = keyText(key); !ok {
				return false
			}
			v, ok := scalarOf(value)
			if _, twice := keys.Get(key); twice || !ok {
				return false
			}
			keys.Set(key, v)
			r.next()
		}
		if keys.Len() == 0 {
			return false
		}
	}
	return s.Params.Len() > 0 && r.indent <= fieldColumn
}

// keyText is textOf for a key, which must not be long.
func keyText(s string) (string, bool) {
	if len(s) > maxSimpleKey/2 {
		return "", false
	}
	return textOf(s)
}

// textOf reads a scalar that fills its line and is a text.
func textOf(s string) (string, bool) {
	if s == "" || len(s) > 1 && s[0] == '\'' {
		return unquoted(s)
	}
	return s, plainBegin(s[0]) && plainRest(s) && resolvePlain(s) == tagStr
}

// scalarOf reads a scalar of any kind that fills its line.
func scalarOf(s string) (Value, bool) {
	if text, ok := unquoted(s); ok {
		return text, true
	}
	if s == "" || !(plainBegin(s[0]) || s[0] == '-' && len(s) > 1 && s[1] != ' ') || !plainRest(s) {
		return nil, false
	}
	v, err := (&constructor{}).scalar(&ynode{text: s})
	return v, err == nil
}

// unquoted reads a single-quoted text.
func unquoted(s string) (string, bool) {
	if len(s) < 2 || s[0] != '\'' || s[len(s)-1] != '\'' {
		return "", false
	}
	inner := s[1 : len(s)-1]
	if strings.IndexByte(inner, '\'') < 0 {
		return inner, true
	}
	text := strings.ReplaceAll(inner, "''", "\x00")
	if strings.IndexByte(text, '\'') >= 0 {
		return "", false
	}
	return strings.ReplaceAll(text, "\x00", "'"), true
}

// plainBegin tells whether a byte may begin a plain scalar wherever it stands.
func plainBegin(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
		c == '_' || c == '/' || c == '.' || c == '$' || c == '(' || c >= 0x80
}

// plainRest tells whether a plain scalar goes on to the end of the line.
func plainRest(s string) bool {
	last := s[len(s)-1]
	return last != ' ' && last != ':' && !strings.Contains(s, ": ") && !strings.Contains(s, " #")
}

// countOf reads a whole number as DVC writes it.
func countOf(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, true
}
