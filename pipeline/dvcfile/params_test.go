package dvcfile

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

// vectors reads a file made by testdata/make_pipeline_vectors.py.
func vectors[T any](t testing.TB, file string) []T {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var rows []T
	if err := json.Unmarshal(data, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

type paramsVector struct {
	File, Text, Repr, Flat string
	Error                  bool
	Found                  map[string]*string
}

func TestReadParamsVectors(t *testing.T) {
	for _, row := range vectors[paramsVector](t, "params_vectors.json") {
		v, err := ReadData(row.File, []byte(row.Text))
		if (err != nil) != row.Error {
			t.Errorf("%s %q: error %v, DVC fails: %v", row.File, row.Text, err, row.Error)
			continue
		}
		if row.Error {
			continue
		}
		if got := PyRepr(v); got != row.Repr {
			t.Errorf("%s %q:\n got %s\nwant %s", row.File, row.Text, got, row.Repr)
		}
		m := v.(*Map)
		if got := PyRepr(Flatten(m)); got != row.Flat {
			t.Errorf("flatten %q:\n got %s\nwant %s", row.Text, got, row.Flat)
		}
		for key, want := range row.Found {
			v, ok := Lookup(m, key)
			if ok != (want != nil) {
				t.Errorf("lookup %s in %q: found %v", key, row.Text, ok)
			} else if ok && PyRepr(v) != *want {
				t.Errorf("lookup %s in %q: %s, want %s", key, row.Text, PyRepr(v), *want)
			}
		}
	}
}

func TestParamsDepValues(t *testing.T) {
	content, err := ReadParams("params.yaml", []byte("lr: 0.1\ntrain: {epochs: 3, layers: [8, 16]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	dep := ParamsDep{File: "params.yaml", Keys: []string{"train.layers.1", "lr"}}
	values, err := dep.Read(content)
	if err != nil || PyRepr(values) != "{'train.layers.1': 16, 'lr': 0.1}" {
		t.Errorf("got %s, %v", PyRepr(values), err)
	}
	whole, err := ParamsDep{File: "params.yaml"}.Read(content)
	if err != nil || PyRepr(whole) != PyRepr(content) {
		t.Errorf("whole file: %s, %v", PyRepr(whole), err)
	}
	_, err = ParamsDep{File: "params.yaml", Keys: []string{"epochs", "nix"}}.Read(content)
	if err == nil || err.Error() != "Parameters 'epochs, nix' are missing from 'params.yaml'." || errs.KindOf(err) != errs.ProjectFile {
		t.Errorf("got %v", err)
	}
	if hint := errs.HintOf(err); hint != "did you mean 'train.epochs'?" {
		t.Errorf("hint %q", hint)
	}
}

func TestParamsDepCompare(t *testing.T) {
	read := func(s string) *Map {
		m, err := ReadParams("params.yaml", []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	whole := ParamsDep{File: "params.yaml"}
	some := ParamsDep{File: "params.yaml", Keys: []string{"a", "b.c", "d"}}
	for _, c := range []struct {
		name              string
		dep               ParamsDep
		recorded, content *Map
		want              []ParamChange
	}{
		{"equal, other kind of number", some, read("{a: 1, b.c: 2, d: [1, {x: 1}]}"), read("{a: 1.0, b: {c: 2}, d: [true, {x: 1}]}"), nil},
		{"nothing recorded", some, nil, read("{a: 1}"), []ParamChange{{"", ParamNew}}},
		{"file gone", some, read("{a: 1}"), nil, []ParamChange{{"", ParamDeleted}}},
		{"each state", some, read("{a: 1, b.c: 2}"), read("{a: 2, d: 3}"),
			[]ParamChange{{"a", ParamModified}, {"b.c", ParamDeleted}, {"d", ParamNew}}},
		{"whole file, recorded keys last", whole, read("{a: 1, z: 2}"), read("{q: 1, a: 2}"),
			[]ParamChange{{"q", ParamNew}, {"a", ParamModified}, {"z", ParamDeleted}}},
		{"not a number is never itself", some, read("{a: .nan, b.c: 1, d: 1}"), read("{a: .nan, b: {c: 1}, d: 1}"), []ParamChange{{"a", ParamModified}}},
		{"text is not a number", some, read("{a: '1', b.c: 1, d: 1}"), read("{a: 1, b: {c: 1}, d: 1}"), []ParamChange{{"a", ParamModified}}},
	} {
		if got := c.dep.Compare(c.recorded, c.content); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestReadParamsErrorsHavePositions(t *testing.T) {
	for file, c := range map[string]struct{ text, want string }{
		"p.json":  {"{\"a\": 1,\n \"b\" 2}", "p.json:2:6: expected ':' after the key \"b\""},
		"p.toml":  {"a = 1\nb = \n", "p.toml:2:5: not valid TOML: "},
		"p.py":    {"a = 1\nb = 'x\n", "p.py:2:5: not valid Python: a string is not closed on its line"},
		"l.json":  {"[1]", "l.json: expected a mapping of parameters, got a list"},
		"bad.txt": {"a: 1\na: 2\n", "bad.txt:2:1: "},
	} {
		_, err := ReadParams(file, []byte(c.text))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || errs.KindOf(err) != errs.ProjectFile {
			t.Errorf("%s: got %v, want %s", file, err, c.want)
		}
	}
}

func TestAliasBombIsRefused(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	if _, err := ReadParams("params.yaml", []byte(b.String())); errs.KindOf(err) != errs.ProjectFile {
		t.Errorf("params: %v", err)
	}
	if _, err := ParsePipeline("dvc.yaml", []byte(b.String()), noFiles, ParseOptions{}); errs.KindOf(err) != errs.ProjectFile {
		t.Errorf("pipeline: %v", err)
	}
}
