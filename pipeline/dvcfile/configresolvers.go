package dvcfile

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// call evaluates ${name:args} with the resolvers of OmegaConf and Hydra that
// need no Python.
func (e evaluation) call(call *icall) (any, error) {
	var names []string
	for _, part := range call.name {
		s, err := e.word(part)
		if err != nil {
			return nil, err
		}
		names = append(names, s)
	}
	args := make([]any, len(call.args))
	for i, a := range call.args {
		v, err := e.argument(a)
		if err != nil {
			return nil, err
		}
		args[i] = valueOf(v)
	}
	name := strings.Join(names, ".")
	resolve, least, most := e.resolver(name)
	if resolve == nil {
		return nil, inTheirWords("Unsupported interpolation type %s (ctrx knows OmegaConf's oc.* and now; none that Python code registers)", name)
	}
	if len(args) < least || len(args) > most {
		return nil, fmt.Errorf("the resolver %s takes %d to %d arguments, not %d", name, least, most, len(args))
	}
	v, err := resolve(args)
	if errors.Is(err, errToMissing) {
		return nil, err
	}
	if err != nil {
		// What a resolver meets is no longer about the path that led to it.
		return nil, fmt.Errorf("%w: %s: %s", errInside, name, err)
	}
	return v, nil
}

// resolver gives a resolver with the least and most number of its arguments.
func (e evaluation) resolver(name string) (resolve func([]any) (any, error), least, most int) {
	switch name {
	case "oc.env":
		return e.env, 1, 2
	case "oc.decode":
		return e.decode, 1, 1
	case "oc.create":
		return e.create, 1, 1
	case "oc.select":
		return e.choose, 1, 2
	case "oc.deprecated":
		return e.deprecated, 1, 2
	case "oc.dict.keys":
		return e.dictKeys, 1, 1
	case "oc.dict.values":
		return e.dictValues, 1, 1
	case "now":
		return e.now, 1, 1
	case "hydra":
		return func([]any) (any, error) { return nil, inTheirWords("HydraConfig was not set") }, 1, 1
	case "python_version":
		return func([]any) (any, error) { return nil, errors.New("ctrx composes without Python") }, 0, 1
	}
	return nil, 0, 0
}

func stringArg(args []any) (string, error) {
	s, ok := args[0].(string)
	if !ok {
		return "", fmt.Errorf("a string is expected, not `%s`", pyText(args[0]))
	}
	return s, nil
}

func (e evaluation) env(args []any) (any, error) {
	name, err := stringArg(args)
	if err != nil {
		return nil, err
	}
	if e.c.env.LookupEnv != nil {
		if v, ok := e.c.env.LookupEnv(name); ok {
			return v, nil
		}
	}
	switch {
	case len(args) == 1:
		return nil, inTheirWords("Environment variable '%s' not found", name)
	case args[1] == nil:
		return nil, nil
	}
	return pyText(args[1]), nil
}

func (e evaluation) decode(args []any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	s, err := stringArg(args)
	if err != nil {
		return nil, err
	}
	v, err := parseElement(s)
	if err != nil {
		return nil, err
	}
	e.memo = nil
	v, err = e.argument(v)
	return valueOf(v), err
}

func (e evaluation) create(args []any) (any, error) {
	switch v := args[0].(type) {
	case *cnode:
		return v.copyTo(e.parent, nil), e.c.grow(v.size())
	case nil:
		return nil, nil
	case *Map, []Value:
		return e.c.nodeOf(v, e.parent, nil)
	case string:
		return e.c.createText(v, e.parent)
	}
	return nil, inTheirWords("Object of unsupported type: `%s`", pyText(args[0]))
}

// createText makes a node of YAML text; a text that is a single string is a key
// without a value.
func (c *Config) createText(text string, parent *cnode) (*cnode, error) {
	n, err := ParseYAML11("", []byte(text))
	if err != nil {
		return nil, err
	}
	switch v := n.Value.(type) {
	case *Map, []Value:
		return c.node(n, parent, nil)
	case nil:
		return c.nodeOf(&Map{}, parent, nil)
	case string:
		return c.nodeOf(NewMap(v, nil), parent, nil)
	}
	return nil, fmt.Errorf("a list or mapping is expected, not %s", PyStr(n.Value))
}

func (e evaluation) choose(args []any) (any, error) {
	path, err := stringArg(args)
	if err != nil {
		return nil, err
	}
	found, err := e.c.lookUpValue(e.parent, path, lookUp{strict: true})
	if err != nil {
		return nil, err
	}
	if found == nil || found.isMissing() {
		if len(args) > 1 {
			return args[1], nil
		}
		return nil, nil
	}
	return valueOf(found), nil
}

func (e evaluation) deprecated(args []any) (any, error) {
	path, err := stringArg(args)
	if err != nil {
		return nil, err
	}
	if len(args) > 1 {
		if _, err := stringArg(args[1:]); err != nil {
			return nil, err
		}
	}
	found, err := e.c.lookUpValue(e.parent, path, lookUp{strict: true})
	if err == nil && found == nil {
		err = inTheirWords("In oc.deprecated resolver at '%s': Key not found: '%s'", e.node.fullKey(), path)
	}
	return found, err
}

func (e evaluation) dictOf(args []any) (*cnode, string, error) {
	path, err := stringArg(args)
	if err != nil {
		return nil, "", err
	}
	found, err := e.c.lookUpValue(e.parent, path, lookUp{missing: true, strict: true})
	switch {
	case err != nil:
		return nil, "", err
	case found == nil:
		return nil, "", inTheirWords("Key not found: '%s'", path)
	case found.kind != cMap:
		return nil, "", errors.New("only a mapping has keys and values")
	}
	return found, path, nil
}

func (e evaluation) dictKeys(args []any) (any, error) {
	dict, _, err := e.dictOf(args)
	if err != nil {
		return nil, err
	}
	list := []Value{}
	for _, name := range dict.fields.Keys() {
		list = append(list, dict.fields.KeyValue(name))
	}
	return e.c.nodeOf(list, e.parent, nil)
}

// dictValues gives a list of references to the values, not copies.
func (e evaluation) dictValues(args []any) (any, error) {
	dict, path, err := e.dictOf(args)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(path, ".") {
		path = "." + path // the list is a level of its own
	}
	list := []Value{}
	for _, name := range dict.fields.Keys() {
		list = append(list, "${"+path+"."+PyStr(dict.fields.KeyValue(name))+"}")
	}
	return e.c.nodeOf(list, e.parent, nil)
}

// now formats the time by the directives of strftime.
func (e evaluation) now(args []any) (any, error) {
	pattern, err := stringArg(args)
	if err != nil {
		return nil, err
	}
	return strftime(e.c.env.Now, pattern), nil
}

func strftime(t time.Time, pattern string) string {
	layouts := map[byte]string{
		'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'y': "06", 'B': "January", 'b': "Jan",
		'A': "Monday", 'a': "Mon", 'I': "03", 'p': "PM", 'j': "002", 'f': "000000", 'F': "2006-01-02", 'T': "15:04:05",
		'D': "01/02/06", 'R': "15:04", 'h': "Jan", 'e': "_2", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05",
	}
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' || i+1 == len(pattern) {
			b.WriteByte(pattern[i])
			continue
		}
		i++
		switch c := pattern[i]; {
		case c == 's':
			fmt.Fprint(&b, t.Unix())
		case c == 'f':
			fmt.Fprintf(&b, "%06d", t.Nanosecond()/1000)
		case layouts[c] != "":
			b.WriteString(t.Format(layouts[c]))
		case c == '%':
			b.WriteByte('%')
		case c == 'Z' || c == 'z': // datetime.now() has no zone
		default:
			b.WriteString("%" + string(rune(c)))
		}
	}
	return b.String()
}
