package dvcfile

import (
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// Op is what an override does with its key.
type Op int

// The operators of the override grammar.
const (
	OpSet    Op = iota // key=value: the key must exist
	OpAdd              // +key=value: the key must be new
	OpForce            // ++key=value: either
	OpDelete           // ~key, ~key=value: the key must exist (and have that value)
)

// String is the operator as it is written before the key.
func (o Op) String() string { return [...]string{"", "+", "++", "~"}[o] }

// Override is one -S argument with a single value.
type Override struct {
	File     string // the params file, as written before the first colon; params.yaml by default
	Op       Op
	Key      string // dotted path
	Package  string // what stands behind @ in a key; only config groups have it
	Value    Value
	HasValue bool   // false for ~key
	Input    string // the argument without the file, as typed
	Text     string // the same in canonical form (2e-5 is 2e-05, ~k is ~k=null), as experiments record it

	hasPackage bool
}

// HasPackage tells whether the key has an @, also one with nothing behind it.
func (o Override) HasPackage() bool { return o.hasPackage }

// SplitOverride takes the file off a -S argument: the text before the first
// colon when that colon stands before the first equals sign.
func SplitOverride(arg string) (file, override string) {
	key, _, _ := strings.Cut(arg, "=")
	if !strings.Contains(key, ":") {
		return DefaultParamsFile, arg
	}
	file, override, _ = strings.Cut(arg, ":")
	return file, override
}

// ParseOverride reads one -S argument in the grammar of Hydra 1.3:
//
//	train.lr=0.1   +new=x   ++any={a: 1}   ~gone   conf/p.json:a.b=[1,2]
//
// A comma list, choice() or range() is a sweep and gives one Override per
// value. Values of a sweep pass through their canonical text, as in DVC, so
// that choice('1',2) yields two integers. Errors are errs.Usage with a hint.
func ParseOverride(arg string) ([]Override, error) {
	parsed, err := parseOverrideText(arg)
	if err != nil {
		return nil, err
	}
	if _, ok := parsed.value.(sweep); !ok {
		o, err := parsed.single()
		return []Override{o}, err
	}
	ovs, err := parsed.expand()
	if err != nil {
		return nil, err
	}
	return ovs, reread(ovs)
}

// IsSweep tells whether a -S argument has a value for each of several
// experiments, also where it has but one element: choice(1).
func IsSweep(arg string) (bool, error) {
	parsed, err := parseOverrideText(arg)
	if err != nil {
		return false, err
	}
	_, ok := parsed.value.(sweep)
	return ok, nil
}

// ExpandOverrides reads all -S arguments of a command and gives the overrides
// of each experiment: one set without a sweep, else the product of all sweeps,
// files in the order they are first named, within a file the first argument
// varying slowest. With a sweep a key given twice in a file keeps its first
// place and its last value.
func ExpandOverrides(args []string) (sets [][]Override, isSweep bool, err error) {
	var files []string
	byFile := map[string][]sweepAxis{}
	for _, arg := range args {
		parsed, err := parseOverrideText(arg)
		if err != nil {
			return nil, false, err
		}
		axis := sweepAxis{key: parsed.keyText()}
		if _, ok := parsed.value.(sweep); ok {
			isSweep = true
			axis.values, err = parsed.expand()
		} else {
			axis.values = make([]Override, 1)
			axis.values[0], err = parsed.single()
		}
		if err != nil {
			return nil, false, err
		}
		if byFile[parsed.File] == nil {
			files = append(files, parsed.File)
		}
		byFile[parsed.File] = append(byFile[parsed.File], axis)
	}
	var axes []sweepAxis
	for _, f := range files {
		if isSweep {
			axes = append(axes, lastOfEachKey(byFile[f])...)
		} else {
			axes = append(axes, byFile[f]...)
		}
	}
	if !isSweep {
		set := make([]Override, 0, len(axes))
		for _, a := range axes {
			set = append(set, a.values[0])
		}
		return [][]Override{set}, false, nil
	}
	sets, err = product(axes)
	if err != nil {
		return nil, true, err
	}
	for _, set := range sets {
		if err := reread(set); err != nil {
			return nil, true, err
		}
	}
	return sets, true, nil
}

// reread takes the values from the canonical texts, as the workers of a queue
// do.
func reread(set []Override) error {
	for i, o := range set {
		parsed, err := parseOverrideIn(o.File, o.Text)
		if err != nil {
			return err
		}
		set[i].Value, set[i].HasValue = plainHydra(parsed.value), true
	}
	return nil
}

// sweepAxis is one -S argument of a sweep: a key and its values, which may be
// none.
type sweepAxis struct {
	key    string
	values []Override
}

func lastOfEachKey(axes []sweepAxis) []sweepAxis {
	var out []sweepAxis
	at := map[string]int{}
	for _, a := range axes {
		if i, ok := at[a.key]; ok {
			out[i] = a
			continue
		}
		at[a.key] = len(out)
		out = append(out, a)
	}
	return out
}

// mostExperiments bounds a sweep; more is a slip of the keyboard.
const mostExperiments = 100_000

func product(axes []sweepAxis) ([][]Override, error) {
	sets := [][]Override{nil}
	for _, axis := range axes {
		if len(sets)*len(axis.values) > mostExperiments {
			return nil, errs.New(errs.Usage, "the sweep has more than %d experiments", mostExperiments)
		}
		var next [][]Override
		for _, set := range sets {
			for _, o := range axis.values {
				next = append(next, append(slices.Clone(set), o))
			}
		}
		sets = next
	}
	return sets, nil
}

// keyText is the override up to the equals sign.
func (o Override) keyText() string {
	if o.hasPackage {
		return o.Op.String() + o.Key + "@" + o.Package
	}
	return o.Op.String() + o.Key
}

// parsedOverride is an override whose value may still be a sweep.
type parsedOverride struct {
	Override
	value any // a hydraValue: see overridevalue.go
}

func (p *parsedOverride) single() (Override, error) {
	o := p.Override
	text, err := hydraText(p.value)
	if err != nil {
		return o, badOverride(p.Input, err.Error())
	}
	o.Text = o.keyText() + "=" + text
	o.Value = plainHydra(p.value)
	return o, nil
}

func (p *parsedOverride) expand() ([]Override, error) {
	values, err := p.value.(sweep).values()
	if err != nil {
		return nil, badOverride(p.Input, err.Error())
	}
	out := make([]Override, 0, len(values))
	for _, v := range values {
		one := *p
		one.value = v
		o, err := one.single()
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// badOverride is the error about an argument that does not follow the grammar.
func badOverride(input, problem string) error {
	err := errs.New(errs.Usage, "invalid --set-param value '%s': %s", input, problem)
	return errs.Hint(err, "forms: key=value, +key=value, ++key=value, ~key, file.yaml:key=value; "+
		"quote a value with special characters for the shell and for ctrx: -S 'key=\"a, b\"'")
}

// ValueText is the value as the canonical text has it.
func (o Override) ValueText() string {
	return strings.TrimPrefix(strings.TrimPrefix(o.Text, o.keyText()), "=")
}
