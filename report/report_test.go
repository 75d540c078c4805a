package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"testing"

	"ctrx/internal/errs"
	"ctrx/internal/testreq"
	"ctrx/pipeline/dvcfile"
)

// vector is a line of testdata/vectors.jsonl, which make_vectors.py made with
// the real DVC.
type vector struct {
	Old, New     [][2]*string // file, JSON or null when it could not be read
	Metrics      [][2]*string // of Old
	All          bool
	Precision    int
	NoPath       bool `json:"no_path"`
	Show         string
	ShowMD       string `json:"show_md"`
	MetricsDiff  string `json:"metrics_diff"`
	ParamsDiff   string `json:"params_diff"`
	MetricsTable string `json:"metrics_table"`
	MetricsMD    string `json:"metrics_md"`
	ParamsTable  string `json:"params_table"`
	ParamsMD     string `json:"params_md"`
	ExpMetrics   string `json:"exp_metrics_table"`
	ExpMetricsMD string `json:"exp_metrics_md"`
	ExpParams    string `json:"exp_params_table"`
	ExpParamsMD  string `json:"exp_params_md"`
}

func revision(t *testing.T, name string, files [][2]*string, metrics bool) Revision {
	t.Helper()
	r := Revision{Name: name}
	for _, f := range files {
		if f[1] == nil {
			r.Files = append(r.Files, File{Path: *f[0], Err: fs.ErrNotExist})
			continue
		}
		v := value(t, *f[1])
		if metrics {
			v = Metrics(v)
		}
		r.Files = append(r.Files, File{Path: *f[0], Data: v})
	}
	return r
}

// value reads JSON, also where it is a lone null or 0.
func value(t *testing.T, text string) dvcfile.Value {
	t.Helper()
	list, err := dvcfile.ReadData("v.json", []byte("["+text+"]"))
	if err != nil {
		t.Fatal(err)
	}
	return list.([]dvcfile.Value)[0]
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	checkVectors(t, data)
}

func TestVectorsAreWhatDVCGives(t *testing.T) {
	testreq.Need(t, testreq.DVC)
	testreq.NeedModules(t, "dvc")
	out, err := exec.CommandContext(t.Context(), "python3", "testdata/make_vectors.py").Output()
	if err != nil {
		t.Fatal(err)
	}
	checkVectors(t, out)
}

func checkVectors(t *testing.T, data []byte) {
	t.Helper()
	n := 0
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<24)
	for ; lines.Scan(); n++ {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		checkVector(t, n, v)
	}
	if n < 50 {
		t.Fatalf("only %d vectors", n)
	}
}

func checkVector(t *testing.T, n int, v vector) {
	same := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("vector %d: %s:\n%s\nDVC:\n%s", n, what, got, want)
		}
	}
	old, new := revision(t, "HEAD", v.Old, true), revision(t, "v1,main", v.New, true)
	for i, m := range v.Metrics {
		if m[1] != nil {
			same("metrics of "+*m[0], string(dvcfile.JSON(old.Files[i].Data)), string(dvcfile.JSON(value(t, *m[1]))))
		}
	}
	same("show", ShowTable([]Revision{old, new}, true, v.Precision).Plain(), v.Show)
	same("show --md", ShowTable([]Revision{new}, false, v.Precision).Markdown(), v.ShowMD)
	d := Compare(old, new, v.All)
	same("metrics diff --json", string(dvcfile.CanonicalJSON(d.Value())), string(dvcfile.CanonicalJSON(value(t, v.MetricsDiff))))
	with := func(l Layout) Layout {
		l.NoPath, l.Precision = v.NoPath, v.Precision
		return l
	}
	same("metrics diff", d.Table(with(MetricsLayout("HEAD", ""))).Plain(), v.MetricsTable)
	same("metrics diff --md", d.Table(with(MetricsLayout("", "workspace"))).Markdown(), v.MetricsMD)
	same("exp diff, metrics", d.Table(with(ExpMetricsLayout("", ""))).Plain(), v.ExpMetrics)
	same("exp diff --md, metrics", d.Table(with(ExpMetricsLayout("", ""))).Markdown(), v.ExpMetricsMD)
	old, new = revision(t, "HEAD", v.Old, false), revision(t, "", v.New, false)
	d = Compare(old, new, v.All)
	same("params diff --json", string(dvcfile.CanonicalJSON(d.Value())), string(dvcfile.CanonicalJSON(value(t, v.ParamsDiff))))
	same("params diff", d.Table(with(ParamsLayout("", ""))).Plain(), v.ParamsTable)
	same("params diff --md", d.Table(with(ParamsLayout("", ""))).Markdown(), v.ParamsMD)
	same("exp diff, params", d.Table(with(ExpParamsLayout("", ""))).Plain(), v.ExpParams)
	same("exp diff --md, params", d.Table(with(ExpParamsLayout("", ""))).Markdown(), v.ExpParamsMD)
}

func TestDiffJSON(t *testing.T) {
	old := Revision{Files: []File{{Path: "m.json", Data: value(t, `{"acc": 0.75, "t": true, "s": "x", "l": [1]}`)}, {Path: "same", Data: value(t, `{"a": 1}`)}}}
	new := Revision{Files: []File{{Path: "m.json", Data: value(t, `{"acc": 0.81, "t": 1, "s": "y", "l": [1, 2], "é": null}`)}, {Path: "same", Data: value(t, `{"a": 1.0}`)}}}
	want := `{"m.json": {"acc": {"old": 0.75, "new": 0.81, "diff": 0.06000000000000005}, "l": {"old": "[1]", "new": "[1, 2]"}, "s": {"old": "x", "new": "y"}}}`
	d := Compare(old, new, false)
	if got := string(JSON(d.Value(), false)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	want = `{"metrics": ` + want + `, "params": {}}`
	if got := string(JSON(ExpDiffValue(d, Diff{}), false)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestIndentedJSON(t *testing.T) {
	v := value(t, `{"a": {}, "b": [], "c": [1, {"d": "x, {\"y\": [\\"}], "e": NaN}`)
	want := "{\n  \"a\": {},\n  \"b\": [],\n  \"c\": [\n    1,\n    {\n      \"d\": \"x, {\\\"y\\\": [\\\\\"\n    }\n  ],\n  \"e\": NaN\n}"
	if got := string(JSON(v, true)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := string(JSON(&dvcfile.Map{}, true)); got != "{}" {
		t.Errorf("empty: %s", got)
	}
}

func TestShowValue(t *testing.T) {
	revs := []Revision{
		{Name: "workspace", Files: []File{{Path: "m", Data: value(t, `{"a": 1}`)}, {Path: "gone", Err: fs.ErrNotExist},
			{Path: "bad", Err: errs.At(errs.Pos{File: "bad", Line: 2}, "not valid JSON")}}},
		{Name: "main", Err: errs.New(errs.Failed, "no")},
	}
	want := `{"workspace": {"data": {"m": {"data": {"a": 1}}, "gone": {"error": {"type": "FileNotFoundError", "msg": "file does not exist"}}, ` +
		`"bad": {"error": {"type": "YAMLFileCorruptedError", "msg": "bad:2: not valid JSON"}}}}, "main": {"error": {"type": "DvcException", "msg": "no"}}}`
	if got := string(JSON(ShowValue(revs), false)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestHideWorkspace(t *testing.T) {
	file := func(text string) []File { return []File{{Path: "../m", Rel: "m", Data: value(t, text)}} }
	broken := []File{{Path: "../m", Rel: "m", Err: fs.ErrNotExist}}
	two := append(file(`{"a": 1}`), File{Path: "../n", Rel: "n", Data: value(t, `2`)})
	for _, test := range []struct {
		name         string
		work, branch []File
		head         string
		hidden       bool
	}{
		{"equal", file(`{"a": 1, "b": 2}`), file(`{"b": 2.0, "a": 1}`), "main", true},
		{"no files", nil, nil, "main", true},
		{"another order", two, []File{two[1], two[0]}, "main", true},
		{"changed", file(`{"a": 1}`), file(`{"a": 2}`), "main", false},
		{"one more", two, file(`{"a": 1}`), "main", false},
		{"unreadable", broken, broken, "main", false},
		{"detached", file(`1`), file(`1`), "", false},
		{"another branch", file(`1`), file(`1`), "other", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			revs := []Revision{{Name: "workspace", Files: test.work}, {Name: "main", Files: test.branch}}
			if got := HideWorkspace(revs, test.head); (len(got) == 1) != test.hidden || got[len(got)-1].Name != "main" {
				t.Errorf("%v", got)
			}
			if revs[0].Name != "workspace" {
				t.Error("the argument was changed")
			}
		})
	}
	if got := HideWorkspace([]Revision{{Name: "", Files: file(`1`)}}, "main"); len(got) != 1 {
		t.Errorf("a single revision: %v", got)
	}
}

func TestRounding(t *testing.T) {
	for _, tt := range []struct {
		x         float64
		precision int
		want      string
	}{
		{2.675, 2, "2.67"}, {0.125, 2, "0.12"}, {0.375, 2, "0.38"}, {1e-9, 5, "0.0"}, {-1e-9, 5, "-0.0"}, {1234.5, -2, "1200.0"}, {1e300, 5, "1e+300"}, {0.1, 2000, "0.1"}, {5, -400, "0.0"},
	} {
		if got := dvcfile.Float(round(tt.x, tt.precision)).String(); got != tt.want {
			t.Errorf("round(%v, %d) = %s, want %s", tt.x, tt.precision, got, tt.want)
		}
	}
	for x, want := range map[float64]string{0: "0", 100000: "1e+05", 99999.5: "1e+05", 12345.6: "12346", 0.0001: "0.0001", 0.00001: "1e-05", 1.5: "1.5", 123456789: "1.2346e+08", -2: "-2", 1e100: "1e+100"} {
		if got := significant(x, 5); got != want {
			t.Errorf("significant(%v) = %s, want %s", x, got, want)
		}
	}
}
