package sweep

import (
	"math"
	"math/rand/v2"
	"strings"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat/distmv"
	"gonum.org/v1/gonum/stat/samplemv"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// The methods that know all points beforehand. Each point of a method is
// settled by the space, the seed and its number alone, except for lhs, where
// the number of all points counts, too.
const (
	methodGrid   = "grid"
	methodRandom = "random"
	methodHalton = "halton"
	methodLHS    = "lhs"
)

// stream is the second half of the seeds of this package's generators: other
// users of the same --seed get other numbers.
const stream = 0x63747278

// points gives the first n points of a method; fewer where the space has no
// more. n is 0 for all points of a grid.
func points(method string, space *dvcfile.Space, n int, seed uint64) ([][]dvcfile.Override, error) {
	if method == methodGrid {
		sets, err := space.Grid()
		if n > 0 && n < len(sets) {
			sets = sets[:n]
		}
		return sets, err
	}
	if n == 0 {
		return nil, nil
	}
	dims := 0
	for i := range space.Axes {
		if space.Axes[i].Kind != dvcfile.Fixed {
			dims++
		}
	}
	src := rand.NewPCG(seed, stream)
	if method == methodRandom {
		return distinct(space, n, rand.New(src), dims), nil
	}
	if method == methodHalton && dims > mostHalton {
		return nil, errs.New(errs.Usage, "--method halton is for up to %d parameters, and there are %d: use --method lhs", mostHalton, dims)
	}
	batch := mat.NewDense(n, dims, nil)
	unit := distmv.NewUnitUniform(dims, nil)
	if method == methodHalton {
		samplemv.Halton{Kind: samplemv.Owen, Q: unit, Src: src}.Sample(batch)
	} else {
		samplemv.LatinHypercube{Q: unit, Src: src}.Sample(batch)
	}
	sets := make([][]dvcfile.Override, n)
	for i := range sets {
		sets[i] = pick(space, batch.RawRowView(i))
	}
	return sets, nil
}

// mostHalton is where gonum's table of primes ends.
const mostHalton = 1000

// smallSpace is how many combinations a space may have for its random points
// to be kept apart. In a larger one two equal points are rare.
const smallSpace = 100_000

// distinct draws points at random, each combination at most once in a small
// space. When the draws keep hitting what was drawn before, the rest is taken
// in the order of the grid.
func distinct(space *dvcfile.Space, n int, r *rand.Rand, dims int) [][]dvcfile.Override {
	size := int(space.Size(smallSpace))
	small := size > 0 && size < smallSpace
	if small {
		n = min(n, size)
	}
	seen := map[string]bool{}
	var sets [][]dvcfile.Override
	add := func(set []dvcfile.Override) bool {
		if small {
			key := strings.Join(arguments(set), "\x00")
			if seen[key] {
				return false
			}
			seen[key] = true
		}
		sets = append(sets, set)
		return true
	}
	u := make([]float64, dims)
	for misses := 0; len(sets) < n && misses < 1000; {
		for i := range u {
			u[i] = r.Float64()
		}
		if add(pick(space, u)) {
			misses = 0
		} else {
			misses++
		}
	}
	if len(sets) < n {
		rest, err := space.Grid()
		for i := 0; err == nil && i < len(rest) && len(sets) < n; i++ {
			add(rest[i])
		}
	}
	return sets
}

// pick gives the point of the space that a point of the unit cube stands for;
// fixed axes have no coordinate.
func pick(space *dvcfile.Space, u []float64) []dvcfile.Override {
	set := make([]dvcfile.Override, 0, len(space.Axes))
	for i := range space.Axes {
		a := &space.Axes[i]
		if a.Kind == dvcfile.Fixed {
			set = append(set, a.Nth(0))
			continue
		}
		set = append(set, quantile(a, u[0]))
		u = u[1:]
	}
	return set
}

// quantile gives the value of an axis below which the share u of it lies, 0 <=
// u < 1.
func quantile(a *dvcfile.Axis, u float64) dvcfile.Override {
	n := a.Len()
	switch {
	case n > 0 && a.Log:
		// Every whole number has the share that its half on either side has.
		v := math.Round(logBetween(a.Low-0.5, a.High+0.5, u))
		return a.Nth(int64(min(max(v, a.Low), a.High) - a.Low))
	case n > 0:
		return a.Nth(min(int64(u*float64(n)), n-1))
	}
	v := a.Low + u*(a.High-a.Low)
	if a.Log {
		v = logBetween(a.Low, a.High, u)
	}
	o, _ := a.At(min(max(v, a.Low), a.High))
	return o
}

func logBetween(low, high, u float64) float64 {
	return math.Exp(math.Log(low) + u*(math.Log(high)-math.Log(low)))
}

// arguments writes a set of overrides as -S arguments.
func arguments(set []dvcfile.Override) []string {
	args := make([]string, len(set))
	for i, o := range set {
		args[i] = o.Text
		if o.File != dvcfile.DefaultParamsFile {
			args[i] = o.File + ":" + o.Text
		}
	}
	return args
}
