package dvcfile

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
)

// hydraCall is a function of the override grammar with its arguments; strings
// in quotes have lost them.
type hydraCall struct {
	name  string
	args  []any
	named []namedArg
	text  string // the whole override, which seeds shuffle
}

type namedArg struct {
	name  string
	value any
}

func (c hydraCall) eval(text string) (any, error) {
	c.text = text
	switch c.name {
	case "int":
		return c.cast(castInt)
	case "float":
		return c.cast(castFloat)
	case "str":
		return c.cast(castStr)
	case "bool":
		return c.cast(castBool)
	case "choice":
		return c.choice()
	case "range":
		return c.makeRange()
	case "interval":
		return c.continuous("start", "end", false)
	case "uniform", "loguniform":
		return c.continuous("low", "high", c.name == "loguniform")
	case "quniform":
		return c.quniform()
	case "randint", "lograndint":
		return c.randint(c.name == "lograndint")
	case "glob":
		return c.glob()
	case "tag":
		return c.tag()
	case "sort":
		return c.sort()
	case "shuffle":
		return c.shuffleArgs()
	}
	return nil, fmt.Errorf("unknown function '%s'; there are bool, choice, float, glob, int, interval, range, shuffle, sort, str, tag, "+
		"and for sweeps loguniform, lograndint, quniform, randint, uniform", c.name)
}

// bind gives the arguments in the order of the parameters; a name that ends
// in ? may be left out and is nil then.
func (c hydraCall) bind(params ...string) ([]any, error) {
	out := make([]any, len(params))
	set := make([]bool, len(params))
	if len(c.args) > len(params) {
		return nil, errors.New("too many arguments")
	}
	for i, a := range c.args {
		out[i], set[i] = a, true
	}
	for _, n := range c.named {
		i := slices.IndexFunc(params, func(p string) bool { return strings.TrimSuffix(p, "?") == n.name })
		if i < 0 {
			return nil, fmt.Errorf("there is no argument '%s'", n.name)
		}
		if set[i] {
			return nil, fmt.Errorf("the argument '%s' is given twice", n.name)
		}
		out[i], set[i] = n.value, true
	}
	for i, p := range params {
		if !set[i] && !strings.HasSuffix(p, "?") {
			return nil, fmt.Errorf("the argument '%s' is missing", p)
		}
	}
	return out, nil
}

// variadic gives the positional arguments of a function whose named ones are
// known; unknown names are errors.
func (c hydraCall) variadic(known ...string) (named map[string]any, err error) {
	named = map[string]any{}
	for _, n := range c.named {
		if !slices.Contains(known, n.name) {
			return nil, fmt.Errorf("there is no argument '%s'", n.name)
		}
		named[n.name] = n.value
	}
	return named, nil
}

// castKind is the target of a cast.
type castKind int

const (
	castInt castKind = iota
	castFloat
	castStr
	castBool
)

func (k castKind) String() string { return [...]string{"int", "float", "str", "bool"}[k] }

func (c hydraCall) cast(k castKind) (any, error) {
	named, err := c.variadic("value")
	if err != nil {
		return nil, err
	}
	value, ok := named["value"]
	switch {
	case ok && len(c.args) > 0:
		return nil, errors.New("cannot use both position and named arguments")
	case ok:
	case len(c.args) == 0:
		return nil, errors.New("no value is given")
	case len(c.args) == 1:
		value = c.args[0]
	default:
		value = &choiceSweep{list: c.args, simple: true}
	}
	return k.apply(value)
}

func (k castKind) apply(v any) (any, error) {
	switch v := v.(type) {
	case quotedText:
		return k.apply(v.text)
	case []any:
		return k.each(v)
	case *hydraMap:
		values, err := k.each(v.values)
		return &hydraMap{keys: v.keys, values: values}, err
	case *choiceSweep:
		list, err := k.each(v.list)
		return &choiceSweep{list: list, simple: v.simple}, err
	case *rangeSweep:
		if k == castStr || k == castBool {
			return nil, errors.New("a range can be cast to int or float only")
		}
		parts, err := k.each([]any{v.start, v.stop, v.step})
		if err != nil {
			return nil, err
		}
		return &rangeSweep{start: parts[0], stop: parts[1], step: parts[2]}, nil
	case *globSweep:
		return nil, errors.New("the options that a glob() finds cannot be cast")
	case *distribution:
		return v.cast(k)
	}
	return k.scalar(v)
}

func (k castKind) each(list []any) ([]any, error) {
	out := make([]any, len(list))
	for i, e := range list {
		v, err := k.apply(e)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func (k castKind) scalar(v any) (Value, error) {
	bad := fmt.Errorf("cannot cast '%s' to %s", PyStr(v), k)
	if v == nil && k != castBool {
		return nil, errors.New("cannot cast null")
	}
	switch k {
	case castStr:
		if b, ok := v.(bool); ok {
			return strings.ToLower(PyStr(b)), nil
		}
		return PyStr(v), nil
	case castBool:
		if s, ok := v.(string); ok {
			switch strings.ToLower(s) {
			case "true":
				return true, nil
			case "false":
				return false, nil
			}
			return nil, bad
		}
		return truthy(v), nil
	}
	switch v := v.(type) {
	case bool:
		n := NewInt(0)
		if v {
			n = NewInt(1)
		}
		if k == castFloat {
			return Float(n.Float64()), nil
		}
		return n, nil
	case Int:
		if k == castFloat {
			return Float(v.Float64()), nil
		}
		return v, nil
	case Float:
		if k == castFloat {
			return v, nil
		}
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, bad
		}
		n, _ := new(big.Float).SetFloat64(float64(v)).Int(nil)
		return bigInt(n), nil
	case string:
		if k == castFloat {
			if f, ok := parsePyFloat(v); ok {
				return f, nil
			}
			return nil, bad
		}
		if n, ok := ParseInt(strings.TrimSpace(v)); ok {
			return n, nil
		}
	}
	return nil, bad
}

func (c hydraCall) choice() (any, error) {
	if _, err := c.variadic(); err != nil {
		return nil, err
	}
	if len(c.args) == 0 {
		return nil, errors.New("empty choice is not legal")
	}
	if s, ok := c.args[0].(*choiceSweep); ok && len(c.args) == 1 {
		if !s.simple {
			return nil, errors.New("nesting choices is not supported")
		}
		return &choiceSweep{list: s.list, shuffle: s.shuffle}, nil
	}
	for _, a := range c.args {
		if _, ok := a.(sweep); ok || a == nil {
			return nil, errors.New("a choice is made of plain values other than null")
		}
	}
	return &choiceSweep{list: c.args}, nil
}

func (c hydraCall) makeRange() (any, error) {
	args, err := c.bind("start", "stop?", "step?")
	if err != nil {
		return nil, err
	}
	r := &rangeSweep{start: args[0], stop: args[1], step: args[2]}
	if r.stop == nil {
		r.start, r.stop = NewInt(0), r.start
	}
	if r.step == nil {
		r.step = NewInt(1)
	}
	for _, v := range []Value{r.start, r.stop, r.step} {
		switch v.(type) {
		case Int, Float:
		default:
			return nil, errors.New("a range is made of numbers")
		}
	}
	return r, nil
}

func (c hydraCall) glob() (any, error) {
	args, err := c.bind("include", "exclude?")
	if err != nil {
		return nil, err
	}
	g := &globSweep{}
	for i, into := range []*[]string{&g.Include, &g.Exclude} {
		switch v := plainHydra(args[i]).(type) {
		case nil:
			if i == 0 {
				return nil, errors.New("glob() needs patterns")
			}
		case string:
			*into = []string{v}
		case []Value:
			for _, e := range v {
				s, ok := e.(string)
				if !ok {
					return nil, errors.New("the patterns of glob() are strings")
				}
				*into = append(*into, s)
			}
		default:
			return nil, errors.New("the patterns of glob() are strings")
		}
	}
	return g, nil
}

func (c hydraCall) tag() (any, error) {
	named, err := c.variadic("sweep")
	if err != nil {
		return nil, err
	}
	args := c.args
	if len(args) < 1 {
		return nil, errors.New("not enough arguments to tag, must take at least a sweep")
	}
	if s, ok := named["sweep"]; ok {
		args = append(slices.Clone(args), s)
	}
	last, ok := args[len(args)-1].(sweep)
	if _, glob := last.(*globSweep); !ok || glob {
		return nil, errors.New("the last argument to tag must be a choice(), range() or interval()")
	}
	for _, t := range args[:len(args)-1] {
		if _, ok := t.(string); !ok {
			return nil, errors.New("tags are strings")
		}
	}
	if d, ok := last.(*distribution); ok && slices.Contains(args[:len(args)-1], any("log")) {
		spread := *d
		spread.log = true
		return &spread, spread.check()
	}
	return last, nil
}

// subject is what sort and shuffle work on: one argument or several.
func (c hydraCall) subject(named map[string]any) (any, error) {
	for _, name := range []string{"list", "sweep"} {
		if v, ok := named[name]; ok {
			return v, nil
		}
	}
	switch len(c.args) {
	case 0:
		return nil, errors.New("no values are given")
	case 1:
		if c.args[0] == nil {
			return nil, errors.New("null has no order")
		}
		return c.args[0], nil
	}
	for _, a := range c.args {
		switch a.(type) {
		case bool, Int, Float, string:
		default:
			return nil, errors.New("several arguments must be plain values")
		}
	}
	return &choiceSweep{list: c.args, simple: true}, nil
}

func (c hydraCall) shuffleArgs() (any, error) {
	named, err := c.variadic("sweep", "list")
	if err != nil {
		return nil, err
	}
	v, err := c.subject(named)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case *choiceSweep:
		return &choiceSweep{list: v.list, simple: v.simple, shuffle: c.text}, nil
	case *rangeSweep:
		return &rangeSweep{start: v.start, stop: v.stop, step: v.step, shuffle: c.text}, nil
	case []any:
		return shuffled(v, c.text), nil
	case sweep:
		return nil, errors.New("only choice() and range() can be shuffled")
	}
	return []any{v}, nil
}

func (c hydraCall) sort() (any, error) {
	named, err := c.variadic("sweep", "list", "reverse")
	if err != nil {
		return nil, err
	}
	reverse, ok := named["reverse"].(bool)
	if _, given := named["reverse"]; given && !ok {
		return nil, errors.New("reverse is true or false")
	}
	v, err := c.subject(named)
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case *choiceSweep:
		list, err := sortHydra(v.list, reverse)
		return &choiceSweep{list: list, simple: v.simple, shuffle: v.shuffle}, err
	case *rangeSweep:
		return v.sorted(reverse), nil
	case []any:
		return sortHydra(v, reverse)
	case sweep:
		return nil, errors.New("only choice() and range() can be sorted")
	}
	return v, nil
}

// sortHydra sorts numbers among numbers or strings among strings.
func sortHydra(list []any, reverse bool) ([]any, error) {
	out := slices.Clone(list)
	var failed error
	slices.SortStableFunc(out, func(a, b any) int {
		c, err := compareHydra(plainHydra(a), plainHydra(b))
		if err != nil {
			failed = err
		}
		if reverse {
			return -c
		}
		return c
	})
	return out, failed
}

func compareHydra(a, b Value) (int, error) {
	x, okX := a.(string)
	y, okY := b.(string)
	if okX && okY {
		return strings.Compare(x, y), nil
	}
	nx, okX := numberOf(a)
	ny, okY := numberOf(b)
	if !okX || !okY {
		return 0, fmt.Errorf("cannot sort %s among %s", typeName(a), typeName(b))
	}
	c, _ := nx.cmp(ny)
	return c, nil
}

// sorted turns a range that runs the other way round.
func (s *rangeSweep) sorted(reverse bool) *rangeSweep {
	out := *s
	c, _ := compareHydra(s.start, s.stop)
	if !reverse && c > 0 || reverse && c < 0 {
		step := s.step
		if neg, _ := compareHydra(step, NewInt(0)); neg < 0 {
			step = negate(step)
		}
		shift := step
		if reverse {
			shift = negate(step)
		}
		out.start, out.stop, out.step = addNumbers(s.stop, shift), addNumbers(s.start, shift), negate(s.step)
	}
	return &out
}

func addNumbers(a, b Value) Value {
	x, okX := a.(Int)
	y, okY := b.(Int)
	if okX && okY {
		sum := x.Big()
		return bigInt(sum.Add(sum, y.Big()))
	}
	return Float(floatOfNumber(a) + floatOfNumber(b))
}

func floatOfNumber(v Value) float64 {
	if n, ok := v.(Int); ok {
		return n.Float64()
	}
	return float64(v.(Float))
}
