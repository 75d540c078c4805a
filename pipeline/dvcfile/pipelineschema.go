package dvcfile

import (
	"cmp"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// checker walks a dvc.yaml before any template is filled in and collects what
// does not fit the schema (spec 1.2 to 1.5).
type checker struct {
	found []problem
}

// problem is one finding, with what helps against it or "".
type problem struct {
	errs.Finding
	hint string
}

// checkPipeline gives one error for everything wrong in a dvc.yaml, in the order
// of the file, with the hint of the first finding that has one.
func checkPipeline(root *Node) error {
	c := &checker{}
	c.pipeline(root)
	slices.SortStableFunc(c.found, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Col, b.Pos.Col))
	})
	var findings []errs.Finding
	hint := ""
	for _, p := range c.found {
		findings = append(findings, p.Finding)
		if hint == "" {
			hint = p.hint
		}
	}
	err := errs.All(findings)
	if hint == "" {
		return err
	}
	return errs.Hint(err, "%s", hint)
}

func (c *checker) add(n *Node, text string) {
	c.found = append(c.found, problem{Finding: errs.Finding{Pos: n.Pos, Text: text}})
}

func (c *checker) hint(hint string) { c.found[len(c.found)-1].hint = hint }

// check is what may be said about the value of a key; where names the value
// in messages ("deps of stage 'train'").
type check func(c *checker, n *Node, where string)

// fields are the keys of a mapping with fixed keys.
type fields struct {
	names    []string // in the order for messages
	checks   map[string]check
	required []string
}

func (c *checker) typeError(n *Node, where, want string) {
	c.add(n, where+" must be "+want+", not "+typeName(n.Value))
}

func checkString(c *checker, n *Node, where string) {
	if _, ok := n.Value.(string); !ok {
		c.typeError(n, where, "a string")
	}
}

func checkBool(c *checker, n *Node, where string) {
	if _, ok := n.Value.(bool); !ok {
		c.typeError(n, where, "true or false")
	}
}

func checkAny(*checker, *Node, string) {}

func checkStrings(c *checker, n *Node, where string) {
	c.list(n, where, "a list of strings", func(c *checker, item *Node, where string) {
		checkString(c, item, "an item of "+where)
	})
}

func checkVars(c *checker, n *Node, where string) {
	c.list(n, where, "a list of file names and mappings", func(c *checker, item *Node, where string) {
		switch item.Value.(type) {
		case string, *Map:
		default:
			c.typeError(item, "an item of "+where, "a file name or a mapping")
		}
	})
}

// list checks each item; where is passed on.
func (c *checker) list(n *Node, where, want string, item check) {
	if _, ok := n.Value.([]Value); !ok {
		c.typeError(n, where, want)
		return
	}
	for _, i := range n.Items {
		item(c, i, where)
	}
}

// mapping checks that n is a mapping with string keys.
func (c *checker) mapping(n *Node, where string) bool {
	if _, ok := n.Value.(*Map); !ok {
		c.typeError(n, where, "a mapping")
		return false
	}
	ok := true
	for _, k := range n.Keys {
		if _, isString := k.Value.(string); !isString {
			c.add(k, "the key "+PyStr(k.Value)+" of "+where+" must be a string, not "+typeName(k.Value))
			c.hint("write it in quotes: '" + PyStr(k.Value) + "'")
			ok = false
		}
	}
	return ok
}

// object checks a mapping with fixed keys.
func (c *checker) object(n *Node, where string, f fields) {
	if !c.mapping(n, where) {
		return
	}
	for i, k := range n.Keys {
		name := k.Value.(string)
		if check, ok := f.checks[name]; ok {
			check(c, n.Items[i], "'"+name+"' of "+where)
			continue
		}
		c.add(k, "unknown key '"+name+"' in "+where)
		if near := nearest(name, f.names); near != "" {
			c.hint("did you mean '" + near + "'?")
		} else {
			c.hint("known keys: " + strings.Join(f.names, ", "))
		}
	}
	for _, name := range f.required {
		if n.Get(name) == nil {
			c.add(n, "the key '"+name+"' is missing in "+where)
		}
	}
}

func object(f fields) check {
	return func(c *checker, n *Node, where string) { c.object(n, where, f) }
}

// schema builds fields of alternating names and checks.
func schema(required []string, pairs ...any) fields {
	f := fields{checks: map[string]check{}, required: required}
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i].(string)
		f.names = append(f.names, name)
		switch given := pairs[i+1].(type) {
		case check:
			f.checks[name] = given
		case func(*checker, *Node, string):
			f.checks[name] = given
		}
	}
	return f
}

func (c *checker) pipeline(root *Node) {
	stage := stageSchema()
	definition := schema(nil,
		"x", checkPlotX, "y", checkPlotY, "x_label", checkString, "y_label", checkString,
		"title", checkString, "template", checkString)
	artifact := schema([]string{"path"},
		"path", checkString, "desc", checkString, "type", checkString, "labels", checkStrings, "meta", checkAny)
	top := schema(nil,
		"stages", check(func(c *checker, n *Node, _ string) { c.stages(n, stage) }),
		"vars", checkVars, "params", checkStrings, "metrics", checkStrings,
		"plots", check(func(c *checker, n *Node, where string) {
			c.list(n, where, "a list of file names and mappings", func(c *checker, item *Node, where string) {
				c.plot(item, where, definition)
			})
		}),
		"artifacts", check(func(c *checker, n *Node, where string) {
			if c.mapping(n, where) {
				for i, k := range n.Keys {
					c.object(n.Items[i], "artifact '"+k.Value.(string)+"'", artifact)
				}
			}
		}),
		"datasets", checkAny)
	if _, ok := root.Value.(*Map); !ok {
		c.add(root, "a dvc.yaml must be a mapping with the keys "+strings.Join(top.names, ", ")+", not "+typeName(root.Value))
		return
	}
	c.object(root, "dvc.yaml", top)
}

func (c *checker) plot(n *Node, where string, definition fields) {
	if _, ok := n.Value.(string); ok {
		return
	}
	if _, ok := n.Value.(*Map); !ok {
		c.typeError(n, "an item of "+where, "a file name or a mapping")
		return
	}
	if c.mapping(n, "an item of "+where) {
		for i, k := range n.Keys {
			if n.Items[i].Value != nil {
				c.object(n.Items[i], "plot '"+k.Value.(string)+"'", definition)
			}
		}
	}
}

func checkPlotX(c *checker, n *Node, where string) {
	switch n.Value.(type) {
	case string:
	case *Map:
		for _, v := range n.Items {
			checkString(c, v, where)
		}
	default:
		c.typeError(n, where, "a field or a mapping of file to field")
	}
}

func checkPlotY(c *checker, n *Node, where string) {
	field := func(n *Node) {
		if _, ok := n.Value.([]Value); ok {
			checkStrings(c, n, where)
			return
		}
		checkString(c, n, where)
	}
	if _, ok := n.Value.(*Map); !ok {
		field(n)
		return
	}
	for _, v := range n.Items {
		field(v)
	}
}

// outSchema has the flags of an output; plots have more.
func outSchema(more ...any) fields {
	return schema(nil, append([]any{
		"cache", checkBool, "persist", checkBool, "push", checkBool, "remote", checkString,
		"desc", checkString, "type", checkString, "labels", checkStrings, "meta", checkAny, "checkpoint", checkBool,
	}, more...)...)
}

// outputs checks a list of paths and of mappings path -> flags.
func outputs(flags fields) check {
	return func(c *checker, n *Node, where string) {
		c.list(n, where, "a list of paths and mappings", func(c *checker, item *Node, where string) {
			if _, ok := item.Value.(string); ok {
				return
			}
			if _, ok := item.Value.(*Map); !ok {
				c.typeError(item, "an item of "+where, "a path or a mapping of path to flags")
				return
			}
			if !c.mapping(item, "an item of "+where) {
				return
			}
			for i, k := range item.Keys {
				path := k.Value.(string)
				c.object(item.Items[i], "output '"+path+"'", flags)
				if item.Items[i].Value == nil {
					c.hint("write `- " + path + "` without the colon")
				}
			}
		})
	}
}

func checkCmd(c *checker, n *Node, where string) {
	switch n.Value.(type) {
	case string:
	case []Value:
		checkStrings(c, n, where)
	default:
		c.typeError(n, where, "a string or a list of strings")
		if n.Value == nil {
			c.hint("give the command behind `cmd:`")
		}
	}
}

func checkStageParams(c *checker, n *Node, where string) {
	c.list(n, where, "a list of keys and mappings", func(c *checker, item *Node, where string) {
		switch item.Value.(type) {
		case string:
		case *Map:
			if !c.mapping(item, "an item of "+where) {
				return
			}
			for i, k := range item.Keys {
				if _, list := item.Items[i].Value.([]Value); list || !truthy(item.Items[i].Value) {
					continue
				}
				c.typeError(item.Items[i], "the params of '"+k.Value.(string)+"' in "+where, "a list of keys")
			}
		default:
			c.typeError(item, "an item of "+where, "a key or a mapping of file to keys")
		}
	})
}

func checkMatrix(c *checker, n *Node, where string) {
	if !c.mapping(n, where) {
		return
	}
	for i, k := range n.Keys {
		switch n.Items[i].Value.(type) {
		case string, []Value:
		default:
			c.typeError(n.Items[i], "axis '"+k.Value.(string)+"' of "+where, "a list or a template")
		}
	}
}

func stageSchema() fields {
	flags := outSchema()
	plotFlags := outSchema("template", checkString, "x", checkString, "y", checkString,
		"x_label", checkString, "y_label", checkString, "title", checkString, "header", checkBool)
	return schema([]string{"cmd"},
		"cmd", checkCmd, "wdir", checkString, "deps", checkStrings, "params", checkStageParams,
		"outs", outputs(flags), "metrics", outputs(flags), "plots", outputs(plotFlags),
		"vars", checkVars, "frozen", checkBool, "always_changed", checkBool, "desc", checkString,
		"meta", checkAny, "matrix", checkMatrix)
}

func (c *checker) stages(n *Node, stage fields) {
	if !c.mapping(n, "'stages'") {
		return
	}
	// foreach is known only beside do; as a hint its name helps all the same.
	named := stage
	named.names = append(slices.Clone(stage.names), "foreach", "do")
	for i, k := range n.Keys {
		name, def := k.Value.(string), n.Items[i]
		where := "stage '" + name + "'"
		if name == "" {
			c.add(k, "the name of a stage is empty")
		}
		if strings.Contains(name, "@") {
			c.add(k, "the name of "+where+" has an @, which is kept for the stages that foreach and matrix make")
		}
		if def.Get("foreach") == nil && def.Get("do") == nil {
			c.object(def, where, named)
			continue
		}
		c.object(def, where, schema([]string{"foreach", "do"},
			"foreach", check(func(c *checker, n *Node, where string) {
				switch n.Value.(type) {
				case string, []Value, *Map:
				default:
					c.typeError(n, where, "a list, a mapping or a template")
				}
			}),
			"do", object(stage)))
	}
}
