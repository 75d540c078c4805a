package sweep

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"ctrx/pipeline/dvcfile"
)

func space(t *testing.T, args ...string) *dvcfile.Space {
	t.Helper()
	s, err := dvcfile.ParseSpace(args)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func draw(t *testing.T, method string, s *dvcfile.Space, n int, seed uint64) [][]dvcfile.Override {
	t.Helper()
	sets, err := points(method, s, n, seed)
	if err != nil {
		t.Fatal(err)
	}
	return sets
}

func texts(sets [][]dvcfile.Override) []string {
	var all []string
	for _, set := range sets {
		all = append(all, strings.Join(arguments(set), " "))
	}
	return all
}

func TestPointsAreRepeatable(t *testing.T) {
	s := space(t, "lr=loguniform(1e-4,1e-1)", "other.yaml:depth=range(3,10)", "seed=7", "m=a,b", "n=lograndint(1,100)")
	for _, method := range []string{methodRandom, methodHalton, methodLHS} {
		first := texts(draw(t, method, s, 30, 1))
		if again := texts(draw(t, method, s, 30, 1)); !slices.Equal(first, again) {
			t.Errorf("%s: one seed gave two results", method)
		}
		if other := texts(draw(t, method, s, 30, 2)); slices.Equal(first, other) {
			t.Errorf("%s: two seeds gave one result", method)
		}
		fewer := texts(draw(t, method, s, 10, 1))
		if method != methodLHS && !slices.Equal(first[:10], fewer) { // a sweep may be made longer
			t.Errorf("%s: the first 10 of 30 points are not those of 10", method)
		}
	}
}

func TestPointsLieInTheSpace(t *testing.T) {
	s := space(t, "a=uniform(-2,3)", "b=loguniform(1e-4,1e-1)", "c=range(3,10,2)", "d=quniform(0,1,0.25)", "e=randint(-3,3)", "f=x,y,z", "g=lograndint(1,50)", "h=5")
	for _, method := range []string{methodRandom, methodHalton, methodLHS} {
		seen := map[string]map[string]int{}
		const n = 400
		for _, set := range draw(t, method, s, n, 3) {
			if len(set) != len(s.Axes) {
				t.Fatalf("%s: %v", method, set)
			}
			for i, o := range set {
				a := &s.Axes[i]
				// The text alone gives the same value, as workers and dvc read it.
				read, err := dvcfile.ParseOverride(arguments(set)[i])
				if err != nil || len(read) != 1 || !dvcfile.Equal(read[0].Value, o.Value) || read[0].Text != o.Text {
					t.Fatalf("%s: %s is read as %v, %v", method, o.Text, read, err)
				}
				if a.Kind == dvcfile.Interval {
					if back, ok := a.At(number(t, o)); !ok || back.Text != o.Text {
						t.Fatalf("%s: %s is no point of %s", method, o.Text, a.Name)
					}
				}
				if _, isInt := o.Value.(dvcfile.Int); a.Kind == dvcfile.Interval && isInt != a.Whole {
					t.Errorf("%s: %s: whole is %v", method, o.Text, a.Whole)
				}
				if seen[a.Name] == nil {
					seen[a.Name] = map[string]int{}
				}
				seen[a.Name][o.Text]++
			}
		}
		// Each value of a short list comes about as often as every other.
		for name, values := range map[string]int{"c": 4, "d": 5, "e": 6, "f": 3} {
			if len(seen[name]) != values {
				t.Errorf("%s: %s has values %v, want %d", method, name, seen[name], values)
			}
			for text, times := range seen[name] {
				if share := float64(times) / n * float64(values); share < 0.6 || share > 1.4 {
					t.Errorf("%s: %s came %d times of %d", method, text, times, n)
				}
			}
		}
		if seen["h"]["h=5"] != n {
			t.Errorf("%s: a fixed value moved: %v", method, seen["h"])
		}
	}
}

// Three decades of a logarithmic axis get a third of the points each.
func TestLogarithmicSpacing(t *testing.T) {
	for _, arg := range []string{"a=loguniform(1e-4,1e-1)", "a=tag(log,interval(1e-4,1e-1))"} {
		for _, method := range []string{methodRandom, methodHalton, methodLHS} {
			decades := map[int]int{}
			for _, set := range draw(t, method, space(t, arg), 600, 5) {
				decades[int(math.Floor(math.Log10(number(t, set[0]))))]++
			}
			for _, d := range []int{-4, -3, -2} {
				if decades[d] < 150 || decades[d] > 250 {
					t.Errorf("%s %s: decades %v", method, arg, decades)
				}
			}
		}
	}
	var below int
	for _, set := range draw(t, methodLHS, space(t, "a=lograndint(1,10001)"), 1000, 5) {
		if number(t, set[0]) <= 100 {
			below++
		}
	}
	if below < 450 || below > 620 { // of four decades two, and a little more for the half below 1
		t.Errorf("lograndint: %d of 1000 are at most 100", below)
	}
}

// Latin hypercube: each of n strips of each axis holds exactly one of n points.
// Halton: each of the first b^k strips of the axis with base b, too.
func TestStratification(t *testing.T) {
	s := space(t, "a=uniform(0,1)", "b=uniform(0,1)", "c=uniform(0,1)")
	strips := func(sets [][]dvcfile.Override, axis, n int) map[int]int {
		count := map[int]int{}
		for _, set := range sets {
			count[int(number(t, set[axis])*float64(n))]++
		}
		return count
	}
	for _, seed := range []uint64{1, 2, 3} {
		for axis, n := range []int{64, 64, 64} {
			if got := strips(draw(t, methodLHS, s, n, seed), axis, n); len(got) != n {
				t.Errorf("lhs, axis %d: %d of %d strips are met", axis, len(got), n)
			}
		}
		for axis, n := range []int{64, 81, 125} { // 2^6, 3^4, 5^3
			if got := strips(draw(t, methodHalton, s, n, seed), axis, n); len(got) != n {
				t.Errorf("halton, axis %d: %d of %d strips are met", axis, len(got), n)
			}
		}
	}
}

func TestRandomDoesNotRepeatItself(t *testing.T) {
	s := space(t, "a=1,2,3", "b=lograndint(1,100)")
	all := texts(draw(t, methodRandom, s, 1000, 1))
	if len(all) != 3*99 {
		t.Fatalf("%d points of a space of %d", len(all), 3*99)
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != 3*99 {
		t.Error("a point came twice")
	}
}

func TestGridPoints(t *testing.T) {
	s := space(t, "a=1,2", "b=x,y")
	if got := texts(draw(t, methodGrid, s, 0, 1)); !slices.Equal(got, []string{"a=1 b=x", "a=1 b=y", "a=2 b=x", "a=2 b=y"}) {
		t.Errorf("grid: %v", got)
	}
	if got := texts(draw(t, methodGrid, s, 3, 1)); !slices.Equal(got, []string{"a=1 b=x", "a=1 b=y", "a=2 b=x"}) {
		t.Errorf("grid of 3: %v", got)
	}
}

func number(t *testing.T, o dvcfile.Override) float64 {
	t.Helper()
	f, err := finite(o.Value)
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", o.Text, err))
	}
	return f
}
