package plots

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/report/plots/svg"
)

// revision makes a revision with one dvc.yaml, from the text of its plots and
// of its files.
func revision(t *testing.T, name, yaml string, files map[string]string) Revision {
	t.Helper()
	v, err := dvcfile.ParseYAML("plots.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	set := pipeline.PlotSet{Data: map[string]pipeline.PlotData{}, Files: []pipeline.PlotFile{{Path: "dvc.yaml"}}}
	defs := v.(*dvcfile.Map)
	for i := range defs.Len() {
		id, props := defs.At(i)
		m, _ := props.(*dvcfile.Map)
		if m == nil {
			m = &dvcfile.Map{}
		}
		set.Files[0].Plots = append(set.Files[0].Plots, pipeline.PlotDef{ID: id, Props: m})
	}
	for file, text := range files {
		d := pipeline.PlotData{Rel: file}
		if pipeline.IsImage(file) {
			d.Image = []byte(text)
		} else if d.Value, d.Err = dvcfile.ReadPlotData(file, []byte(text), true); d.Err != nil {
			t.Fatal(d.Err)
		}
		set.Data[file] = d
	}
	return Revision{Name: name, Set: set}
}

func points(p *Plot) string {
	var rows []string
	for _, point := range p.Points {
		rows = append(rows, string(dvcfile.JSON(point)))
	}
	return strings.Join(rows, "\n")
}

const curve = "step,loss,acc\n0,2,0.1\n1,1,0.2\n"

func TestJoinPoints(t *testing.T) {
	tests := []struct {
		name, yaml string
		files      map[string]string
		want       string // rows
		x, y       string
		wantError  string
	}{
		{name: "the last column over the number of the row", yaml: "a.csv:", files: map[string]string{"a.csv": "p,q\n5,6\n7,8\n"},
			want: `{"p": "5", "q": "6", "step": 0, "rev": "r", "filename": "a.csv", "field": "q"}` + "\n" +
				`{"p": "7", "q": "8", "step": 1, "rev": "r", "filename": "a.csv", "field": "q"}`, x: "step", y: "q"},
		{name: "an x of its own", yaml: "a.csv: {x: p, y: q}", files: map[string]string{"a.csv": "p,q\n5,6\n"},
			want: `{"p": "5", "q": "6", "rev": "r", "filename": "a.csv", "field": "q"}`, x: "p", y: "q"},
		{name: "two fields", yaml: "n: {x: step, y: {a.csv: [loss, acc]}}", files: map[string]string{"a.csv": "step,loss,acc\n0,2,0.1\n"},
			want: `{"step": "0", "loss": "2", "acc": "0.1", "dvc_inferred_y_value": "2", "rev": "r", "filename": "a.csv", "field": "loss"}` + "\n" +
				`{"step": "0", "loss": "2", "acc": "0.1", "dvc_inferred_y_value": "0.1", "rev": "r", "filename": "a.csv", "field": "acc"}`, x: "step", y: inferredY},
		{name: "two files, and the folder they are in", yaml: "n: {y: {d/a.csv: v, d/b.csv: v}}", files: map[string]string{"d/a.csv": "v\n1\n", "d/b.csv": "v\n2\n"},
			want: `{"v": "1", "step": 0, "rev": "r", "filename": "a.csv", "field": "v"}` + "\n" +
				`{"v": "2", "step": 0, "rev": "r", "filename": "b.csv", "field": "v"}`, x: "step", y: "v"},
		{name: "x of another file", yaml: "n: {x: {x.csv: t}, y: {y.csv: v}}", files: map[string]string{"x.csv": "t\n9\n", "y.csv": "v\n1\n"},
			want: `{"v": "1", "t": "9", "rev": "r", "filename": "y.csv", "field": "v"}`, x: "t", y: "v"},
		{name: "lists in a mapping are one table", yaml: "a.json:", files: map[string]string{"a.json": `{"m": {"x": [{"a": 1}, {"a": 2}]}, "l": [{"b": 3}, {"b": 4}], "s": 1, "no": [1, 2]}`},
			want: `{"a": 1, "b": 3, "step": 0, "rev": "r", "filename": "a.json", "field": "a"}` + "\n" +
				`{"a": 2, "b": 4, "step": 1, "rev": "r", "filename": "a.json", "field": "a"}`, x: "step", y: "a"},
		{name: "no data", yaml: "a.csv:", files: map[string]string{"a.csv": "p,q\n"}},
		{name: "no table", yaml: "a.json: {y: v}", files: map[string]string{"a.json": `{"v": 1}`}, wantError: "no list of records"},
		{name: "no such field", yaml: "a.csv: {x: t}", files: map[string]string{"a.csv": "p,q\n5,6\n"}, wantError: "('t') in data fields ('p, q')"},
		{name: "lengths differ", yaml: "n: {x: {x.csv: t}, y: {y.csv: v}}", files: map[string]string{"x.csv": "t\n9\n10\n", "y.csv": "v\n1\n"}, wantError: "same length"},
		{name: "numbers differ", yaml: "n: {x: {x.csv: t, y.csv: v}, y: {y.csv: v}}", files: map[string]string{"x.csv": "t\n9\n", "y.csv": "v\n1\n"}, wantError: "Found 2 x and 1 y"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			all := Join([]Revision{revision(t, "r", tt.yaml, tt.files)})
			if len(all) != 1 {
				t.Fatalf("%d plots", len(all))
			}
			p := all[0]
			if got := points(p); got != tt.want || p.X != tt.x || p.Y != tt.y {
				t.Errorf("points of %q over %q:\n%s\nwant %q over %q:\n%s", p.Y, p.X, got, tt.y, tt.x, tt.want)
			}
			var said string
			for _, e := range p.Errors {
				said += e.Error()
			}
			if (said != "") != (tt.wantError != "") || !strings.Contains(said, tt.wantError) {
				t.Errorf("errors %q, want %q", said, tt.wantError)
			}
		})
	}
}

// Revisions are drawn together; properties of the first win; what one of them
// lacks is told and does not hide the other.
func TestJoinRevisions(t *testing.T) {
	now := revision(t, "workspace", "a.csv: {x: step, y: loss, title: now}\nnew.png:", map[string]string{"a.csv": curve, "new.png": "x"})
	old := revision(t, "HEAD", "a.csv: {x: step, y: loss, title: then, x_label: steps}\nold.csv:", map[string]string{"a.csv": curve})
	old.Set.Data["old.csv"] = pipeline.PlotData{Rel: "old.csv", Err: errs.New(errs.NotFound, "old.csv does not exist")}
	all := Join([]Revision{now, old})
	var ids []string
	for _, p := range all {
		ids = append(ids, p.ID)
	}
	if got := strings.Join(ids, " "); got != "a.csv new.png old.csv" {
		t.Fatalf("plots %s", got)
	}
	if p := all[0]; strings.Join(p.Revs, " ") != "workspace HEAD" || len(p.Points) != 4 || p.text("title") != "now" || p.text("x_label") != "steps" {
		t.Errorf("revisions %v, %d points, title %q, label %q", p.Revs, len(p.Points), p.text("title"), p.text("x_label"))
	}
	if p := all[1]; len(p.Images) != 1 || p.Images[0].Rev != "workspace" || !p.HasData() {
		t.Errorf("images %v", p.Images)
	}
	if p := all[2]; p.HasData() || len(p.Errors) != 1 || p.Errors[0].Rev != "HEAD" || p.Errors[0].Source != "old.csv" {
		t.Errorf("errors %v", p.Errors)
	}
	out := string(dvcfile.JSON(JSON([]Revision{now, old, {Name: "gone", Err: errs.New(errs.NotFound, "no such revision")}}, all, Templates{}, Saved{}, false)))
	for _, want := range []string{`{"name": "old.csv", "rev": "HEAD", "source": "old.csv", "type": "FileNotFoundError"`, `{"rev": "gone", "type": "FileNotFoundError", "msg": "no such revision"}`, `"old.csv": []`} {
		if !strings.Contains(out, want) {
			t.Errorf("the JSON lacks %s", want)
		}
	}
}

// An id that two dvc.yaml files define is told apart by their names.
func TestJoinSameID(t *testing.T) {
	r := revision(t, "r", "same: {y: {a.csv: loss}}", map[string]string{"a.csv": curve})
	r.Set.Files = append(r.Set.Files, pipeline.PlotFile{Path: "", Plots: r.Set.Files[0].Plots})
	all := Join([]Revision{r})
	if len(all) != 2 || all[0].ID != "dvc.yaml::same" || all[1].ID != "same" {
		t.Fatalf("plots %v", all)
	}
}

// No anchor is left in a filled template, whatever the plot.
func TestSpecIsFilled(t *testing.T) {
	files := map[string]string{"a.csv": curve, "b.csv": curve}
	for _, yaml := range []string{"a.csv: {x: step, y: loss}", "n: {x: step, y: {a.csv: [loss, acc], b.csv: loss}}", "n: {y: {a.csv: loss, b.csv: loss}}"} {
		p := Join([]Revision{revision(t, "one", yaml, files), revision(t, "two", yaml, files)})[0]
		for _, name := range BuiltinNames() {
			template, err := Templates{}.Get(name)
			if err != nil {
				t.Fatal(err)
			}
			before := string(dvcfile.JSON(template.Spec))
			spec, err := p.Spec(template)
			if err != nil {
				t.Fatal(err)
			}
			if text := string(dvcfile.JSON(spec)); strings.Contains(text, "<DVC_METRIC") {
				t.Errorf("%s of %s is not filled: %s", name, yaml, text)
			}
			split, anchors, err := p.SplitSpec(template)
			if err != nil {
				t.Fatal(err)
			}
			for i := range anchors.Len() {
				if key, _ := anchors.At(i); !has(split, key) && key != anchor("data") {
					t.Errorf("%s of %s has a value for %s, which its spec lacks", name, yaml, key)
				}
			}
			if string(dvcfile.JSON(template.Spec)) != before {
				t.Errorf("filling %s changed the template", name)
			}
		}
	}
}

func TestCustomTemplates(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("linear.json", `{"data": {"values": "<DVC_METRIC_DATA>"}, "title": "of <DVC_METRIC_TITLE>", "mark": {"type": "bar"}, "encoding": {"x": {"field": "<DVC_METRIC_X>"}}}`)
	write("list.json", `[1]`)
	write("broken.json", `{`)
	write("plain.json", `{"mark": "line"}`)
	templates := Templates{Dirs: []string{dir}}
	p := Join([]Revision{revision(t, "r", "a.csv: {x: b.c, title: T}", map[string]string{"a.csv": "b.c,d\n1,2\n"})})[0]
	template, err := templates.Get("linear")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := p.Spec(template)
	want := `{"data": {"values": [{"b.c": "1", "d": "2", "rev": "r", "filename": "a.csv", "field": "d"}]}, "title": "of T", "mark": {"type": "bar"}, "encoding": {"x": {"field": "b\\.c"}}}`
	if err != nil || string(dvcfile.JSON(spec)) != want {
		t.Errorf("%s (%v)\nwant %s", dvcfile.JSON(spec), err, want)
	}
	if template.kind() != svg.Bar {
		t.Errorf("drawn as %s", template.kind())
	}
	for name, kind := range map[string]errs.Kind{"list": errs.ProjectFile, "broken": errs.ProjectFile, "nosuch": errs.NotFound} {
		if _, err := templates.Get(name); err == nil || errs.KindOf(err) != kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	template, err = templates.Get("plain")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Spec(template); errs.KindOf(err) != errs.ProjectFile {
		t.Errorf("a template without data: %v", err)
	}
}

func TestPictures(t *testing.T) {
	yaml := "d/a.csv: {x: step, y: loss}\nD/a.csv: {x: step, y: loss}\nc: {template: confusion, x: {c.csv: p}, y: {c.csv: q}}\ni.png:"
	files := map[string]string{"d/a.csv": curve, "D/a.csv": curve, "c.csv": "p,q\ncat,dog\n", "i.png": "image"}
	all := Join([]Revision{revision(t, "one", yaml, files), revision(t, "a/b", yaml, files)})
	pictures, err := Pictures(t.Context(), all, Templates{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range pictures {
		names = append(names, p.Name)
		if strings.HasSuffix(p.Name, ".svg") && !strings.Contains(string(p.Data), "<svg") {
			t.Errorf("%s is no SVG", p.Name)
		}
	}
	// Two names that only differ in case would be one file on some systems.
	if got := strings.Join(names, " "); got != "d_a.svg D_a-2.svg c.svg i_one.png i_a_b.png" {
		t.Errorf("files %s", got)
	}
	all[0].Props.Set("template", "nosuch")
	if _, err := Pictures(t.Context(), all, Templates{}); !errors.As(err, new(TemplateError)) {
		t.Errorf("an unknown template: %v", err)
	}
}

func TestSaveImages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	all := Join([]Revision{revision(t, "feature/x", "../i.png:", map[string]string{"../i.png": "image"})})
	saved, err := SaveImages(dir, all)
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Join(dir, "feature_x_.._i.png")
	if got := saved[savedKey{"../i.png", "feature/x"}]; got != want {
		t.Errorf("saved as %s, want %s", got, want)
	}
	before, err := os.Stat(want)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SaveImages(dir, all); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(want); err != nil || !os.SameFile(before, after) {
		t.Errorf("an image that did not change was written again (%v)", err)
	}
	all[0].Images[0].Data = []byte("other")
	if _, err := SaveImages(dir, all); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(want); err != nil || string(data) != "other" {
		t.Errorf("%q (%v)", data, err)
	}
}
