package dvcfile

import (
	"errors"
	"fmt"
	"math"
	"math/big"
)

// distribution is what has no list of values but a rule to draw them by. Hydra
// knows interval(); the others belong to the search spaces of ctrx.
type distribution struct {
	low, high float64 // both included
	whole     bool    // whole numbers
	log       bool    // evenly spread over the logarithm
	step      Value   // of quniform; nil without
	from      Value   // of quniform: low as it was written
}

// values has no answer: a sweep lists its experiments.
func (d *distribution) values() ([]any, error) {
	return nil, errors.New("a distribution has no list of values")
}

// largestWhole bounds whole numbers: below it a double has them all.
const largestWhole = 1 << 53

// ends reads the two ends of a distribution.
func (c hydraCall) ends(lowName, highName string) (low, high Value, err error) {
	args, err := c.bind(lowName, highName)
	if err != nil {
		return nil, nil, err
	}
	return args[0], args[1], checkNumbers(args...)
}

func checkNumbers(values ...any) error {
	for _, v := range values {
		switch v.(type) {
		case Int, Float:
			if f := floatOfNumber(v); math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("%s is not a finite number", PyStr(v))
			}
		default:
			return fmt.Errorf("'%s' is not a number", PyStr(v))
		}
	}
	return nil
}

// continuous makes interval(start, end), uniform(low, high) and
// loguniform(low, high).
func (c hydraCall) continuous(lowName, highName string, log bool) (any, error) {
	low, high, err := c.ends(lowName, highName)
	if err != nil {
		return nil, err
	}
	d := &distribution{low: floatOfNumber(low), high: floatOfNumber(high), log: log}
	return d, d.check()
}

// randint makes randint(low, high) and lograndint(low, high): whole numbers
// from low up to high, which is not one of them.
func (c hydraCall) randint(log bool) (any, error) {
	low, high, err := c.ends("low", "high")
	if err != nil {
		return nil, err
	}
	_, okLow := low.(Int)
	_, okHigh := high.(Int)
	if !okLow || !okHigh {
		return nil, errors.New("the ends must be whole numbers; for others there is uniform(low, high)")
	}
	d := &distribution{low: floatOfNumber(low), high: floatOfNumber(high) - 1, log: log, whole: true}
	if floatOfNumber(low) >= floatOfNumber(high) {
		return nil, fmt.Errorf("there is no whole number from %s up to, but not including, %s", low, high)
	}
	return d, d.check()
}

// quniform makes quniform(low, high, step): low, low+step, ... up to high,
// which is one of them where it falls on a step. The numbers are whole where
// low and step are.
func (c hydraCall) quniform() (any, error) {
	args, err := c.bind("low", "high", "step")
	if err == nil {
		err = checkNumbers(args...)
	}
	if err != nil {
		return nil, err
	}
	d := &distribution{low: floatOfNumber(args[0]), high: floatOfNumber(args[1]), from: args[0], step: args[2]}
	if !(floatOfNumber(d.step) > 0) {
		return nil, errors.New("the step must be above 0")
	}
	if n := (d.high - d.low) / floatOfNumber(d.step); n > largestWhole {
		return nil, errors.New("the step is too small")
	}
	return d, d.check()
}

func (d *distribution) check() error {
	switch {
	case d.low > d.high || d.low == d.high && !d.whole:
		return fmt.Errorf("the lower end %s must be below the upper end %s", Float(d.low), Float(d.high))
	case d.log && d.low <= 0:
		return fmt.Errorf("a logarithmic distribution needs a lower end above 0, and %s is not", Float(d.low))
	case math.IsInf(d.high-d.low, 0):
		return errors.New("the ends are too far apart")
	case d.whole && (d.low < -largestWhole || d.high > largestWhole):
		return fmt.Errorf("whole numbers must lie within %d", largestWhole)
	}
	return nil
}

// cast gives the whole numbers of a distribution for int(): both ends are
// among them, as with Hydra's samplers.
func (d *distribution) cast(k castKind) (any, error) {
	switch {
	case k != castInt && k != castFloat:
		return nil, fmt.Errorf("a distribution cannot be cast to %s", k)
	case d.step != nil || d.whole && k == castFloat:
		return nil, errors.New("only interval(), uniform() and loguniform() can be cast")
	case k == castFloat || d.whole:
		return d, nil
	}
	out := &distribution{low: math.Trunc(d.low), high: math.Trunc(d.high), log: d.log, whole: true}
	return out, out.check()
}

// count is the number of values; 0 where any number between the ends is one.
func (d *distribution) count() int64 {
	switch {
	case d.whole:
		return int64(d.high-d.low) + 1
	case d.step != nil:
		span := new(big.Rat).Sub(shortestRat(Float(d.high)), shortestRat(d.from))
		span.Quo(span, shortestRat(d.step))
		return new(big.Int).Quo(span.Num(), span.Denom()).Int64() + 1
	}
	return 0
}

// nth gives one of count() values, from the lowest.
func (d *distribution) nth(i int64) Value {
	if d.whole {
		return NewInt(int64(d.low) + i)
	}
	at := shortestRat(d.step)
	at.Mul(at, new(big.Rat).SetInt64(i))
	at.Add(at, shortestRat(d.from))
	_, wholeFrom := d.from.(Int)
	_, wholeStep := d.step.(Int)
	if wholeFrom && wholeStep {
		return bigInt(at.Num())
	}
	f, _ := at.Float64()
	return Float(f)
}

// shortestRat gives the number that a user wrote: 0.1 is a tenth here, and not
// the double next to it, so that three steps of 0.1 are 0.3.
func shortestRat(v Value) *big.Rat {
	r, ok := new(big.Rat).SetString(PyStr(v))
	if !ok { // checked to be a finite number
		return new(big.Rat)
	}
	return r
}
