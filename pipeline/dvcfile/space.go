package dvcfile

import (
	"fmt"
	"math"
	"slices"

	"ctrx/internal/errs"
)

// Space is the search space that -S arguments span: what each experiment of a
// sweep sets. The axes stand in DVC's order: files as they are first named,
// within a file as the arguments are given.
type Space struct{ Axes []Axis }

// AxisKind tells what the values of an axis are.
type AxisKind int

// The kinds of axes.
const (
	Fixed    AxisKind = iota // one value for all experiments
	Choice                   // a list without an order
	Interval                 // numbers between Low and High
)

// Axis is one parameter of a search space.
type Axis struct {
	Name  string // key with its operator, after "FILE:" where the file is not params.yaml
	Kind  AxisKind
	Whole bool    // Interval: whole numbers only
	Low   float64 // Interval: the smallest number
	High  float64 // Interval: the largest number
	Step  float64 // Interval: distance of two numbers; 0: any number between Low and High
	Log   bool    // Interval: spread evenly over the logarithm

	base Override
	list []Override    // Fixed, Choice and range(); in DVC's order
	dist *distribution // of an Interval without list
}

// spaceForms is the hint of errors about search spaces.
const spaceForms = "search spaces: key=1,2,3  choice(a,b)  range(1,10)  interval(0,1)  uniform(0,1)  loguniform(1e-4,1e-1)  quniform(0,1,0.25)  " +
	"randint(1,10)  lograndint(1,1000); for the shell in quotes: -S 'train.lr=loguniform(1e-4,1e-1)'"

// ParseSpace reads -S arguments whose values may be sweeps or distributions:
//
//	key=a,b,c  choice(a,b,c)    one of a list
//	range(start, stop, step)    Hydra's: stop is not one of the values
//	interval(start, end)        Hydra's: any number between the ends; int(interval(1,5)) is one of 1, 2, 3, 4, 5
//	uniform(low, high)          the same as interval
//	loguniform(low, high)       spread evenly over the logarithm; the same as tag(log, interval(low, high))
//	quniform(low, high, step)   low, low+step, ... up to high; whole numbers where low and step are whole
//	randint(low, high)          whole numbers from low; high is not one of them
//	lograndint(low, high)       the same, spread evenly over the logarithm
//
// Everything else is a fixed value. Errors are errs.Usage with a hint.
func ParseSpace(args []string) (*Space, error) {
	var files []string
	byFile := map[string][]Axis{}
	for _, arg := range args {
		a, err := parseAxis(arg)
		if err != nil {
			return nil, errs.Hint(err, spaceForms)
		}
		axes, known := byFile[a.base.File]
		if !known {
			files = append(files, a.base.File)
		}
		// A key given twice keeps its first place and its last value.
		if i := slices.IndexFunc(axes, func(other Axis) bool { return other.Name == a.Name }); i >= 0 {
			axes[i] = a
		} else {
			axes = append(axes, a)
		}
		byFile[a.base.File] = axes
	}
	s := &Space{}
	for _, f := range files {
		s.Axes = append(s.Axes, byFile[f]...)
	}
	return s, nil
}

func parseAxis(arg string) (Axis, error) {
	file, text := SplitOverride(arg)
	if file == "" {
		return Axis{}, badOverride(arg, "no file name before the colon")
	}
	parsed, err := parseAnyOverride(file, text)
	if err != nil {
		return Axis{}, err
	}
	if g, ok := parsed.value.(*globSweep); ok {
		return Axis{}, badOverride(text, "a search needs values to choose from, and "+g.input(text)+" stands for options; list them: choice(a, b)")
	}
	a := Axis{Name: parsed.keyText(), base: parsed.Override}
	if file != DefaultParamsFile {
		a.Name = file + ":" + a.Name
	}
	if d, ok := parsed.value.(*distribution); ok {
		a.Kind, a.Whole, a.Log, a.dist = Interval, d.whole, d.log, d
		a.Low, a.High = d.low, d.high
		if n := d.count(); n > 0 {
			a.Step, a.High = 1, floatOfNumber(d.nth(n-1))
			_, a.Whole = d.nth(0).(Int)
			if d.step != nil {
				a.Step = floatOfNumber(d.step)
			}
		}
		return a, nil
	}
	if _, ok := parsed.value.(sweep); !ok {
		o, err := parsed.single()
		a.list = []Override{o}
		return a, err
	}
	if a.list, err = parsed.expand(); err == nil {
		err = reread(a.list)
	}
	if err != nil {
		return a, err
	}
	return a, a.classify(parsed)
}

// classify tells a list without order from numbers at equal distances.
func (a *Axis) classify(parsed *parsedOverride) error {
	switch len(a.list) {
	case 0:
		return badOverride(parsed.Input, "there is no value in this range")
	case 1:
		return nil
	}
	a.Kind = Choice
	r, ok := parsed.value.(*rangeSweep)
	if !ok {
		return nil
	}
	a.Kind, a.Whole, a.Step = Interval, true, math.Abs(floatOfNumber(r.step))
	a.Low, a.High = math.Inf(1), math.Inf(-1)
	for _, o := range a.list {
		n := floatOfNumber(o.Value)
		a.Low, a.High = min(a.Low, n), max(a.High, n)
		if _, whole := o.Value.(Int); !whole {
			a.Whole = false
		}
	}
	return nil
}

// Len is the number of values; 0 where there is no end of them.
func (a *Axis) Len() int64 {
	if a.dist != nil {
		return a.dist.count()
	}
	return int64(len(a.list))
}

// Nth gives the override with one of Len values: of a list in the order of the
// list, else from the lowest number.
func (a *Axis) Nth(i int64) Override {
	if a.dist != nil {
		return a.with(a.dist.nth(i))
	}
	return a.list[i]
}

func (a *Axis) with(v Value) Override {
	o := a.base
	o.Value, o.HasValue = v, true
	o.Text = o.keyText() + "=" + PyStr(v)
	return o
}

// At gives the override with a number of an Interval. ok is false for a number
// that is none of its values; a number next to a step, as rounding errors give
// it, is that step.
func (a *Axis) At(f float64) (o Override, ok bool) {
	const near = 1e-6
	switch {
	case a.Kind != Interval || math.IsNaN(f):
		return o, false
	case a.dist == nil:
		for _, o := range a.list {
			if math.Abs(floatOfNumber(o.Value)-f) <= near*a.Step {
				return o, true
			}
		}
		return o, false
	case a.Step == 0:
		return a.with(Float(f)), f >= a.Low && f <= a.High
	}
	i := (f - a.Low) / a.Step
	n := math.Round(i)
	if math.Abs(i-n) > near || n < 0 || n >= float64(a.Len()) {
		return o, false
	}
	return a.Nth(int64(n)), true
}

// Grid gives all combinations in DVC's order: the first axis varies slowest. An
// axis without end is errs.Usage.
func (s *Space) Grid() ([][]Override, error) {
	axes := make([]sweepAxis, len(s.Axes))
	for i := range s.Axes {
		a := &s.Axes[i]
		n := a.Len()
		if n == 0 {
			return nil, errs.Hint(errs.New(errs.Usage, "'%s' has no list of values, so there is no grid: any number from %s to %s is one", a.base.Input, Float(a.Low), Float(a.High)),
				"give a list or range(start, stop, step), or choose --method random")
		}
		if n > mostExperiments {
			return nil, errs.New(errs.Usage, "'%s': %w", a.base.Input, errTooMany)
		}
		for k := range n {
			axes[i].values = append(axes[i].values, a.Nth(k))
		}
	}
	return product(axes)
}

// Size is the number of combinations, as far as it is below a limit; 0 where
// there is no end of them.
func (s *Space) Size(limit int64) int64 {
	size := int64(1)
	for i := range s.Axes {
		n := s.Axes[i].Len()
		if n == 0 {
			return 0
		}
		if n > limit/size {
			return limit
		}
		size *= n
	}
	return size
}

// String names the number for messages.
func (k AxisKind) String() string {
	switch k {
	case Fixed:
		return "fixed"
	case Choice:
		return "choice"
	case Interval:
		return "interval"
	}
	return fmt.Sprintf("AxisKind(%d)", int(k))
}
