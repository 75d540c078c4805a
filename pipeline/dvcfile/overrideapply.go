package dvcfile

import (
	"path"
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
func ApplyOverrides(file string, data []byte, ovs []Override, env Surroundings) ([]byte, error) {
	content := &Map{}
	if data != nil {
		var err error
		if content, err = ReadParams(file, data); err != nil {
			return nil, err
		}
	}
	fail := func(err error) error {
		return errs.New(errs.Usage, "invalid --set-param value: %s: %w", file, err)
	}
	c := NewConfig(env)
	root, err := c.nodeOf(content, nil, nil)
	if err != nil {
		return nil, fail(err)
	}
	c.root, c.closed, c.marks = root, true, map[string]bool{}
	for _, o := range ovs {
		if err := c.Override(o); err != nil {
			return nil, fail(err)
		}
	}
	v, err := c.object(c.root)
	if err != nil {
		return nil, fail(err)
	}
	resolved := v.(*Map)
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
	doc.Update(resolved, c.isNew)
	return readable(file, doc.Encode())
}

// readable gives out, the new text of a YAML file, or an error when it would
// not read back: where a comment follows the key of what became empty, DVC's
// layout puts "{}" in a place where YAML has none, and DVC leaves such a file.
func readable(file string, out []byte) ([]byte, error) {
	if _, err := ReadParams(file, out); err != nil {
		return nil, errs.Hint(errs.New(errs.Usage, "%s stays as it is: with this change, written as DVC writes it, it would be unreadable: %w", file, err),
			"remove the comment between the changed key and its value from %s, then run this again", file)
	}
	return out, nil
}

func pathKey(path []string) string { return strings.Join(path, "\x00") }

// mark remembers that a node was set by an override.
func (c *Config) mark(n *cnode) {
	if c.marks == nil {
		return
	}
	var path []string
	for ; n.parent != nil; n = n.parent {
		path = append([]string{PyStr(n.key)}, path...)
	}
	c.marks[pathKey(path)] = true
}

// isNew tells whether a path or one above it was set by an override.
func (c *Config) isNew(path []string) bool {
	for n := 1; n <= len(path); n++ {
		if c.marks[pathKey(path[:n])] {
			return true
		}
	}
	return false
}

// container tells whether a value is a mapping or a list.
func container(v Value) bool {
	switch v.(type) {
	case *Map, []Value:
		return true
	}
	return false
}
