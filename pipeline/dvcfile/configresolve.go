package dvcfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// inTheirWords makes an error in the wording of OmegaConf, which begins with a
// capital letter, so that a message can be looked up.
func inTheirWords(format string, args ...any) error { return fmt.Errorf(format, args...) }

// maxReferences bounds how deep one interpolation may lead to another.
const maxReferences = 100

// errToMissing is an interpolation of a value that is to be given: what refers
// to it is to be given too.
var errToMissing = inTheirWords("MissingMandatoryValue while resolving interpolation")

// errNotContainer is a path that leads through a scalar.
var errNotContainer = errors.New("is not a container")

// errMissing is a path to a value that is to be given.
var errMissing = inTheirWords("Missing mandatory value")

var errRecursive = inTheirWords("Recursive interpolation detected")

// memo are the nodes whose interpolation is being resolved.
type memo struct{ busy []*cnode }

// Resolve replaces each interpolation by what it stands for. Errors are
// errs.ProjectFile with the place of the string, errs.Usage for one that came
// from an override.
func (c *Config) Resolve() error {
	err := c.resolveTree(c.root)
	if err != nil && len(errs.Findings(err)) == 0 {
		return errs.New(errs.Usage, "%w", err)
	}
	return err
}

func (c *Config) resolveTree(n *cnode) error {
	if c.nesting++; c.nesting > maxNesting {
		return errRecursive
	}
	defer func() { c.nesting-- }()
	switch n.kind {
	case cMap:
		for i := range n.fields.Len() {
			name, child := n.at(i)
			if err := c.resolveChild(n, child, func(made *cnode) { n.fields.Set(name, made) }); err != nil {
				return err
			}
		}
	case cList:
		for i, child := range n.items {
			if err := c.resolveChild(n, child, func(made *cnode) { n.items[i] = made }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Config) resolveChild(parent, n *cnode, replace func(*cnode)) error {
	if !n.isInterpolation() {
		return c.resolveTree(n)
	}
	found, err := c.deref(parent, n, nil)
	if errors.Is(err, errToMissing) {
		n.value = missing
		return nil
	}
	if err == nil && found.isContainer() {
		err = c.resolveTree(found)
	}
	if err == nil {
		err = storable(found)
	}
	if err == nil && found.isContainer() {
		err = c.grow(found.size())
	}
	if err == nil && !found.isContainer() {
		err = c.checkText(found.value)
	}
	if err != nil {
		return c.failAt(n, err)
	}
	if found.isContainer() {
		replace(found.copyTo(parent, n.key))
		return nil
	}
	n.value = found.value
	return nil
}

// object gives the content of a node with everything resolved, and fails where a
// value is still to be given. The tree stays as it is.
func (c *Config) object(n *cnode) (Value, error) {
	if c.nesting++; c.nesting > maxNesting {
		return nil, errRecursive
	}
	defer func() { c.nesting-- }()
	if err := c.grow(1); err != nil {
		return nil, err
	}
	switch n.kind {
	case cMap:
		m := &Map{}
		for i := range n.fields.Len() {
			name, child := n.at(i)
			v, err := c.resolved(n, child)
			if err != nil {
				return nil, err
			}
			m.SetKey(n.fields.KeyValue(name), v)
		}
		return m, nil
	case cList:
		list := make([]Value, len(n.items))
		for i, child := range n.items {
			v, err := c.resolved(n, child)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	}
	return n.value, nil
}

func (c *Config) resolved(parent, n *cnode) (Value, error) {
	if n.isMissing() {
		return nil, c.failAt(n, errMissing)
	}
	found, err := c.deref(parent, n, nil)
	if err != nil {
		return nil, c.failAt(n, err)
	}
	return c.object(found)
}

// storable refuses what a resolver made and a config cannot hold.
func storable(n *cnode) error {
	switch n.value.(type) {
	case []Value:
		return inTheirWords("Value 'list' is not a supported primitive type; use oc.create to make a list")
	case *Map:
		return inTheirWords("Value 'dict' is not a supported primitive type; use oc.create to make a mapping")
	}
	return nil
}

// failAt puts the place of a node before an error.
func (c *Config) failAt(n *cnode, err error) error {
	if len(errs.Findings(err)) > 0 {
		return err
	}
	text := fmt.Errorf("'%s': %w", n.fullKey(), err)
	if n.pos.Line == 0 {
		return text
	}
	return errs.At(n.pos, "%w", text)
}

// deref gives what an interpolation in a container stands for: a node of the tree, or
// a new one that holds what a resolver gave. Another node is itself.
func (c *Config) deref(parent, n *cnode, m *memo) (*cnode, error) {
	if !n.isInterpolation() {
		return n, nil
	}
	t, err := c.parse(n.value.(string))
	if err != nil {
		return nil, err
	}
	if m == nil {
		m = &memo{}
	}
	if c.depth++; c.depth > maxReferences {
		return nil, errRecursive
	}
	defer func() { c.depth-- }()
	e := evaluation{c: c, parent: parent, node: n, memo: m}
	v, err := e.text(t)
	if errors.Is(err, errNotContainer) && !errors.Is(err, errInside) {
		err = inTheirWords("ConfigTypeError %w: %w", errInside, err)
	}
	if err != nil {
		return nil, err
	}
	if found, ok := v.(*cnode); ok {
		return found, nil
	}
	return &cnode{value: v, parent: parent, key: n.key, pos: n.pos}, nil
}

// evaluation is the evaluation of the string of a node. Its results are nodes,
// or Values where a resolver or an argument made them.
type evaluation struct {
	c      *Config
	parent *cnode // the container of the node
	node   *cnode
	memo   *memo
}

// value gives the content of a result: containers of the tree stay nodes.
func valueOf(v any) any {
	if n, ok := v.(*cnode); ok && n.kind == cScalar {
		return n.value
	}
	return v
}

// pyText is the text of a result in a string.
func pyText(v any) string {
	if n, ok := v.(*cnode); ok {
		return PyStr(n.plain())
	}
	return PyStr(v)
}

func (e evaluation) text(t *itext) (any, error) {
	if len(t.parts) == 1 {
		if _, ok := t.parts[0].(string); !ok {
			return e.argument(t.parts[0])
		}
	}
	var b strings.Builder
	for _, part := range t.parts {
		v, err := e.argument(part)
		if err != nil {
			return nil, err
		}
		b.WriteString(pyText(v))
	}
	return b.String(), nil
}

func (e evaluation) argument(v any) (any, error) {
	switch v := v.(type) {
	case *itext:
		return e.text(v)
	case *iref:
		return e.reference(v)
	case *icall:
		return e.call(v)
	case *ilist:
		list := make([]Value, len(v.items))
		for i, item := range v.items {
			r, err := e.argument(item)
			if err != nil {
				return nil, err
			}
			list[i] = asValue(r)
		}
		return list, nil
	case *idict:
		m := &Map{}
		for i, item := range v.values {
			r, err := e.argument(item)
			if err != nil {
				return nil, err
			}
			m.SetKey(v.keys[i], asValue(r))
		}
		return m, nil
	}
	return v, nil
}

// asValue gives a result as a value, containers copied.
func asValue(v any) Value {
	if n, ok := v.(*cnode); ok {
		return n.plain()
	}
	return v
}

// word evaluates an interpolation that stands for a key or a name.
func (e evaluation) word(part any) (string, error) {
	v, err := e.argument(part)
	if err != nil {
		return "", err
	}
	s, ok := valueOf(v).(string)
	if !ok {
		return "", fmt.Errorf("an interpolation that stands for a name must give a string, not `%s`", pyText(v))
	}
	return s, nil
}

func (e evaluation) reference(r *iref) (any, error) {
	var path strings.Builder
	for _, part := range r.parts {
		s, err := e.word(part)
		if err != nil {
			return nil, err
		}
		path.WriteString(s)
	}
	root, key, err := rootOf(e.parent, path.String())
	if err != nil {
		return nil, err
	}
	found, err := e.c.lookUp(root, key, lookUp{missing: true, strict: true}, e.memo)
	if errors.Is(err, errMissing) && !errors.Is(err, errToMissing) {
		err = fmt.Errorf("%w: %w", errToMissing, err)
	}
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, inTheirWords("Interpolation key '%s' not found%s", key, e.c.near(root, key))
	}
	for p := e.parent; p != nil; p = p.parent {
		if p == found {
			return nil, inTheirWords("Interpolation to parent node detected")
		}
	}
	return found, nil
}

// near names the key that was perhaps meant.
func (c *Config) near(root *cnode, key string) string {
	if m, ok := root.plain().(*Map); ok {
		if near := nearest(key, dottedKeys(m)); near != "" {
			return "; did you mean '" + near + "'?"
		}
	}
	return ""
}

// rootOf gives the container that a path counts from, and the path below it.
// The first dot of a relative path is the container around, each further one a
// level up.
func rootOf(around *cnode, path string) (*cnode, string, error) {
	if !strings.HasPrefix(path, ".") {
		for around.parent != nil {
			around = around.parent
		}
		return around, path, nil
	}
	key := path[1:]
	for ; strings.HasPrefix(key, "."); key = key[1:] {
		if around = around.parent; around == nil {
			return nil, "", inTheirWords("ConfigKeyError while resolving interpolation: Error resolving key '%s'", path)
		}
	}
	return around, key, nil
}

// lookUp says how a path is followed.
type lookUp struct {
	missing bool // ??? is an error
	strict  bool // an interpolation on the way that cannot be resolved is an error
}

// lookUp gives the node at a path, with what an interpolation there stands for;
// nil where there is none.
func (c *Config) lookUp(root *cnode, path string, how lookUp, m *memo) (*cnode, error) {
	if path == "" {
		return root, nil
	}
	keys := splitKey(path)
	if len(keys) == 0 {
		return nil, fmt.Errorf("'%s' is no path", path)
	}
	for i, key := range keys[:len(keys)-1] {
		n, err := step(root, key, how)
		if err != nil || n == nil {
			return nil, err
		}
		next, err := c.deref(root, n, m)
		if err != nil {
			if how.strict {
				return nil, err
			}
			return nil, nil
		}
		if !next.isContainer() {
			return nil, inTheirWords("Error trying to access %s: node `%s` %w and thus cannot contain `%s`",
				path, strings.Join(keys[:i+1], "."), errNotContainer, keys[i+1])
		}
		root = next
	}
	n, err := step(root, keys[len(keys)-1], how)
	if err != nil || n == nil {
		return nil, err
	}
	if m != nil {
		if slices.Contains(m.busy, n) {
			return nil, errRecursive
		}
		m.busy = append(m.busy, n)
		defer func() { m.busy = m.busy[:len(m.busy)-1] }()
	}
	found, err := c.deref(root, n, m)
	if err != nil && !how.strict {
		return nil, nil
	}
	return found, err
}

// step gives the entry of a container under a key, or nil.
func step(n *cnode, key string, how lookUp) (*cnode, error) {
	var child *cnode
	switch n.kind {
	case cMap:
		child = n.child(key)
	case cList:
		i, ok := listIndex(key)
		if !ok && how.strict {
			return nil, inTheirWords("Index '%s' (str) is not an int", key)
		}
		if ok && i >= 0 && i < len(n.items) {
			child = n.items[i]
		}
	}
	if child != nil && child.isMissing() && how.missing {
		return nil, fmt.Errorf("%w: %s", errMissing, child.fullKey())
	}
	return child, nil
}

// lookUpValue is lookUp as resolvers and overrides do it: a path that leads
// through a scalar finds nothing.
func (c *Config) lookUpValue(around *cnode, path string, how lookUp) (*cnode, error) {
	root, key, err := rootOf(around, path)
	if err != nil {
		return nil, err
	}
	found, err := c.lookUp(root, key, how, nil)
	if errors.Is(err, errNotContainer) && !errors.Is(err, errInside) {
		return nil, nil
	}
	return found, err
}

// errInside marks an error that arose while another interpolation was resolved.
var errInside = errors.New("raised while resolving interpolation")
