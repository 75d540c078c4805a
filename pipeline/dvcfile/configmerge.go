package dvcfile

import (
	"fmt"

	"ctrx/internal/errs"
)

// errMixed is a mapping merged with a list.
var errMixed = inTheirWords("Cannot merge DictConfig with ListConfig")

// notInStruct is the error about a key that a closed config does not have.
type notInStruct struct {
	path string
}

func (e *notInStruct) Error() string { return fmt.Sprintf("Key '%s' is not in struct", e.path) }

// Merge puts the content of a file below a package: a path of keys joined by
// dots, "" for the top. Mappings are merged key by key, other values replace;
// ??? replaces nothing. Where an interpolation in the tree stands for a mapping,
// its copy is merged into. Errors are errs.ProjectFile with file:line:col.
func (c *Config) Merge(n *Node, pkg string) error {
	src, err := c.node(n, nil, nil)
	if err != nil {
		return err
	}
	if pkg != "" {
		keys := splitKey(pkg)
		if len(keys) == 0 {
			return errs.At(n.Pos, "'%s' is no package", pkg)
		}
		for i := len(keys) - 1; i >= 0; i-- {
			around := &cnode{kind: cMap, fields: &Map{}, pos: n.Pos}
			around.set(keys[i], src)
			src = around
		}
	}
	if src.kind != cMap {
		return errs.At(n.Pos, "%w", errMixed)
	}
	return c.mergeMap(c.root, src)
}

// merge puts one container into another.
func (c *Config) merge(dest, src *cnode) error {
	switch {
	case dest.kind != src.kind:
		return c.failAt(src, errMixed)
	case dest.kind == cMap:
		return c.mergeMap(dest, src)
	}
	dest.items = src.copyTo(dest, nil).items
	for _, item := range dest.items {
		item.parent = dest
	}
	c.mark(dest)
	return nil
}

func (c *Config) mergeMap(dest, src *cnode) error {
	for i := range src.fields.Len() {
		name, from := src.at(i)
		key := src.fields.KeyValue(name)
		to := dest.child(key)
		if to == nil {
			if c.closed {
				made := &cnode{parent: dest, key: key}
				return &notInStruct{made.fullKey()}
			}
			c.mark(dest.set(key, from))
			continue
		}
		if to.isInterpolation() {
			if target, err := c.deref(dest, to, nil); err == nil && target.isContainer() {
				if err := c.grow(target.size()); err != nil {
					return c.failAt(from, err)
				}
				to = dest.set(key, target)
			}
		}
		switch {
		case to.isContainer() && from.isContainer():
			if err := c.merge(to, from); err != nil {
				return err
			}
		case !from.isMissing():
			c.mark(dest.set(key, from))
		}
	}
	return nil
}
