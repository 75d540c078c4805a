package dvcfile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ctrx/internal/errs"
)

// Config is a tree of settings as the OmegaConf library holds it, which is what
// Hydra composes and what DVC applies -S to: mappings, lists and scalars, where
// a string with ${} stands for another value until it is resolved, and ??? for
// one that is to be given.
type Config struct {
	root *cnode
	env  Surroundings
	// closed says that no key may be added but with + (OmegaConf's struct flag).
	closed bool
	parsed map[string]*itext
	// How deep one interpolation led to another, and how deep the tree is that is
	// looked at, against circles.
	depth, nesting int
	made           int // nodes, see mostNodes
	// marks are the paths that overrides have set; nil where nobody asks.
	marks map[string]bool
}

// Surroundings are what a resolver may ask for besides the config itself.
type Surroundings struct {
	LookupEnv func(name string) (string, bool) // ${oc.env:NAME}; nil knows no variable
	Now       time.Time                        // ${now:%Y-%m-%d}
}

// ckind is the kind of a node.
type ckind byte

const (
	cScalar ckind = iota
	cMap
	cList
)

// cnode is a value in the tree. A scalar whose value is a list or mapping is the
// result of a resolver; it cannot be stored.
type cnode struct {
	kind   ckind
	value  Value
	fields *Map // of a mapping: the nodes by key
	items  []*cnode
	parent *cnode
	key    Value // its key in a mapping, its index in a list
	pos    errs.Pos
}

// missing stands for a value that is to be given.
const missing = "???"

// NewConfig makes an empty config.
func NewConfig(env Surroundings) *Config {
	c := &Config{env: env, parsed: map[string]*itext{}}
	c.root = &cnode{kind: cMap, fields: &Map{}}
	return c
}

// Close forbids to add keys without +.
func (c *Config) Close() { c.closed = true }

// Value gives the content without resolving anything.
func (c *Config) Value() *Map { return c.root.plain().(*Map) }

func (n *cnode) at(i int) (name string, child *cnode) {
	name, v := n.fields.At(i)
	return name, v.(*cnode)
}

// plain gives the content of a node as a value.
func (n *cnode) plain() Value {
	switch n.kind {
	case cMap:
		m := &Map{}
		for i := range n.fields.Len() {
			name, child := n.at(i)
			m.SetKey(n.fields.KeyValue(name), child.plain())
		}
		return m
	case cList:
		list := make([]Value, len(n.items))
		for i, e := range n.items {
			list[i] = e.plain()
		}
		return list
	}
	return n.value
}

// copyTo gives a copy of a node for a place in another one.
func (n *cnode) copyTo(parent *cnode, key Value) *cnode {
	out := &cnode{kind: n.kind, value: n.value, parent: parent, key: key, pos: n.pos}
	switch n.kind {
	case cMap:
		out.fields = &Map{}
		for i := range n.fields.Len() {
			name, child := n.at(i)
			k := n.fields.KeyValue(name)
			out.fields.SetKey(k, child.copyTo(out, k))
		}
	case cList:
		out.items = make([]*cnode, len(n.items))
		for i, e := range n.items {
			out.items[i] = e.copyTo(out, NewInt(int64(i)))
		}
	}
	return out
}

// set puts a copy of a node into a mapping.
func (n *cnode) set(key Value, child *cnode) *cnode {
	made := child.copyTo(n, key)
	n.fields.SetKey(key, made)
	return made
}

// child gives an entry of a mapping by a key of any kind.
func (n *cnode) child(key Value) *cnode {
	name, ok := n.fields.nameOf(key)
	if !ok {
		return nil
	}
	v, _ := n.fields.Get(name)
	return v.(*cnode)
}

func (n *cnode) isMissing() bool { return n.kind == cScalar && n.value == missing }

func (n *cnode) isNull() bool { return n.kind == cScalar && n.value == nil }

func (n *cnode) isInterpolation() bool {
	s, ok := n.value.(string)
	return n.kind == cScalar && ok && strings.Contains(s, "${")
}

func (n *cnode) isContainer() bool { return n.kind != cScalar }

// fullKey is the path of a node: a.b[0].c.
func (n *cnode) fullKey() string {
	var path []*cnode
	for ; n != nil && n.parent != nil; n = n.parent {
		path = append(path, n)
	}
	slices.Reverse(path)
	var b strings.Builder
	for _, p := range path {
		switch {
		case p.parent.kind == cList:
			b.WriteString("[" + PyStr(p.key) + "]")
			continue
		case b.Len() > 0:
			b.WriteByte('.')
		}
		b.WriteString(PyStr(p.key))
	}
	return b.String()
}

// mostNodes bounds a config whose anchors or interpolations repeat each other.
const mostNodes = 2_000_000

var errTooLarge = fmt.Errorf("the config has more than %d values: interpolations or anchors that repeat each other?", mostNodes)

// grow counts nodes that are about to be made.
func (c *Config) grow(n int) error {
	if c.made += n; c.made > mostNodes {
		return errTooLarge
	}
	return nil
}

// size is the number of nodes below a node, itself included.
func (n *cnode) size() int {
	size := 1
	switch n.kind {
	case cMap:
		for i := range n.fields.Len() {
			_, child := n.at(i)
			size += child.size()
		}
	case cList:
		for _, e := range n.items {
			size += e.size()
		}
	}
	return size
}

// node makes a node of what a file holds. Strings must be well formed and keys
// of a kind that OmegaConf knows.
func (c *Config) node(n *Node, parent *cnode, key Value) (*cnode, error) {
	if err := c.grow(1); err != nil {
		return nil, errs.At(n.Pos, "%w", err)
	}
	out := &cnode{parent: parent, key: key, pos: n.Pos}
	switch v := n.Value.(type) {
	case *Map:
		out.kind, out.fields = cMap, &Map{}
		for i, k := range n.Keys {
			if k.Value == nil {
				return nil, errs.At(k.Pos, "null cannot be a key")
			}
			child, err := c.node(n.Items[i], out, k.Value)
			if err != nil {
				return nil, err
			}
			out.fields.SetKey(k.Value, child)
		}
	case []Value:
		out.kind, out.items = cList, make([]*cnode, len(n.Items))
		for i, e := range n.Items {
			child, err := c.node(e, out, NewInt(int64(i)))
			if err != nil {
				return nil, err
			}
			out.items[i] = child
		}
	default:
		out.value = v
		if err := c.checkText(v); err != nil {
			return nil, errs.At(n.Pos, "%s", err)
		}
	}
	return out, nil
}

// nodeOf makes a node of a value that stands in no file.
func (c *Config) nodeOf(v Value, parent *cnode, key Value) (*cnode, error) {
	if err := c.grow(1); err != nil {
		return nil, err
	}
	out := &cnode{parent: parent, key: key}
	switch v := v.(type) {
	case *Map:
		out.kind, out.fields = cMap, &Map{}
		for i := range v.Len() {
			name, e := v.At(i)
			k := v.KeyValue(name)
			if k == nil {
				return nil, errors.New("null cannot be a key")
			}
			child, err := c.nodeOf(e, out, k)
			if err != nil {
				return nil, err
			}
			out.fields.SetKey(k, child)
		}
	case []Value:
		out.kind, out.items = cList, make([]*cnode, len(v))
		for i, e := range v {
			child, err := c.nodeOf(e, out, NewInt(int64(i)))
			if err != nil {
				return nil, err
			}
			out.items[i] = child
		}
	default:
		out.value = v
		return out, c.checkText(v)
	}
	return out, nil
}

// checkText refuses a string whose ${} is not well formed.
func (c *Config) checkText(v Value) error {
	if s, ok := v.(string); ok && strings.Contains(s, "${") {
		_, err := c.parse(s)
		return err
	}
	return nil
}

func (c *Config) parse(s string) (*itext, error) {
	if t, ok := c.parsed[s]; ok {
		return t, nil
	}
	t, err := parseInterpolated(s)
	if err != nil {
		return nil, err
	}
	c.parsed[s] = t
	return t, nil
}

// splitKey cuts a path such as a.b, a[b] or [a].b into its keys.
func splitKey(key string) []string {
	head := len(key)
	dots := len(key) - len(strings.TrimLeft(key, "."))
	if i := strings.IndexAny(key[dots:], ".["); i >= 0 {
		head = dots + i
	}
	keys := strings.Split(key[:head], ".")
	if head == len(key) {
		return keys
	}
	if key[head] == '[' && keys[len(keys)-1] == "" {
		keys = keys[:len(keys)-1]
	}
	for rest := key[head:]; rest != ""; {
		switch {
		case rest[0] == '.':
			n := strings.IndexAny(rest[1:], ".[")
			if n < 0 {
				n = len(rest) - 1
			}
			keys = append(keys, rest[1:1+n])
			rest = rest[1+n:]
		case rest[0] == '[' && strings.Contains(rest, "]"):
			n := strings.IndexByte(rest, ']')
			keys = append(keys, rest[1:n])
			rest = rest[n+1:]
		default:
			rest = rest[1:]
		}
	}
	return keys
}

// listIndex reads an index as Python's int() does.
func listIndex(key string) (int, bool) {
	n, ok := ParseInt(strings.TrimFunc(key, pySpace))
	if !ok {
		return 0, false
	}
	i, err := strconv.Atoi(n.String())
	return i, err == nil
}

// ResolveText gives what a string with ${} stands for among settings: a string,
// or where it is a single interpolation a value of any kind.
func ResolveText(text string, among *Map, env Surroundings) (Value, error) {
	c := NewConfig(env)
	root, err := c.nodeOf(among, nil, nil)
	if err != nil {
		return nil, err
	}
	if err := c.checkText(text); err != nil {
		return nil, err
	}
	c.root = root
	found, err := c.deref(root, &cnode{value: text, parent: root}, nil)
	if err != nil {
		return nil, err
	}
	return found.plain(), nil
}
