package dvcfile

import (
	"slices"
	"strconv"
	"strings"

	"ctrx/internal/errs"
)

// element is an item of foreach or of an axis of a matrix.
type element struct {
	key  string
	node *contextNode
}

// elementKey is the text of a value in the name of a stage. A boolean written
// in the list itself is true, one that came out of ${} is True, as in DVC.
func elementKey(v Value) string {
	if n, ok := v.(*contextNode); ok {
		return PyStr(n.plain())
	}
	if b, ok := v.(bool); ok {
		return strconv.FormatBool(b)
	}
	return PyStr(v)
}

// elements lists what foreach goes over; mapped tells that it is a mapping.
func (r *resolver) elements(name string, data *Node, v Value) (items []element, mapped bool, err error) {
	seen := map[string]int{}
	add := func(key string, n *contextNode) {
		if i, ok := seen[key]; ok {
			items[i].node = n
			return
		}
		seen[key] = len(items)
		items = append(items, element{key, n})
	}
	if m, ok := v.(*Map); ok {
		for i := range m.Len() {
			key, item := m.At(i)
			add(elementKey(m.KeyValue(key)), newNode(item, "", "", false))
		}
		return items, true, nil
	}
	root, isNode := v.(*contextNode)
	if !isNode {
		root = newNode(v, "", "", false)
	}
	switch root.kind {
	case mapVar:
		for _, k := range root.keys {
			add(k, root.fields[k])
		}
		return items, true, nil
	case listVar:
		raw, _ := v.([]Value)
		byIndex := slices.ContainsFunc(root.list, (*contextNode).composite)
		for i, n := range root.list {
			switch {
			case byIndex:
				add(strconv.Itoa(i), n)
			case isNode:
				add(elementKey(n), n)
			default:
				add(elementKey(raw[i]), n)
			}
		}
		return items, false, nil
	}
	return nil, false, errs.At(data.Pos, "failed to resolve 'stages.%s.foreach' in '%s': expected list/dictionary, got %s",
		name, r.file, pyTypeName(root.value))
}

func (r *resolver) foreach(ctx *scope, key, do, data *Node) error {
	name := key.Value.(string)
	v, err := r.expand(ctx, name, "foreach", data)
	if err != nil {
		return err
	}
	items, mapped, err := r.elements(name, data, v)
	if err != nil {
		return err
	}
	names := []string{"item"}
	if mapped {
		names = append(names, "key")
	}
	r.shadow(ctx, key, names...)
	for _, item := range items {
		values := []*contextNode{item.node, newNode(item.key, "", "", false)}
		err := r.entry(ctx.with(names, values[:len(names)]), name+"@"+item.key, name, key, do)
		if err != nil {
			return err
		}
	}
	return nil
}

// axis is one dimension of a matrix.
type axis struct {
	name  string
	items []element // key is the fragment of the stage's name
}

func (r *resolver) matrix(ctx *scope, key, def, data *Node) error {
	name := key.Value.(string)
	if len(data.Keys) == 0 {
		return errs.At(data.Pos, "'matrix' of stage '%s' has no axes", name)
	}
	v, err := r.expand(ctx, name, "matrix", data)
	if err != nil {
		return err
	}
	axes, err := r.axes(name, data, v.(*Map))
	if err != nil {
		return err
	}
	r.shadow(ctx, key, "key", "item")
	seen := map[string]bool{}
	at := make([]int, len(axes))
	for _, a := range axes {
		if len(a.items) == 0 {
			return nil
		}
	}
	for {
		fragments := make([]string, len(axes))
		item := newNode(&Map{}, "", "", false)
		for i, a := range axes {
			fragments[i] = a.items[at[i]].key
			item.set(a.name, a.items[at[i]].node)
		}
		joined := strings.Join(fragments, "-")
		if !seen[joined] {
			seen[joined] = true
			inner := ctx.with([]string{"key", "item"}, []*contextNode{newNode(joined, "", "", false), item})
			if err := r.entry(inner, name+"@"+joined, name, key, def); err != nil {
				return err
			}
		}
		i := len(axes) - 1
		for ; i >= 0; i-- {
			if at[i]++; at[i] < len(axes[i].items) {
				break
			}
			at[i] = 0
		}
		if i < 0 {
			return nil
		}
	}
}

func (r *resolver) axes(name string, data *Node, v *Map) ([]axis, error) {
	axes := make([]axis, v.Len())
	for i := range axes {
		axisName, values := v.At(i)
		axes[i].name = axisName
		root, isNode := values.(*contextNode)
		if !isNode {
			root = newNode(values, "", "", false)
		}
		if parts, ok := iterate(root, isNode); ok {
			values, isNode, root = parts, false, newNode(parts, "", "", false)
		}
		if root.kind != listVar {
			return nil, errs.At(data.Items[i].Pos, "failed to resolve 'stages.%s.matrix.%s' in '%s': expected list, got %s",
				name, axisName, r.file, pyTypeName(root.value))
		}
		raw, _ := values.([]Value)
		for j, n := range root.list {
			fragment := axisName + strconv.Itoa(j)
			if !n.composite() && isNode {
				fragment = elementKey(n)
			} else if !n.composite() {
				fragment = elementKey(raw[j])
			}
			axes[i].items = append(axes[i].items, element{fragment, n})
		}
	}
	return axes, nil
}

// iterate gives what DVC goes over where an axis is no list: the keys of a
// mapping, the letters of a string that stands in the dvc.yaml itself.
func iterate(n *contextNode, isNode bool) (parts []Value, ok bool) {
	s, isString := n.value.(string)
	switch {
	case n.kind == mapVar:
		for _, k := range n.keys {
			parts = append(parts, k)
		}
	case n.kind == scalarVar && isString && !isNode:
		for _, letter := range s {
			parts = append(parts, string(letter))
		}
	default:
		return nil, false
	}
	return parts, true
}
