package dvcfile

import (
	"errors"
	"fmt"
	"strings"

	"ctrx/internal/errs"
)

// Override applies one override to the config. The errors about keys have
// Hydra's wording, name the nearest key in their hint and are errs.Usage.
func (c *Config) Override(o Override) error {
	if o.hasPackage {
		return errs.New(errs.Usage, "Override %s looks like a config group override, but config group '%s' does not exist.", o.Input, o.Key)
	}
	var err error
	switch o.Op {
	case OpDelete:
		err = c.remove(o)
	case OpAdd:
		var found *cnode
		found, err = c.lookUpValue(c.root, "."+o.Key, lookUp{strict: true})
		if err == nil && found != nil && !found.isMissing() && !found.isNull() && !container(o.Value) {
			return errs.Hint(errs.New(errs.Usage, "Could not append to config. An item is already at '%s'.", o.Key),
				"write %s to change it, or +%s to add or change it", strings.TrimPrefix(o.Input, "+"), o.Input)
		}
		if err == nil {
			err = c.update(o)
		}
	default:
		err = c.update(o)
	}
	var unknown *notInStruct
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return c.unknown(o, unknown.path)
	case errs.KindOf(err) == errs.Usage:
		return err
	}
	return errs.New(errs.Usage, "Error merging override %s: %w", o.Input, err)
}

// unknown is the error about a key that does not exist.
func (c *Config) unknown(o Override, path string) error {
	err := errs.New(errs.Usage, "Could not override '%s'.", o.Key)
	add := "to add it use -S +" + o.Input
	if o.File != DefaultParamsFile {
		add = "to add it use -S " + o.File + ":+" + o.Input
	}
	if near := nearest(path, dottedKeys(c.Value())); near != "" {
		return errs.Hint(err, "did you mean '%s'? %s", near, add)
	}
	return errs.Hint(err, "%s", add)
}

func (c *Config) remove(o Override) error {
	old, err := c.lookUpValue(c.root, "."+o.Key, lookUp{strict: true})
	if err != nil {
		return err
	}
	if old == nil || old.isMissing() || old.isNull() || o.Key == "" {
		err := errs.New(errs.Usage, "Could not delete from config. '%s' does not exist.", o.Key)
		if near := nearest(o.Key, dottedKeys(c.Value())); near != "" {
			return errs.Hint(err, "did you mean '%s'?", near)
		}
		return err
	}
	if o.HasValue && o.Value != nil && !Equal(old.plain(), o.Value) {
		return errs.New(errs.Usage, "Could not delete from config. The value of '%s' is %s and not %s.", o.Key, PyStr(old.plain()), PyStr(o.Value))
	}
	parent, last := c.root, o.Key
	if i := strings.LastIndexByte(o.Key, '.'); i >= 0 {
		if parent, err = c.lookUpValue(c.root, "."+o.Key[:i], lookUp{strict: true}); err != nil {
			return err
		}
		last = o.Key[i+1:]
	}
	if parent.kind != cMap {
		return errs.Hint(errs.New(errs.Usage, "'%s' is an item of a list, and items cannot be deleted one by one.", o.Key),
			"set the whole list: %s=[...]", strings.TrimSuffix(o.Key, "."+last))
	}
	parent.fields.Delete(last)
	return nil
}

// update walks to the parent of the key, making mappings on the way where the
// operator allows it, and sets or merges the value.
func (c *Config) update(o Override) error {
	closed := c.closed
	defer func() { c.closed = closed }()
	if o.Op != OpSet {
		c.closed = false
	}
	keys := splitKey(o.Key)
	at := c.root
	for _, key := range keys[:len(keys)-1] {
		next, err := step(at, key, lookUp{strict: true})
		if err != nil {
			return err
		}
		if next == nil || !next.isContainer() {
			if next, err = c.put(at, key, &cnode{kind: cMap, fields: &Map{}}); err != nil {
				return err
			}
		}
		at = next
	}
	last := keys[len(keys)-1]
	made, err := c.nodeOf(o.Value, nil, nil)
	if err != nil {
		return err
	}
	if made.isContainer() {
		old, err := step(at, last, lookUp{strict: true})
		if err != nil {
			return err
		}
		if old != nil && old.isContainer() {
			return c.merge(old, made)
		}
	}
	_, err = c.put(at, last, made)
	return err
}

// put sets an entry of a container that exists, or a new one where the config is
// open.
func (c *Config) put(at *cnode, key string, n *cnode) (*cnode, error) {
	if at.kind == cList {
		i, ok := listIndex(key)
		if !ok || i < 0 || i >= len(at.items) {
			return nil, fmt.Errorf("'%s' is a list of %d items, it has no item '%s'", at.fullKey(), len(at.items), key)
		}
		at.items[i] = n.copyTo(at, NewInt(int64(i)))
		c.mark(at.items[i])
		return at.items[i], nil
	}
	if c.closed && at.child(key) == nil {
		made := &cnode{parent: at, key: key}
		return nil, &notInStruct{made.fullKey()}
	}
	made := at.set(key, n)
	c.mark(made)
	return made, nil
}
