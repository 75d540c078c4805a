package pipeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// node makes a stage of dvc.yaml that reads deps and writes outs, each a list
// of paths separated by spaces.
func node(name, deps, outs string) *Stage {
	s := &Stage{File: "dvc.yaml", Name: name, Cmd: "true", WDir: "."}
	for _, d := range strings.Fields(deps) {
		s.Deps = append(s.Deps, &Dependency{Path: d, Rel: d})
	}
	for _, o := range strings.Fields(outs) {
		s.Outs = append(s.Outs, &Output{Output: dvcfile.Output{Path: o, Cache: true}, Rel: o})
	}
	return s
}

func names(stages []*Stage) string {
	var all []string
	for _, s := range stages {
		all = append(all, s.Name)
	}
	return strings.Join(all, " ")
}

func TestGraphOrder(t *testing.T) {
	a, b, c, d := node("a", "", "data"), node("b", "data/x", "m/b"), node("c", "m", "c"), node("d", "", "d")
	g, err := NewGraph([]*Stage{c, d, b, a})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name       string
		targets    []*Stage
		downstream bool
		want       string
	}{
		{"all, dependencies first", nil, false, "a b c d"},
		{"one with what it needs", []*Stage{b}, false, "a b"},
		{"one and what needs it", []*Stage{b}, true, "b c"},
		{"two targets, once each", []*Stage{c, b}, false, "a b c"},
	} {
		if got := names(g.Order(tc.targets, tc.downstream)); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
	if got := names(g.Component([]*Stage{b})); got != "c b a" {
		t.Errorf("component of b: %s", got)
	}
	if got := names(g.Descendants(a)); got != "c b" {
		t.Errorf("descendants of a: %s", got)
	}
}

func TestGraphFrozenHidesWhatIsBehind(t *testing.T) {
	a, b := node("a", "", "x"), node("b", "x", "y")
	b.Frozen = true
	g, err := NewGraph([]*Stage{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(g.Order([]*Stage{b}, false)); got != "b" {
		t.Errorf("order of a frozen stage: %s, want b", got)
	}
}

func TestGraphErrors(t *testing.T) {
	inside := node("in", "", "z")
	inside.File = "out/dvc.yaml"
	for _, tc := range []struct {
		name   string
		stages []*Stage
		want   string
	}{
		{"same output twice", []*Stage{node("a", "", "x"), node("b", "", "x")}, "output 'x' is specified in"},
		{"output in an output", []*Stage{node("a", "", "x"), node("b", "", "x/y/z")}, "overlap"},
		{"names that only look alike", []*Stage{node("a", "", "x"), node("b", "", "x.y"), node("c", "", "x-y")}, ""},
		{"overlap hidden by a name between", []*Stage{node("a", "", "x"), node("b", "", "x!"), node("c", "", "x/y")}, "overlap"},
		{"cycle of two", []*Stage{node("a", "y", "x"), node("b", "x", "y")}, "Same item(s) are defined as both a dependency and an output in stages: a, b."},
		{"cycle of one", []*Stage{node("a", "x", "x")}, "stages: a."},
		{"stage file in an output", []*Stage{node("a", "", "out"), inside}, "lies inside an output"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewGraph(tc.stages)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if errs.KindOf(err) != errs.ProjectFile {
				t.Errorf("kind %v, want ProjectFile", errs.KindOf(err))
			}
		})
	}
}

// TestGraphRandom checks the order of random graphs: everything once, and
// nothing before what it needs.
func TestGraphRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n := 1 + r.IntN(12)
		stages := make([]*Stage, n)
		for i := range stages {
			deps := ""
			for j := range i {
				if r.IntN(3) == 0 {
					deps += fmt.Sprintf(" o%d", j)
				}
			}
			stages[i] = node(fmt.Sprint("s", i), deps, fmt.Sprint("o", i))
		}
		r.Shuffle(n, func(i, j int) { stages[i], stages[j] = stages[j], stages[i] })
		g, err := NewGraph(stages)
		if err != nil {
			t.Fatal(err)
		}
		order := g.Order(nil, false)
		if len(order) != n {
			t.Fatalf("%d stages in the order, want %d", len(order), n)
		}
		for i, s := range order {
			for _, up := range g.Upstream(s) {
				if j := slices.Index(order, up); j < 0 || j > i {
					t.Fatalf("%s comes before %s, which it needs: %s", s.Name, up.Name, names(order))
				}
			}
		}
	}
}

func TestWalkOrder(t *testing.T) {
	got := []string{"b/c/dvc.yaml", "a/dvc.yaml", "dvc.yaml", "b/x.dvc", "ab/dvc.yaml", "b/c.dvc", "x.dvc"}
	slices.SortFunc(got, walkOrder)
	want := []string{"dvc.yaml", "x.dvc", "a/dvc.yaml", "ab/dvc.yaml", "b/c.dvc", "b/x.dvc", "b/c/dvc.yaml"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
