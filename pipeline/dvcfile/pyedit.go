package dvcfile

import (
	"cmp"
	"slices"

	"ctrx/internal/errs"
)

// editPython puts new literals into a .py params file.
func editPython(file string, data []byte, now *Map) ([]byte, error) {
	scope, err := readPython(file, data)
	if err != nil {
		return nil, err
	}
	e := &textEdits{data: data}
	if err := editPyScope(file, e, scope, now, ""); err != nil {
		return nil, err
	}
	return e.apply(), nil
}

func editPyScope(file string, e *textEdits, s *pyScope, now *Map, prefix string) error {
	cannot := func(what, key string) error {
		return errs.New(errs.Usage, "cannot %s '%s%s': in a Python file only the values of existing literals can be changed (%s)", what, prefix, key, file)
	}
	for _, old := range s.entries {
		if !now.HasKey(old.key) {
			return cannot("delete", PyStr(old.key))
		}
	}
	for i := range now.Len() {
		name, v := now.At(i)
		old := s.byKey(now.KeyValue(name))
		if old == nil {
			return cannot("add", name)
		}
		m, isMap := v.(*Map)
		switch {
		case old.scope != nil && isMap:
			if err := editPyScope(file, e, old.scope, m, prefix+name+"."); err != nil {
				return err
			}
		case old.end == 0:
			return cannot("replace the class", name)
		case PyRepr(old.content()) != PyRepr(v):
			if old.literalNumberTie(v) {
				continue
			}
			e.replace(old.start, old.end, PyRepr(v))
		}
	}
	return nil
}

// literalNumberTie is true for 1 and 1.0: DVC compares with == and leaves the
// file as it is.
func (e *pyEntry) literalNumberTie(v Value) bool { return e.scope == nil && Equal(e.value, v) }

func (s *pyScope) byKey(key Value) *pyEntry {
	for _, e := range s.entries {
		if Equal(e.key, key) {
			return e
		}
	}
	return nil
}

// textEdits collects replacements in a text, in any order, that do not
// overlap.
type textEdits struct {
	data  []byte
	edits []textEdit
}

type textEdit struct {
	start, end int
	text       string
}

func (e *textEdits) replace(start, end int, text string) {
	e.edits = append(e.edits, textEdit{start, end, text})
}

// apply gives the edited text. Edits at one place keep their order; what is put
// into a part that is taken out stands behind it.
func (e *textEdits) apply() []byte {
	slices.SortStableFunc(e.edits, func(a, b textEdit) int { return cmp.Compare(a.start, b.start) })
	var out []byte
	at := 0
	for _, edit := range e.edits {
		out = append(out, e.data[at:max(at, edit.start)]...)
		out = append(out, edit.text...)
		at = max(at, edit.end)
	}
	return append(out, e.data[at:]...)
}
