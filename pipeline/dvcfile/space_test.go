package dvcfile

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

// describe writes what an axis is: its kind, ends and, of a list that is not
// long, its values.
func describe(a *Axis) string {
	text := a.Kind.String()
	if a.Kind == Interval {
		if a.Whole {
			text += " whole"
		}
		if a.Log {
			text += " log"
		}
		text += fmt.Sprintf(" %v..%v", a.Low, a.High)
		if a.Step != 0 {
			text += fmt.Sprintf("/%v", a.Step)
		}
	}
	if n := a.Len(); n > 0 && n < 20 {
		for i := range n {
			text += " " + a.Nth(i).Text
		}
	}
	return text
}

func TestParseSpace(t *testing.T) {
	for _, c := range []struct{ arg, name, want string }{
		{"a=1", "a", "fixed a=1"},
		{"a='x, y'", "a", "fixed a='x, y'"},
		{"~a", "~a", "fixed ~a=null"},
		{"+a.b=[1,2]", "+a.b", "fixed +a.b=[1,2]"},
		{"a=choice(7)", "a", "fixed a=7"},
		{"a=1,b,2e-5", "a", "choice a=1 a=b a=2e-05"},
		{"a=choice({x: 1},[2],'3')", "a", "choice a={x:1} a=[2] a=3"}, // as DVC, which reads '3' once more
		{"conf/p.json:a=x,y", "conf/p.json:a", "choice a=x a=y"},
		{"a=range(3,10,3)", "a", "interval whole 3..9/3 a=3 a=6 a=9"},
		{"a=range(3)", "a", "interval whole 0..2/1 a=0 a=1 a=2"},
		{"a=range(3,0,-1)", "a", "interval whole 1..3/1 a=3 a=2 a=1"},
		{"a=range(0,0.4,0.1)", "a", "interval 0..0.4/0.1 a=0.0 a=0.1 a=0.2 a=0.3 a=0.4"},
		{"a=interval(0,1)", "a", "interval 0..1"},
		{"a=interval(start=-1.5,end=1e3)", "a", "interval -1.5..1000"},
		{"a=int(interval(1,5))", "a", "interval whole 1..5/1 a=1 a=2 a=3 a=4 a=5"},
		{"a=int(interval(-1.7,1.2))", "a", "interval whole -1..1/1 a=-1 a=0 a=1"},
		{"a=float(interval(1,5))", "a", "interval 1..5"},
		{"a=tag(log,interval(1e-4,1e-1))", "a", "interval log 0.0001..0.1"},
		{"a=tag(other,interval(1,2))", "a", "interval 1..2"},
		{"a=int(tag(log,interval(1,4)))", "a", "interval whole log 1..4/1 a=1 a=2 a=3 a=4"},
		{"a=uniform(-1,1)", "a", "interval -1..1"},
		{"a=uniform(low=0,high=.5)", "a", "interval 0..0.5"},
		{"a=loguniform(1e-4,1e-1)", "a", "interval log 0.0001..0.1"},
		{"a=quniform(0,0.35,0.1)", "a", "interval 0..0.3/0.1 a=0.0 a=0.1 a=0.2 a=0.3"},
		{"a=quniform(0.1,0.5,0.2)", "a", "interval 0.1..0.5/0.2 a=0.1 a=0.3 a=0.5"},
		{"a=quniform(8,64,24)", "a", "interval whole 8..56/24 a=8 a=32 a=56"},
		{"a=randint(3,6)", "a", "interval whole 3..5/1 a=3 a=4 a=5"},
		{"a=randint(-2,-1)", "a", "interval whole -2..-2/1 a=-2"},
		{"a=randint(0,1000000000)", "a", "interval whole 0..9.99999999e+08/1"},
		{"++a=lograndint(1,4)", "++a", "interval whole log 1..3/1 ++a=1 ++a=2 ++a=3"},
	} {
		s, err := ParseSpace([]string{c.arg})
		if err != nil {
			t.Errorf("%s: %v", c.arg, err)
			continue
		}
		if a := &s.Axes[0]; a.Name != c.name || describe(a) != c.want {
			t.Errorf("%s: %s: %s\nwant %s: %s", c.arg, a.Name, describe(a), c.name, c.want)
		}
	}
}

func TestParseSpaceErrors(t *testing.T) {
	for _, c := range []struct{ arg, want string }{
		{"a=uniform(1,1)", "cannot evaluate 'uniform(1,1)': the lower end 1.0 must be below the upper end 1.0"},
		{"a=uniform(2,1)", "must be below"},
		{"a=uniform(1)", "the argument 'high' is missing"},
		{"a=interval(1)", "the argument 'end' is missing"},
		{"a=uniform(1,2,3)", "too many arguments"},
		{"a=uniform(1,x)", "'x' is not a number"},
		{"a=uniform(0,inf)", "inf is not a finite number"},
		{"a=uniform(-1e308,1e308)", "too far apart"},
		{"a=loguniform(0,1)", "a lower end above 0, and 0.0 is not"},
		{"a=tag(log,interval(-1,1))", "above 0"},
		{"a=randint(1.5,3)", "the ends must be whole numbers"},
		{"a=randint(3,3)", "no whole number from 3 up to, but not including, 3"},
		{"a=lograndint(0,3)", "above 0"},
		{"a=randint(0,90071992547409940)", "must lie within 9007199254740992"},
		{"a=quniform(0,1,0)", "the step must be above 0"},
		{"a=quniform(0,1)", "the argument 'step' is missing"},
		{"a=quniform(0,1,1e-300)", "the step is too small"},
		{"a=int(quniform(0,1,0.5))", "can be cast"},
		{"a=str(uniform(0,1))", "a distribution cannot be cast to str"},
		{"a=float(randint(0,2))", "can be cast"},
		{"a=range(3,3)", "there is no value in this range"},
		{"a=[uniform(0,1)]", "a sweep cannot stand inside another value"},
		{"a=choice(uniform(0,1),2)", "plain values"},
		{"a=sort(uniform(0,1))", "only choice() and range()"},
		{"a=normal(0,1)", "unknown function 'normal'"},
		{"a", "expected '=' and a value"},
		{":a=1", "no file name"},
	} {
		_, err := ParseSpace([]string{"ok=1,2", c.arg})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), strings.TrimPrefix(c.arg, ":")) {
			t.Errorf("%s: %v, want %q and the argument", c.arg, err, c.want)
			continue
		}
		if errs.KindOf(err) != errs.Usage || !strings.Contains(errs.HintOf(err), "loguniform(") {
			t.Errorf("%s: kind %v, hint %q", c.arg, errs.KindOf(err), errs.HintOf(err))
		}
	}
}

// What is not a sweep's own distribution stays an error for a single run and a
// queued grid.
func TestDistributionIsNoOverride(t *testing.T) {
	for _, arg := range []string{"a=interval(0,1)", "a=uniform(0,1)", "a=randint(1,3)"} {
		_, err := ParseOverride(arg)
		if err == nil || !strings.Contains(err.Error(), "ctrx exp sweep") {
			t.Errorf("ParseOverride(%s): %v", arg, err)
		}
		if _, _, err := ExpandOverrides([]string{"b=1,2", arg}); err == nil {
			t.Errorf("ExpandOverrides(%s) succeeded", arg)
		}
	}
}

func TestAxisAt(t *testing.T) {
	for _, c := range []struct {
		arg  string
		f    float64
		want string // "" for a number that is none
	}{
		{"a=uniform(0,1)", 0.25, "a=0.25"},
		{"a=uniform(0,1)", 1, "a=1.0"},
		{"a=uniform(0,1)", 1e-5, "a=1e-05"},
		{"a=uniform(0,1)", 1.0000001, ""},
		{"a=uniform(0,1)", -1, ""},
		{"a=uniform(0,1)", math.NaN(), ""},
		{"a=randint(3,6)", 5, "a=5"},
		{"a=randint(3,6)", 6, ""},
		{"a=randint(3,6)", 4.5, ""},
		{"a=quniform(0,1,0.1)", 0.30000000000000004, "a=0.3"},
		{"a=quniform(0,1,0.1)", 0.35, ""},
		{"a=range(0,0.4,0.1)", 0.30000000000000004, "a=0.3"},
		{"a=range(3,0,-1)", 3, "a=3"},
		{"a=range(3,0,-1)", 0, ""},
		{"a=x,y", 1, ""},
	} {
		s, err := ParseSpace([]string{c.arg})
		if err != nil {
			t.Fatal(err)
		}
		o, ok := s.Axes[0].At(c.f)
		if ok != (c.want != "") || ok && o.Text != c.want {
			t.Errorf("%s at %v: %q, %v; want %q", c.arg, c.f, o.Text, ok, c.want)
		}
	}
}

// The grid of what DVC knows is DVC's list of experiments, in its order.
func TestGridIsDVCs(t *testing.T) {
	for _, args := range [][]string{
		{"a=1,2", "p.json:x=range(3)", "b=choice(u,'v w')", "c=[1,2]"},
		{"a=1,2", "a=3,4", "+n=1"},
		{"a=range(0,1,0.25)", "b=shuffle(1,2,3)"},
	} {
		want, _, err := ExpandOverrides(args)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseSpace(args)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Grid()
		if err != nil {
			t.Fatal(err)
		}
		same := slices.EqualFunc(got, want, func(a, b []Override) bool {
			return slices.EqualFunc(a, b, func(x, y Override) bool {
				return x.File == y.File && x.Text == y.Text && Equal(x.Value, y.Value) && x.Op == y.Op && x.HasValue == y.HasValue
			})
		})
		if !same {
			t.Errorf("%v: %v\nwant %v", args, got, want)
		}
	}
}

func TestGridOfDistributions(t *testing.T) {
	s, err := ParseSpace([]string{"a=randint(1,3)", "b=quniform(0,1,0.5)"})
	if err != nil {
		t.Fatal(err)
	}
	sets, err := s.Grid()
	if err != nil || len(sets) != 6 || sets[1][1].Text != "b=0.5" || sets[3][0].Text != "a=2" {
		t.Errorf("%v, %v", sets, err)
	}
	if n := s.Size(100); n != 6 {
		t.Errorf("Size = %d, want 6", n)
	}
	if n := s.Size(5); n != 5 {
		t.Errorf("Size below 5 = %d", n)
	}
	s, err = ParseSpace([]string{"a=1,2", "b=uniform(0,1)"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Grid(); errs.KindOf(err) != errs.Usage || !strings.Contains(err.Error(), "b=uniform(0,1)") {
		t.Errorf("grid of a distribution: %v", err)
	}
	if n := s.Size(100); n != 0 {
		t.Errorf("Size = %d, want none", n)
	}
}
