package dvcfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/testreq"
)

type outVector struct {
	Path    string   `json:"path"`
	Kind    Kind     `json:"kind"`
	Cache   bool     `json:"cache"`
	Persist bool     `json:"persist"`
	Push    bool     `json:"push"`
	Remote  string   `json:"remote"`
	Desc    string   `json:"desc"`
	Type    string   `json:"type"`
	Labels  []string `json:"labels"`
	Meta    string   `json:"meta"`
	Plot    *string  `json:"plot"`
}

type stageVector struct {
	Name          string      `json:"name"`
	Cmd           string      `json:"cmd"`
	WDir          string      `json:"wdir"`
	Deps          []string    `json:"deps"`
	Params        [][2]any    `json:"params"`
	Outs          []outVector `json:"outs"`
	Frozen        bool        `json:"frozen"`
	AlwaysChanged bool        `json:"always_changed"`
	Desc          string      `json:"desc"`
	Meta          string      `json:"meta"`
	Tracked       string      `json:"tracked"`
	Parametrized  bool        `json:"parametrized"`
	Group         string      `json:"group"`
}

type topVector struct {
	Params    []string `json:"params"`
	Metrics   []string `json:"metrics"`
	Plots     string   `json:"plots"`
	Artifacts string   `json:"artifacts"`
}

type pipelineVector struct {
	Files  map[string]string            `json:"files"`
	Config map[string]map[string]string `json:"config,omitempty"`
	Error  string                       `json:"error,omitempty"`
	Stages []stageVector                `json:"stages"`
	Top    *topVector                   `json:"top"`
}

// parse reads the dvc.yaml of a vector.
func (v pipelineVector) parse() (*Pipeline, error) {
	files := fstest.MapFS{}
	for name, text := range v.Files {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	opts := ParseOptions{Bool: v.Config["parsing"]["bool"], List: v.Config["parsing"]["list"]}
	return ParsePipeline("dvc.yaml", []byte(v.Files["dvc.yaml"]), func(p string) ([]byte, error) { return fs.ReadFile(files, p) }, opts)
}

func showPlot(p *PlotProps) *string {
	if p == nil {
		return nil
	}
	m := &Map{}
	for _, f := range [][2]string{{"template", p.Template}, {"x", p.X}, {"y", p.Y}, {"x_label", p.XLabel}, {"y_label", p.YLabel}, {"title", p.Title}} {
		if f[1] != "" {
			m.Set(f[0], f[1])
		}
	}
	if p.Header != nil {
		m.Set("header", *p.Header)
	}
	s := PyRepr(m)
	return &s
}

func showStage(s *Stage) stageVector {
	v := stageVector{Name: s.Name, Cmd: PyRepr(s.Cmd), WDir: s.WDir, Deps: s.Deps, Frozen: s.Frozen, AlwaysChanged: s.AlwaysChanged,
		Desc: s.Desc, Meta: PyRepr(s.Meta), Tracked: PyRepr(s.Vars), Parametrized: s.Parametrized, Group: s.Group,
		Outs: []outVector{}, Params: [][2]any{}}
	if v.Deps == nil {
		v.Deps = []string{}
	}
	for _, p := range s.Params {
		var keys any
		if p.Keys != nil {
			list := []any{}
			for _, k := range p.Keys {
				list = append(list, k)
			}
			keys = list
		}
		v.Params = append(v.Params, [2]any{p.File, keys})
	}
	for _, o := range s.Outs {
		v.Outs = append(v.Outs, outVector{o.Path, o.Kind, o.Cache, o.Persist, o.Push, o.Remote, o.Desc, o.Type, o.Labels, PyRepr(o.Meta), showPlot(o.Plot)})
	}
	return v
}

func showTop(p *Pipeline) *topVector {
	plots := []Value{}
	for i := 0; i < len(p.Plots); i++ {
		s := p.Plots[i]
		if !s.Def {
			plots = append(plots, s.ID)
			continue
		}
		group := &Map{}
		for ; i < len(p.Plots) && p.Plots[i].Def && p.Plots[i].Pos == s.Pos; i++ {
			s := p.Plots[i]
			def := &Map{}
			for _, f := range []struct {
				key string
				v   Value
			}{{"x", s.X}, {"y", s.Y}, {"title", s.Title}, {"x_label", s.XLabel}, {"y_label", s.YLabel}, {"template", s.Template}} {
				if f.v != nil && f.v != "" {
					def.Set(f.key, f.v)
				}
			}
			if def.Len() > 0 {
				group.Set(s.ID, def)
			} else {
				group.Set(s.ID, nil)
			}
		}
		i--
		plots = append(plots, group)
	}
	v := &topVector{Params: p.Params, Metrics: p.Metrics, Plots: PyRepr(plots), Artifacts: PyRepr(p.Artifacts)}
	if v.Params == nil {
		v.Params = []string{}
	}
	if v.Metrics == nil {
		v.Metrics = []string{}
	}
	return v
}

// compare checks one vector against what this package makes of it.
func (v pipelineVector) compare(t *testing.T) {
	t.Helper()
	p, err := v.parse()
	if (err != nil) != (v.Error != "") {
		t.Errorf("%q:\nerror %v\nDVC: %q", v.Files, err, v.Error)
		return
	}
	if err != nil {
		if errs.KindOf(err) != errs.ProjectFile && !strings.Contains(err.Error(), "params.yaml") {
			t.Errorf("%q: kind of %v", v.Files, err)
		}
		// Where DVC explains itself we use its words; its syntax errors are pyparsing's.
		if strings.HasPrefix(v.Error, "failed to") && !strings.Contains(v.Error, "ParseException") && !strings.Contains(err.Error(), v.Error) {
			t.Errorf("%q:\n got %v\nwant %s", v.Files, err, v.Error)
		}
		return
	}
	got := []stageVector{}
	for _, s := range p.Stages {
		got = append(got, showStage(s))
	}
	if !reflect.DeepEqual(got, v.Stages) {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(v.Stages)
		t.Errorf("%q:\n got %s\nwant %s", v.Files, g, w)
	}
	if top := showTop(p); !reflect.DeepEqual(top, v.Top) {
		t.Errorf("%q:\n got %+v\nwant %+v", v.Files, top, v.Top)
	}
}

func TestParsePipelineVectors(t *testing.T) {
	for _, v := range vectors[pipelineVector](t, "pipeline_vectors.json") {
		v.compare(t)
	}
}

func noFiles(string) ([]byte, error) { return nil, fs.ErrNotExist }

func TestParsePipelineErrors(t *testing.T) {
	for _, c := range []struct{ name, text, want, hint string }{
		{"unknown key of a stage", "stages:\n  a:\n    cmd: touch o.txt\n    outz: [o.txt]\n",
			"dvc.yaml:4:5: unknown key 'outz' in stage 'a'\n   4 |     outz: [o.txt]\n     |     ^", "did you mean 'outs'?"},
		{"unknown key at the top", "stage:\n  a: {cmd: x}\n",
			"dvc.yaml:1:1: unknown key 'stage' in dvc.yaml\n   1 | stage:\n     | ^", "did you mean 'stages'?"},
		{"a key like no other", "stages: {a: {cmd: x, banana: y}}\n",
			"dvc.yaml:1:22: unknown key 'banana' in stage 'a'\n   1 | stages: {a: {cmd: x, banana: y}}\n     |                      ^",
			"known keys: cmd, wdir, deps, params, outs, metrics, plots, vars, frozen, always_changed, desc, meta, matrix, foreach, do"},
		{"several at once", "stages:\n  a:\n    cmd: [1]\n    deps: x\n",
			"dvc.yaml:3:11: an item of 'cmd' of stage 'a' must be a string, not an integer\n   3 |     cmd: [1]\n     |           ^\n" +
				"dvc.yaml:4:11: 'deps' of stage 'a' must be a list of strings, not a string\n   4 |     deps: x\n     |           ^", ""},
		{"a list", "- a\n", "dvc.yaml:1:1: a dvc.yaml must be a mapping with the keys stages, vars, params, metrics, plots, artifacts, datasets, not a list\n   1 | - a\n     | ^", ""},
		{"a stage that is a string", "stages:\n  a: echo\n", "dvc.yaml:2:6: stage 'a' must be a mapping, not a string\n   2 |   a: echo\n     |      ^", ""},
		{"no command", "stages:\n  a:\n    outs: [x]\n", "dvc.yaml:3:5: the key 'cmd' is missing in stage 'a'\n   3 |     outs: [x]\n     |     ^", ""},
		{"flags forgotten", "stages:\n  a:\n    cmd: x\n    outs:\n    - o.txt:\n",
			"dvc.yaml:5:13: output 'o.txt' must be a mapping, not null\n   5 |     - o.txt:", "write `- o.txt` without the colon"},
		{"misspelt flag", "stages:\n  a:\n    cmd: x\n    outs:\n    - o.txt: {cahce: false}\n",
			"dvc.yaml:5:15: unknown key 'cahce' in output 'o.txt'\n   5 |     - o.txt: {cahce: false}\n     |               ^", "did you mean 'cache'?"},
		{"duplicate key", "stages:\n  a: {cmd: x}\n  a: {cmd: y}\n", "dvc.yaml:3:3: the key a is given twice", ""},
		{"unknown variable", "vars:\n- train: {epochs: 3}\nstages:\n  a:\n    cmd: x ${train.epoch}\n",
			"dvc.yaml:5:12: failed to parse 'stages.a.cmd' in 'dvc.yaml': Could not find 'train.epoch'\n   5 |     cmd: x ${train.epoch}\n     |            ^",
			"did you mean '${train.epochs}'?"},
		{"variable in a list", "vars:\n- l: [1]\nstages:\n  a:\n    cmd: x\n    deps:\n    - ok\n    - ${l}\n",
			"dvc.yaml:8:7: failed to parse 'stages.a.deps' in 'dvc.yaml':\nCannot interpolate data of type 'list'\n   8 |     - ${l}\n     |       ^", ""},
		{"a bad expression", "stages:\n  a:\n    cmd: x ${a[0}\n",
			"dvc.yaml:3:12: failed to parse 'stages.a.cmd' in 'dvc.yaml':\n${a[0}: '[' is not closed\n   3 |     cmd: x ${a[0}\n     |            ^", ""},
		{"a command that is a mapping", "vars: [{d: {x: 1}}]\nstages:\n  a:\n    cmd: ${d}\n",
			"dvc.yaml:4:10: stage 'a': 'cmd' resolves to a mapping, expected a command\n   4 |     cmd: ${d}\n     |          ^",
			"put the program before it: cmd: python train.py ${...}"},
	} {
		_, err := ParsePipeline("dvc.yaml", []byte(c.text), noFiles, ParseOptions{})
		if err == nil || !strings.HasPrefix(errs.Explain(err), c.want) || errs.HintOf(err) != c.hint || errs.KindOf(err) != errs.ProjectFile {
			t.Errorf("%s:\n got %v\nwant %s\nhint %q, want %q", c.name, err, c.want, errs.HintOf(err), c.hint)
		}
	}
}

func TestBrokenParamsFileNamesItself(t *testing.T) {
	v := pipelineVector{Files: map[string]string{"dvc.yaml": "stages: {a: {cmd: x}}\n", "params.yaml": "a: 1\na: 2\n"}}
	_, err := v.parse()
	if err == nil || !strings.Contains(err.Error(), "params.yaml:2:1: ") || errs.KindOf(err) != errs.ProjectFile {
		t.Errorf("got %v", err)
	}
}

func TestCommands(t *testing.T) {
	p, err := ParsePipeline("dvc.yaml", []byte("stages:\n  a:\n    cmd: |\n      one\n\n      two\n  b:\n    cmd: [\"x\\ny\", z]\n"), noFiles, ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.Stages[0].Commands, []string{"one", "", "two"}; !slices.Equal(got, want) {
		t.Errorf("string: %q, want %q", got, want)
	}
	if got, want := p.Stages[1].Commands, []string{"x\ny", "z"}; !slices.Equal(got, want) {
		t.Errorf("list: %q, want %q", got, want)
	}
}

func TestStagesOf(t *testing.T) {
	p, err := ParsePipeline("dvc.yaml", []byte("stages:\n  a: {cmd: x}\n  g: {foreach: [1, 2], do: {cmd: x}}\n"), noFiles, ParseOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"a": 1, "g": 2, "g@2": 1, "nope": 0} {
		if got := p.StagesOf(name); len(got) != want {
			t.Errorf("%s: %d stages, want %d", name, len(got), want)
		}
	}
	if want := []string{"a", "g@1", "g@2"}; !slices.Equal(p.Names(), want) {
		t.Errorf("names %q, want %q", p.Names(), want)
	}
}

// bigPipeline writes n stages, each once as it is and once by foreach.
func bigPipeline(n int) []byte {
	var b strings.Builder
	b.WriteString("stages:\n")
	for i := range n {
		fmt.Fprintf(&b, "  s%d:\n    cmd: python s.py ${lr} %d\n    deps:\n    - in%d\n    params:\n    - lr\n    outs:\n    - out%d:\n        cache: false\n", i, i, i, i)
	}
	b.WriteString("  g:\n    foreach:\n")
	for i := range n {
		fmt.Fprintf(&b, "    - %d\n", i)
	}
	b.WriteString("    do:\n      cmd: python g.py ${item} ${lr}\n      outs:\n      - g${item}\n")
	return []byte(b.String())
}

func TestManyStagesAreFast(t *testing.T) {
	const n = 5000
	v := pipelineVector{Files: map[string]string{"dvc.yaml": string(bigPipeline(n)), "params.yaml": "lr: 0.1\n"}}
	start := time.Now()
	p, err := v.parse()
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Stages) != 2*n {
		t.Errorf("%d stages, want %d", len(p.Stages), 2*n)
	}
	// A tenth of a second here; the bound is for a busy machine with the race detector.
	if took := time.Since(start); took > time.Minute {
		t.Errorf("%d stages took %v", 2*n, took)
	}
}

func BenchmarkParsePipeline(b *testing.B) {
	data := bigPipeline(5000)
	read := func(string) ([]byte, error) { return []byte("lr: 0.1\n"), nil }
	for b.Loop() {
		if _, err := ParsePipeline("dvc.yaml", data, read, ParseOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestPipelineAgainstDVC asks the real program about the cases of the checked
// in vectors, so that another release of it shows.
func TestPipelineAgainstDVC(t *testing.T) {
	testreq.NeedModules(t, "dvc")
	cases := vectors[pipelineVector](t, "pipeline_vectors.json")
	for i := range cases {
		cases[i] = pipelineVector{Files: cases[i].Files, Config: cases[i].Config}
	}
	for _, v := range askDVC(t, "pipeline", cases) {
		v.compare(t)
	}
}

// askDVC runs the vector script on given cases.
func askDVC[T any](t *testing.T, table string, cases []T) []T {
	t.Helper()
	input, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "testdata/make_pipeline_vectors.py", table, "--input")
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	var rows []T
	if err := json.Unmarshal(out, &rows); err != nil {
		t.Fatal(err)
	}
	return rows
}

func FuzzParsePipeline(f *testing.F) {
	for _, v := range vectors[pipelineVector](f, "pipeline_vectors.json") {
		f.Add([]byte(v.Files["dvc.yaml"]), []byte(v.Files["params.yaml"]))
	}
	f.Fuzz(func(t *testing.T, data, params []byte) {
		p, err := ParsePipeline("dvc.yaml", data, func(string) ([]byte, error) { return params, nil }, ParseOptions{})
		if err != nil {
			return
		}
		for _, s := range p.Stages {
			if got, ok := p.Stage(s.Name); !ok || got.Name != s.Name {
				t.Errorf("stage %q cannot be found", s.Name)
			}
		}
	})
}

func FuzzReadParams(f *testing.F) {
	for _, v := range vectors[paramsVector](f, "params_vectors.json") {
		f.Add(v.File, []byte(v.Text))
	}
	f.Fuzz(func(t *testing.T, file string, data []byte) {
		m, err := ReadParams(file, data)
		if err != nil {
			return
		}
		for _, key := range Flatten(m).Keys() {
			Lookup(m, key)
		}
	})
}
