package dvcfile

import (
	"path"
	"strconv"
	"strings"

	"ctrx/internal/errs"
)

// ApplyOverrides changes a params file and gives its new bytes, as DVC writes
// them: YAML keeps comments and the spelling of what did not change, JSON
// becomes one line, in TOML and Python only the text of the changed values
// changes. data is nil for a file that does not exist yet.
//
// Strings with ${} are resolved against the same file, in the whole file, as
// DVC does. Errors about keys are errs.Usage and name the nearest key.
func ApplyOverrides(file string, data []byte, ovs []Override) ([]byte, error) {
	content := &Map{}
	if data != nil {
		var err error
		if content, err = ReadParams(file, data); err != nil {
			return nil, err
		}
	}
	a := &applier{file: file, root: content.Clone(), set: map[string]bool{}}
	for _, o := range ovs {
		if err := a.apply(o); err != nil {
			return nil, err
		}
	}
	resolved, err := resolveReferences(file, a.root)
	if err != nil {
		return nil, err
	}
	switch strings.ToLower(path.Ext(file)) {
	case ".json":
		return JSON(resolved), nil
	case ".toml":
		return editTOML(file, data, resolved)
	case ".py":
		return editPython(file, data, resolved)
	}
	doc, err := ParseDocument(file, data)
	if err != nil {
		return nil, err
	}
	doc.Update(resolved, a.isNew)
	return doc.Encode(), nil
}

// applier applies overrides to the content of a params file.
type applier struct {
	file string
	root *Map
	set  map[string]bool // paths that were set, segments joined by NUL
}

func pathKey(path []string) string { return strings.Join(path, "\x00") }

func (a *applier) mark(path []string) { a.set[pathKey(path)] = true }

// isNew tells whether a path or one above it was set.
func (a *applier) isNew(path []string) bool {
	for n := 1; n <= len(path); n++ {
		if a.set[pathKey(path[:n])] {
			return true
		}
	}
	return false
}

// child gives one level of a value. Only string keys can be named.
func child(v Value, segment string) (Value, bool) {
	switch v := v.(type) {
	case *Map:
		if e, ok := v.Get(segment); ok {
			_, isString := v.KeyValue(segment).(string)
			return e, isString
		}
	case []Value:
		if i, err := strconv.Atoi(segment); err == nil && i >= 0 && i < len(v) {
			return v[i], true
		}
	}
	return nil, false
}

// put sets one level of a container in place.
func put(v Value, segment string, e Value) bool {
	switch v := v.(type) {
	case *Map:
		v.Set(segment, e)
		return true
	case []Value:
		i, err := strconv.Atoi(segment)
		if err != nil || i < 0 || i >= len(v) {
			return false
		}
		v[i] = e
		return true
	}
	return false
}

func container(v Value) bool {
	switch v.(type) {
	case *Map, []Value:
		return true
	}
	return false
}

// find gives the value at a path; null counts as missing, as in OmegaConf.
func (a *applier) find(path []string) (Value, bool) {
	var v Value = a.root
	for _, segment := range path {
		e, ok := child(v, segment)
		if !ok {
			return nil, false
		}
		v = e
	}
	return v, v != nil
}

func (a *applier) apply(o Override) error {
	if o.hasPackage {
		return errs.New(errs.Usage, "Override %s looks like a config group override, but config group '%s' does not exist.", o.Input, o.Key)
	}
	path := strings.Split(o.Key, ".")
	switch o.Op {
	case OpDelete:
		return a.remove(o, path)
	case OpAdd:
		if _, there := a.find(path); there && !container(o.Value) {
			return errs.Hint(a.fail("Could not append to config. An item is already at '%s' in %s.", o.Key, a.file),
				"write %s to change it, or +%s to add or change it", strings.TrimPrefix(o.Input, "+"), o.Input)
		}
	}
	return a.update(o, path)
}

func (a *applier) fail(format string, args ...any) error {
	return errs.New(errs.Usage, "invalid --set-param value: "+format, args...)
}

// unknown is the error about a key that does not exist.
func (a *applier) unknown(o Override, key string) error {
	err := a.fail("Could not override '%s'. %s has no such key.", key, a.file)
	add := "to add it use -S +" + o.Input
	if o.File != DefaultParamsFile {
		add = "to add it use -S " + o.File + ":+" + o.Input
	}
	if near := nearest(key, dottedKeys(a.root)); near != "" {
		return errs.Hint(err, "did you mean '%s'? %s", near, add)
	}
	return errs.Hint(err, "%s", add)
}

func (a *applier) remove(o Override, path []string) error {
	old, ok := a.find(path)
	if !ok || o.Key == "" {
		err := a.fail("Could not delete from config. '%s' does not exist in %s.", o.Key, a.file)
		if near := nearest(o.Key, dottedKeys(a.root)); near != "" {
			return errs.Hint(err, "did you mean '%s'?", near)
		}
		return err
	}
	if o.HasValue && o.Value != nil && !Equal(old, o.Value) {
		return a.fail("Could not delete from config. The value of '%s' is %s and not %s.", o.Key, PyStr(old), PyStr(o.Value))
	}
	last := len(path) - 1
	var parent Value = a.root
	if last > 0 {
		parent, _ = a.find(path[:last])
	}
	m, ok := parent.(*Map)
	if !ok {
		return errs.Hint(a.fail("'%s' is an item of a list, and items cannot be deleted one by one.", o.Key),
			"set the whole list: %s=[...]", strings.Join(path[:last], "."))
	}
	m.Delete(path[last])
	return nil
}

// update walks to the parent of the key, making mappings on the way where the
// operator allows it, and sets or merges the value.
func (a *applier) update(o Override, path []string) error {
	force := o.Op != OpSet
	last := len(path) - 1
	var parent Value = a.root
	for i, segment := range path[:last] {
		next, there := child(parent, segment)
		if !container(next) {
			if !force {
				return a.unknown(o, o.Key)
			}
			made := &Map{}
			if _, isList := parent.([]Value); isList && !there {
				return a.fail("'%s' is a list, it has no item '%s'.", strings.Join(path[:i], "."), segment)
			}
			put(parent, segment, made)
			a.mark(path[:i+1])
			next = made
		}
		parent = next
	}
	old, there := child(parent, path[last])
	if list, isList := parent.([]Value); isList && !there {
		return a.fail("'%s' is a list of %d items, it has no item '%s'.", strings.Join(path[:last], "."), len(list), path[last])
	}
	if !there && !force {
		return a.unknown(o, o.Key)
	}
	if container(o.Value) && container(old) {
		merged, err := a.merge(o, old, o.Value, path, force)
		if err != nil {
			return err
		}
		put(parent, path[last], merged)
		return nil
	}
	if err := a.checkKeys(o, o.Value); err != nil {
		return err
	}
	put(parent, path[last], Clone(o.Value))
	a.mark(path)
	return nil
}

// merge puts a mapping into a mapping, or a list in place of a list.
func (a *applier) merge(o Override, old, v Value, path []string, force bool) (Value, error) {
	into, okOld := old.(*Map)
	from, okNew := v.(*Map)
	if okOld != okNew {
		return nil, a.fail("Error merging override %s: '%s' is %s in %s, the new value is %s.",
			o.Input, strings.Join(path, "."), typeName(old), a.file, typeName(v))
	}
	if !okNew {
		a.mark(path)
		return Clone(v), a.checkKeys(o, v)
	}
	for i := range from.Len() {
		name, e := from.At(i)
		key := from.KeyValue(name)
		if err := a.checkKey(o, key); err != nil {
			return nil, err
		}
		below := append(append([]string(nil), path...), name)
		was, there := into.Get(name)
		if !there && !force {
			return nil, a.unknown(o, strings.Join(below, "."))
		}
		if container(was) && container(e) {
			merged, err := a.merge(o, was, e, below, force)
			if err != nil {
				return nil, err
			}
			into.SetKey(key, merged)
			continue
		}
		if err := a.checkKeys(o, e); err != nil {
			return nil, err
		}
		into.SetKey(key, Clone(e))
		a.mark(below)
	}
	return into, nil
}

// checkKeys refuses mappings with a null key anywhere in a value.
func (a *applier) checkKeys(o Override, v Value) error {
	switch v := v.(type) {
	case []Value:
		for _, e := range v {
			if err := a.checkKeys(o, e); err != nil {
				return err
			}
		}
	case *Map:
		for i := range v.Len() {
			name, e := v.At(i)
			if err := a.checkKey(o, v.KeyValue(name)); err != nil {
				return err
			}
			if err := a.checkKeys(o, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *applier) checkKey(o Override, key Value) error {
	if key == nil {
		return a.fail("Error merging override %s: null cannot be a key.", o.Input)
	}
	return nil
}
