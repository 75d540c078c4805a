package dvcfile

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/big"
	"math/rand/v2"
)

// sweep is a value for each of several experiments.
type sweep interface {
	// values lists the values in the order of the experiments.
	values() ([]any, error)
}

// choiceSweep is a,b,c or choice(a,b,c).
type choiceSweep struct {
	list    []any
	simple  bool // without the word choice
	shuffle string
}

func (s *choiceSweep) values() ([]any, error) { return shuffled(s.list, s.shuffle), nil }

// rangeSweep is range(start, stop, step); stop is not part of it. The ends are
// Int or Float.
type rangeSweep struct {
	start, stop, step Value
	shuffle           string
}

// globSweep is glob(...), which only config groups have.
type globSweep struct{ Glob }

func (*globSweep) values() ([]any, error)   { return nil, errors.New("glob is not supported") }
func (*globSweep) input(text string) string { return text }

// shuffled gives the values in an order that depends on nothing but the text
// of the override, so that a command gives the same experiments twice. An
// empty text leaves the order.
func shuffled(list []any, text string) []any {
	if text == "" {
		return list
	}
	h := fnv.New64a()
	h.Write([]byte(text))
	r := rand.New(rand.NewPCG(h.Sum64(), 0))
	out := append([]any(nil), list...)
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func (s *rangeSweep) values() ([]any, error) {
	if !truthy(s.step) {
		return nil, errors.New("the step of a range must not be 0")
	}
	if n := (floatOfNumber(s.stop) - floatOfNumber(s.start)) / floatOfNumber(s.step); math.IsNaN(n) || n > mostExperiments {
		return nil, errTooMany
	}
	start, okStart := s.start.(Int)
	stop, okStop := s.stop.(Int)
	step, okStep := s.step.(Int)
	var list []any
	if okStart && okStop && okStep {
		sign := step.Cmp(NewInt(0))
		for n := start; n.Cmp(stop) == -sign; {
			list = append(list, n)
			sum := n.Big()
			n = bigInt(sum.Add(sum, step.Big()))
		}
		return shuffled(list, s.shuffle), nil
	}
	at, err := decimalOf(s.start)
	if err != nil {
		return nil, err
	}
	end, err := decimalOf(s.stop)
	if err != nil {
		return nil, err
	}
	by, err := decimalOf(s.step)
	if err != nil {
		return nil, err
	}
	for sign := by.digits.Sign(); at.cmp(end) == -sign; {
		if len(list) > mostExperiments {
			return nil, errTooMany
		}
		list = append(list, Float(at.float()))
		at = at.add(by)
	}
	return shuffled(list, s.shuffle), nil
}

var errTooMany = fmt.Errorf("the sweep has more than %d values", mostExperiments)

// decimal is digits * 10^-scale. Ranges of floats are counted in decimals of
// 28 digits, as Python's decimal module does: range(0,1,0.1) then has the
// values that Hydra gives.
type decimal struct {
	digits *big.Int
	scale  int
}

const decimalDigits = 28

// decimalOf gives the exact value of a number.
func decimalOf(v Value) (decimal, error) {
	if n, ok := v.(Int); ok {
		return decimal{digits: n.Big()}, nil
	}
	f := float64(v.(Float))
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return decimal{}, errors.New("a range needs finite numbers")
	}
	r := new(big.Rat).SetFloat64(f)
	scale := r.Denom().BitLen() - 1 // the denominator is a power of two: 2^-k = 5^k * 10^-k
	n := new(big.Int).Exp(big.NewInt(5), big.NewInt(int64(scale)), nil)
	return decimal{digits: n.Mul(n, r.Num()), scale: scale}, nil
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// aligned gives the digits of both at the larger scale.
func (d decimal) aligned(o decimal) (x, y *big.Int, scale int) {
	scale = max(d.scale, o.scale)
	x = new(big.Int).Mul(d.digits, pow10(scale-d.scale))
	y = new(big.Int).Mul(o.digits, pow10(scale-o.scale))
	return x, y, scale
}

func (d decimal) cmp(o decimal) int {
	x, y, _ := d.aligned(o)
	return x.Cmp(y)
}

// add rounds half to even to 28 digits.
func (d decimal) add(o decimal) decimal {
	x, y, scale := d.aligned(o)
	sum := x.Add(x, y)
	drop := len(new(big.Int).Abs(sum).String()) - decimalDigits
	if drop <= 0 {
		return decimal{sum, scale}
	}
	unit := pow10(drop)
	q, r := new(big.Int).QuoRem(sum, unit, new(big.Int))
	twice := new(big.Int).Abs(r)
	twice.Lsh(twice, 1)
	if c := twice.Cmp(unit); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(int64(sum.Sign())))
	}
	if drop > scale {
		return decimal{q.Mul(q, pow10(drop-scale)), 0}
	}
	return decimal{q, scale - drop}
}

func (d decimal) float() float64 {
	f, _ := new(big.Rat).SetFrac(d.digits, pow10(d.scale)).Float64()
	return f
}
