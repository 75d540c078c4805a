package dvcfile

import (
	"bytes"
	"slices"

	"ctrx/internal/errs"
)

// lockSchema is the one version of dvc.lock that DVC 3 reads and writes.
const lockSchema = "2.0"

// Lock is a dvc.lock file open for reading and updating. What an update does
// not touch (datasets, stages that dvc.yaml no longer has, comments) stays.
type Lock struct {
	doc    *Document
	stages map[string]*StageLock
	index  map[string]int    // stage name -> place of its value among the items of the stages mapping
	chunks map[*ynode][]byte // written stages, by the node of their value
	shared bool              // a stage needs an anchor, so stages cannot be written one by one
	fresh  []string          // stages set since the last Encode
}

// ParseLock reads a dvc.lock. Empty data gives a new lock without stages.
// Errors are errs.ProjectFile with file:line:col.
func ParseLock(file string, data []byte) (*Lock, error) {
	if err := findConflict(file, data); err != nil {
		return nil, err
	}
	doc, node, err := parseDocument(file, data)
	if err != nil {
		return nil, err
	}
	l := &Lock{doc: doc, stages: map[string]*StageLock{}, chunks: map[*ynode][]byte{}}
	top, ok := node.Map()
	switch {
	case node.Value == nil || ok && top.Len() == 0:
		return l, nil
	case !ok:
		return nil, errs.At(node.Pos, "a lock file is a mapping, not %s", kindName(node.Value))
	}
	schema, found := top.Get("schema")
	if !found {
		return nil, errs.Hint(errs.At(node.Pos, "the lock file has no schema; it is from DVC 1 or not a lock file"),
			"delete %s and run the pipeline again", file)
	}
	if schema != lockSchema {
		return nil, errs.At(node.Get("schema").Pos, "the lock file has schema %s; only '%s' is known", PyRepr(schema), lockSchema)
	}
	for i, kn := range node.Keys {
		switch kn.Value {
		case "schema", "datasets":
		case "stages":
			if err := l.parseStages(node.Items[i]); err != nil {
				return nil, err
			}
		default:
			return nil, unknownKey(kn, []string{"schema", "datasets", "stages"})
		}
	}
	return l, nil
}

// findConflict refuses a file in which Git left a merge conflict.
func findConflict(file string, data []byte) error {
	line := 1
	for rest := data; len(rest) > 0; line++ {
		if bytes.HasPrefix(rest, []byte("<<<<<<< ")) || bytes.HasPrefix(rest, []byte(">>>>>>> ")) {
			return errs.Hint(errs.At(errs.NewText(file, data).At(line, 1), "the file has unresolved merge conflicts"),
				"git checkout --theirs %s", file)
		}
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
	}
	return nil
}

func (l *Lock) parseStages(n *Node) error {
	if _, ok := n.Map(); !ok {
		return errs.At(n.Pos, "stages must be a mapping, not %s", kindName(n.Value))
	}
	for i, kn := range n.Keys {
		name, err := wantString(kn, "the name of a stage")
		if err != nil {
			return err
		}
		s, err := parseStageLock(n.Items[i])
		if err != nil {
			return err
		}
		l.stages[name] = s
	}
	return nil
}

// Names gives the stages in the order of the file.
func (l *Lock) Names() []string {
	n := l.stagesNode()
	if n == nil {
		return nil
	}
	var names []string
	for i := 0; i+1 < len(n.items); i += 2 {
		if name, ok := keyOf(n.items[i]).(string); ok && !n.items[i].isMerge() {
			names = append(names, name)
		}
	}
	return names
}

// stagesNode is the mapping of the stages, or nil.
func (l *Lock) stagesNode() *ynode {
	root := l.doc.root.real()
	if root.kind != yMap {
		return nil
	}
	at := root.find("stages")
	if at < 0 {
		return nil
	}
	if n := root.open(at).real(); n.kind == yMap {
		return n
	}
	return nil
}

// Stage gives the recorded entry of a stage. The caller must not change it.
func (l *Lock) Stage(name string) (*StageLock, bool) {
	s, ok := l.stages[name]
	return s, ok
}

// Datasets gives the datasets list of the lock, or nil.
func (l *Lock) Datasets() Value {
	m, ok := l.doc.Value().(*Map)
	if !ok {
		return nil
	}
	v, _ := m.Get("datasets")
	return v
}

// SetStage records a stage: in place where it is there, else at the end. It
// reports whether the entry differs from the one before; also where it does
// not, its text becomes what DVC would write.
func (l *Lock) SetStage(name string, s *StageLock) (changed bool) {
	value := s.Value()
	old, ok := l.stages[name]
	changed = !ok || !Equal(old.Value(), value)
	l.stages[name] = s
	l.fresh = append(l.fresh, name)
	if root := l.doc.root.real(); root.kind != yMap || len(root.items) == 0 {
		l.doc.root = openNode(NewMap("schema", lockSchema, "stages", &Map{}))
	}
	n := l.stagesNode()
	if n == nil {
		// the only errors are about lists where mappings should be, and ParseLock
		// has refused those
		_ = l.doc.Set(value, "stages", name)
		l.index = nil
		return changed
	}
	at := l.place(n, name)
	if at >= 0 {
		delete(l.chunks, n.items[at])
	}
	n.put(name, at, value)
	if at < 0 {
		l.index[name] = len(n.items) - 1
	}
	return changed
}

// SetStageBefore is SetStage that puts a stage which is not there yet before
// another one, so that stages that end in any order stand in the order of the
// plan. Where before is not there either, the stage goes to the end.
func (l *Lock) SetStageBefore(name, before string, s *StageLock) (changed bool) {
	known := l.stages[name] != nil
	changed = l.SetStage(name, s)
	n := l.stagesNode()
	if known || n == nil || before == name {
		return changed
	}
	to, from := l.place(n, before)-1, len(n.items)-2
	if to < 0 || to >= from {
		return changed
	}
	key, value := n.items[from], n.items[from+1]
	n.items = slices.Insert(n.items[:from], to, key, value)
	if at := to / 2; len(n.entries) == len(n.items)/2 {
		last := len(n.entries) - 1
		n.entries = slices.Insert(n.entries[:last], at, n.entries[last])
	}
	l.index = nil
	return changed
}

// place is find with an index: a run of a large pipeline sets every stage.
func (l *Lock) place(n *ynode, name string) int {
	if l.index == nil {
		l.index = make(map[string]int, len(n.items)/2)
		for i := 0; i+1 < len(n.items); i += 2 {
			if key, ok := keyOf(n.items[i]).(string); ok && !n.items[i].isMerge() {
				l.index[key] = i + 1
			}
		}
	}
	if at, ok := l.index[name]; ok {
		return at
	}
	return -1
}

// RemoveStage drops a stage; a missing one is no error.
func (l *Lock) RemoveStage(name string) {
	delete(l.stages, name)
	l.index = nil
	l.doc.Delete("stages", name)
}

// Encode gives the whole file as DVC would write it. It is fast to call after
// every stage: only changed stages are written anew.
func (l *Lock) Encode() []byte {
	out := l.encode()
	l.settle()
	return out
}

func (l *Lock) encode() []byte {
	stages := l.stagesNode()
	if stages == nil || stages.flow || l.doc.root.real().flow || l.doc.anchored || l.shared {
		return l.doc.Encode()
	}
	r := treeRepresenter{made: map[*ynode]*enode{}, chunked: stages, chunks: l.chunks}
	n := r.node(l.doc.root)
	if r.shared {
		l.shared = true
		return l.doc.Encode()
	}
	const rest = 1 << 10 // what is not stages is small
	return emitSized(n, r.size+rest)
}

// settle makes the stages that were just written what they are read back as:
// DVC reads the file again for every stage, and where folding lost a blank it
// writes the shorter text the next time.
func (l *Lock) settle() {
	n := l.stagesNode()
	for _, name := range l.fresh {
		at := -1
		if n != nil {
			at = l.place(n, name)
		}
		if at < 0 || n.items[at].kind != yPlain {
			continue
		}
		value := n.items[at].value
		if back := recorded(value, "stages", name); PyRepr(back) != PyRepr(value) {
			n.items[at] = plainNode(back)
		}
	}
	l.fresh = nil
}

// SameCommand tells whether the command that a lock holds for a stage is the one
// that it has now, but for blanks that were lost when the lock folded them.
func SameCommand(stage string, held, now Value) bool {
	for {
		if Equal(held, now) {
			return true
		}
		m, _ := recorded(NewMap("cmd", now), "stages", stage).(*Map)
		next, _ := m.Get("cmd")
		if Equal(next, now) {
			return false
		}
		now = next
	}
}
