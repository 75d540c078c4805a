package dvcfile

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"ctrx/internal/errs"
	"ctrx/internal/testreq"
)

type sweepVector struct {
	Args   []string              `json:"args"`
	Sweep  bool                  `json:"sweep"`
	Sets   []map[string][]string `json:"sets,omitempty"`
	Values [][]string            `json:"values,omitempty"`
	Error  string                `json:"error,omitempty"`
}

func (v sweepVector) compare(t *testing.T) {
	t.Helper()
	sets, isSweep, err := ExpandOverrides(v.Args)
	if (err != nil) != (v.Error != "") {
		t.Errorf("%q: error %v, DVC: %q", v.Args, err, v.Error)
		return
	}
	if err != nil {
		if errs.KindOf(err) != errs.Usage {
			t.Errorf("%q: kind of %v", v.Args, err)
		}
		return
	}
	var texts []map[string][]string
	var values [][]string
	for _, set := range sets {
		byFile, reprs := map[string][]string{}, []string{}
		for _, o := range set {
			byFile[o.File] = append(byFile[o.File], o.Text)
			reprs = append(reprs, PyRepr(o.Value))
		}
		texts, values = append(texts, byFile), append(values, reprs)
	}
	if isSweep != v.Sweep || !reflect.DeepEqual(texts, v.Sets) && len(texts)+len(v.Sets) > 0 {
		t.Errorf("%q:\n got %v %q\nwant %v %q", v.Args, isSweep, texts, v.Sweep, v.Sets)
	}
	if !reflect.DeepEqual(values, v.Values) && len(values)+len(v.Values) > 0 {
		t.Errorf("%q:\n got %q\nwant %q", v.Args, values, v.Values)
	}
}

func TestExpandOverridesVectors(t *testing.T) {
	for _, v := range vectors[sweepVector](t, "sweep_vectors.json") {
		v.compare(t)
	}
}

type overrideVector struct {
	File   string   `json:"file"`
	Text   *string  `json:"text"`
	Args   []string `json:"args"`
	Result string   `json:"result,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// apply parses and applies the arguments of a vector.
func (v overrideVector) apply() (string, error) {
	var all []Override
	for _, arg := range v.Args {
		// The vectors leave the file out; it is put back where a colon would
		// be taken for the end of one.
		ovs, err := ParseOverride(v.File + ":" + arg)
		if err != nil {
			return "", err
		}
		if len(ovs) != 1 {
			return "", errs.New(errs.Usage, "a sweep")
		}
		all = append(all, ovs...)
	}
	var data []byte
	if v.Text != nil {
		data = []byte(*v.Text)
	}
	out, err := ApplyOverrides(v.File, data, all, Surroundings{})
	return string(out), err
}

func (v overrideVector) compare(t *testing.T) {
	t.Helper()
	got, err := v.apply()
	if (err != nil) != (v.Error != "") {
		t.Errorf("%s %q: error %v, DVC: %q", v.File, v.Args, err, v.Error)
		return
	}
	if err != nil {
		if errs.KindOf(err) != errs.Usage {
			t.Errorf("%s %q: kind of %v", v.File, v.Args, err)
		}
		return
	}
	if got != v.Result {
		t.Errorf("%s %q:\n got %s\nwant %s", v.File, v.Args, got, v.Result)
	}
}

func TestApplyOverridesVectors(t *testing.T) {
	for _, v := range vectors[overrideVector](t, "override_vectors.json") {
		v.compare(t)
	}
}

// TestOverridesAgainstDVC asks the real program about the checked-in cases.
func TestOverridesAgainstDVC(t *testing.T) {
	testreq.NeedModules(t, "dvc")
	sweeps := vectors[sweepVector](t, "sweep_vectors.json")
	for i := range sweeps {
		sweeps[i] = sweepVector{Args: sweeps[i].Args}
	}
	for _, v := range askDVC(t, "sweep", sweeps) {
		v.compare(t)
	}
	cases := vectors[overrideVector](t, "override_vectors.json")
	for i, v := range cases {
		cases[i] = overrideVector{File: v.File, Text: v.Text, Args: v.Args}
	}
	for _, v := range askDVC(t, "override", cases) {
		v.compare(t)
	}
}

func TestSplitOverride(t *testing.T) {
	for arg, want := range map[string][2]string{
		"a=1":             {"params.yaml", "a=1"},
		"a=b:c":           {"params.yaml", "a=b:c"},
		"conf/p.json:a=1": {"conf/p.json", "a=1"},
		"p.yaml:+a=x:y":   {"p.yaml", "+a=x:y"},
		"lr,o.yaml:x=1":   {"lr,o.yaml", "x=1"},
		"~gone":           {"params.yaml", "~gone"},
	} {
		if file, rest := SplitOverride(arg); file != want[0] || rest != want[1] {
			t.Errorf("%s: %s, %s", arg, file, rest)
		}
	}
}

func TestParseOverrideSweep(t *testing.T) {
	ovs, err := ParseOverride("lr=1e-3,0.1")
	if err != nil || len(ovs) != 2 {
		t.Fatalf("%v, %v", ovs, err)
	}
	if ovs[0].Value != Float(0.001) || ovs[0].Text != "lr=0.001" || ovs[1].Value != Float(0.1) {
		t.Errorf("got %+v", ovs)
	}
	for arg, want := range map[string]bool{"a=1": false, "a=1,2": true, "a=choice(1)": true, "~a": false} {
		if got, err := IsSweep(arg); got != want || err != nil {
			t.Errorf("%s: %v, %v", arg, got, err)
		}
	}
}

func TestShuffleIsRepeatable(t *testing.T) {
	values := func(arg string) (out []string) {
		ovs, err := ParseOverride(arg)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range ovs {
			out = append(out, PyStr(o.Value))
		}
		return out
	}
	for _, arg := range []string{"a=shuffle(range(20))", "a=shuffle(choice(1,2,3,4,5,6,7,8,9,10))", "a=shuffle(1,2,3,4,5,6,7,8)"} {
		first := values(arg)
		if !slices.Equal(first, values(arg)) {
			t.Errorf("%s: two orders", arg)
		}
		if slices.IsSorted(first) {
			t.Errorf("%s: not shuffled: %v", arg, first)
		}
	}
}

func TestSweepIsBounded(t *testing.T) {
	for _, args := range [][]string{{"a=range(1000000000)"}, {"a=range(0,1,1e-300)"}, {"a=range(1e300,2e300)"}, {"a=range(" + strings.Repeat("9", 400) + ")"}, {"a=range(inf)"}, {"a=range(1,2,0.0)"}, {"a=range(1000)", "b=range(1000)"}} {
		if _, _, err := ExpandOverrides(args); errs.KindOf(err) != errs.Usage {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestOverrideErrorsHaveHints(t *testing.T) {
	text := "train: {lr: 0.1, epochs: 3}\nlayers: [1, 2]\n"
	for _, c := range []struct{ arg, want, hint string }{
		{"train.lrr=1", "invalid --set-param value: params.yaml: Could not override 'train.lrr'.", "did you mean 'train.lr'? to add it use -S +train.lrr=1"},
		{"epochs=1", "invalid --set-param value: params.yaml: Could not override 'epochs'.", "did you mean 'train.epochs'? to add it use -S +epochs=1"},
		{"banana=1", "invalid --set-param value: params.yaml: Could not override 'banana'.", "to add it use -S +banana=1"},
		{"+train.lr=1", "invalid --set-param value: params.yaml: Could not append to config. An item is already at 'train.lr'.", "write train.lr=1 to change it, or ++train.lr=1 to add or change it"},
		{"~trian", "invalid --set-param value: params.yaml: Could not delete from config. 'trian' does not exist.", "did you mean 'train'?"},
		{"~layers.0", "invalid --set-param value: params.yaml: 'layers.0' is an item of a list, and items cannot be deleted one by one.", "set the whole list: layers=[...]"},
		{"layers.7=1", "invalid --set-param value: params.yaml: Error merging override layers.7=1: 'layers' is a list of 2 items, it has no item '7'", ""},
	} {
		ovs, err := ParseOverride(c.arg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ApplyOverrides("params.yaml", []byte(text), ovs, Surroundings{})
		if err == nil || err.Error() != c.want || errs.HintOf(err) != c.hint || errs.KindOf(err) != errs.Usage {
			t.Errorf("%s:\n got %v\nhint %q\nwant %s\nhint %q", c.arg, err, errs.HintOf(err), c.want, c.hint)
		}
	}
	_, err := ParseOverride("a=(x)")
	if err == nil || !strings.Contains(err.Error(), "expected a value at position 3, found '('") || errs.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
	_, err = ParseOverride("name=café")
	if err == nil || !strings.Contains(err.Error(), "unexpected 'é' at position 9; put the value in quotes") {
		t.Errorf("got %v", err)
	}
}

// DVC leaves strings and nested literals of Python files as they are; here
// they change.
func TestApplyOverridesPython(t *testing.T) {
	const text = "name = 'abc'  # who\nd = {'a': 1, 'b': {'c': [1]}}\nx = 1e-3\n"
	var ovs []Override
	for _, arg := range []string{"p.py:name=\"it's\"", "p.py:d.b.c=[2,x]", "p.py:x=2"} {
		o, err := ParseOverride(arg)
		if err != nil {
			t.Fatal(err)
		}
		ovs = append(ovs, o...)
	}
	got, err := ApplyOverrides("p.py", []byte(text), ovs, Surroundings{})
	want := "name = \"it's\"  # who\nd = {'a': 1, 'b': {'c': [2, 'x']}}\nx = 2\n"
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
	for _, arg := range []string{"+new=1", "~name", "++d.z=1"} {
		o, err := ParseOverride("p.py:" + arg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ApplyOverrides("p.py", []byte(text), o, Surroundings{}); errs.KindOf(err) != errs.Usage {
			t.Errorf("%s: %v", arg, err)
		}
	}
}

// DVC 3.67.1 writes "m: # why" and, in the first column of the next line,
// "{}" here, and can't read the file again.
func TestApplyOverridesKeepsTheFileReadable(t *testing.T) {
	ovs, err := ParseOverride("~m.o")
	if err != nil {
		t.Fatal(err)
	}
	out, err := ApplyOverrides("p.yaml", []byte("m: # why\n  o: d\ns: 1\n"), ovs, Surroundings{})
	if out != nil || errs.KindOf(err) != errs.Usage || errs.HintOf(err) == "" || !strings.Contains(err.Error(), "p.yaml") {
		t.Errorf("got %q, %v", out, err)
	}
	out, err = ApplyOverrides("p.yaml", []byte("# why\nm:\n  o: d\ns: 1\n"), ovs, Surroundings{})
	if want := "# why\nm: {}\ns: 1\n"; err != nil || string(out) != want {
		t.Errorf("a comment elsewhere: %q, %v", out, err)
	}
}

func FuzzParseOverride(f *testing.F) {
	for _, v := range vectors[sweepVector](f, "sweep_vectors.json") {
		for _, arg := range v.Args {
			f.Add(arg)
		}
	}
	f.Fuzz(func(t *testing.T, arg string) {
		ovs, err := ParseOverride(arg)
		if err != nil {
			if errs.KindOf(err) != errs.Usage {
				t.Errorf("%q: kind of %v", arg, err)
			}
			return
		}
		// A cast can make a string that reads back as a number or needs
		// quotes; from then on the canonical text is its own canonical text.
		for _, o := range ovs {
			text := o.Text
			for range 2 {
				again, err := parseOverrideIn(o.File, text)
				if err != nil {
					break
				}
				one, err := again.single()
				if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				if text != o.Text && one.Text != text {
					t.Errorf("%q: %q reads back as %q", arg, text, one.Text)
				}
				text = one.Text
			}
		}
	})
}

func FuzzApplyOverrides(f *testing.F) {
	for _, v := range vectors[overrideVector](f, "override_vectors.json") {
		if v.Text != nil {
			f.Add(v.File, []byte(*v.Text), v.Args[0])
		}
	}
	f.Fuzz(func(t *testing.T, file string, data []byte, arg string) {
		parsed, err := parseOverrideIn(file, arg)
		if err != nil {
			return
		}
		o, err := parsed.single()
		if err != nil {
			return
		}
		out, err := ApplyOverrides(file, data, []Override{o}, Surroundings{})
		if err != nil {
			return
		}
		if _, err := ReadParams(file, out); err != nil {
			t.Errorf("%s %q with %q became unreadable %q: %v", file, data, arg, out, err)
		}
	})
}

// What DVC 3.67.1 made of the same file, and what it refuses.
func TestApplyOverridesTOMLTables(t *testing.T) {
	const before = "a = 1\ns = \"${a}\"\nl = [1, 2]\n"
	const b = "[b]\nx = 1.0\ny = [1, 2]\n"
	const z = "[b.z]\nw = 'q'\n"
	for arg, want := range map[string]string{
		"b=2.50":          "a = 1\ns = 1\nl = [1, 2]\nb = 2.5\n",
		"b.z=true":        "a = 1\ns = 1\nl = [1, 2]\n" + b + "z = true\n",
		"+s={x: 2}":       "a = 1\nl = [1, 2]\n[s]\nx = 2\n\n" + b + z,
		"+b.x.deep=\"1\"": "a = 1\ns = 1\nl = [1, 2]\n[b]\ny = [1, 2]\n[b.x]\ndeep = \"1\"\n\n" + z,
		"b.y.1=null":      "",
		"b.z.w={v: null}": "",
	} {
		ovs, err := ParseOverride("p.toml:" + arg)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ApplyOverrides("p.toml", []byte(before+b+z), ovs, Surroundings{})
		if (err != nil) != (want == "") || string(got) != want || err != nil && errs.KindOf(err) != errs.Usage {
			t.Errorf("%s: got %v\n%s\nwant\n%s", arg, err, got, want)
		}
	}
}
