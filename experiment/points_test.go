package experiment

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/tracking"
)

func shown(metrics []tracking.Metric) string {
	var all []string
	for _, m := range metrics {
		all = append(all, fmt.Sprintf("%s@%d=%v", m.Key, m.Step, m.Value))
	}
	return strings.Join(all, " ")
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, name, text string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A table is followed while it grows, is replaced and cut off; what came once
// does not come again, also not at the end.
func TestTail(t *testing.T) {
	name := filepath.Join(t.TempDir(), "history.csv")
	p := newPoints()
	tl := &tail{name: name, rel: "history.csv", comma: ','}
	look := func(want string) {
		t.Helper()
		if got := shown(tl.look(p, time.Now())); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	look("")
	write(t, name, "step,loss,note\n0,0.9,x\n1,0.8")
	look("loss@0=0.9")
	look("")
	appendTo(t, name, "5,y\n")
	look("loss@1=0.85")
	appendTo(t, name, "2,0.7,z\n3,nope,z\n")
	look("loss@2=0.7")
	// Written anew as a whole, as data frames are: the same rows and one more.
	write(t, name, "step,loss,note\n0,0.9,x\n")
	look("")
	appendTo(t, name, "1,0.85,y\n2,0.7,z\n3,nope,z\n4,0.5,z\n")
	look("loss@4=0.5")
	// Renamed into place, with a row that has changed.
	write(t, name+".new", "step,loss,note\n0,0.9,x\n1,0.1,y\n2,0.7,z\n3,nope,z\n4,0.5,z\n5,0.4,z")
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
	look("loss@1=0.1")
	if got := shown(p.table(name, "history.csv", time.Now())); got != "loss@5=0.4" {
		t.Errorf("at the end: %q", got)
	}
	if got := shown(p.table(name, "history.csv", time.Now())); got != "" {
		t.Errorf("at the end, again: %q", got)
	}
}

func TestTailOddFiles(t *testing.T) {
	for name, c := range map[string]struct{ file, text, live, end string }{
		"no steps":       {"roc.csv", "fpr,tpr\n0,1\n", "", ""},
		"epochs":         {"h.csv", "epoch,loss\n1,2\n", "loss@1=2", ""},
		"DVCLive":        {"dvclive/plots/metrics/train/acc.tsv", "step\tacc\n0\t0.5\n1\t0.6\n", "train/acc@0=0.5 train/acc@1=0.6", ""},
		"timestamps":     {"h.csv", "timestamp,step,loss\n1000,0,2\n", "loss@0=2", ""},
		"quoted lines":   {"h.csv", "step,note,loss\n0,\"a\nb\",1\n", "", "loss@0=1"},
		"uneven":         {"h.csv", "step,loss\n0,1\n1\n", "loss@0=1", ""},
		"windows lines":  {"h.csv", "step,loss\r\n0,1\r\n\r\n1,2\r\n", "loss@0=1 loss@1=2", ""},
		"JSON":           {"h.json", `[{"step": 0, "loss": 1}, {"step": 1, "loss": 0.5}]`, "loss@0=1 loss@1=0.5", ""},
		"JSON below":     {"h.json", `{"train": [{"step": 0, "loss": 1}]}`, "loss@0=1", ""},
		"half of a JSON": {"h.json", `[{"step": 0, "loss": 1}, {"st`, "", ""},
		"YAML":           {"h.yaml", "- {step: 3, loss: 1}\n", "loss@3=1", ""},
		"a long row":     {"h.csv", "step,loss\n0,1" + strings.Repeat("0", longestRow+1), "", ""},
		"empty":          {"h.csv", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), filepath.FromSlash(c.file))
			write(t, file, c.text)
			p := newPoints()
			tl := &tail{name: file, rel: c.file, comma: delimiter(file)}
			if got := shown(tl.look(p, time.Now())); got != c.live {
				t.Errorf("while it runs: %q, want %q", got, c.live)
			}
			// 1 and 65536 zeros is too large a number for a point.
			if got := shown(p.table(file, c.file, time.Now())); got != c.end && name != "a long row" {
				t.Errorf("at the end: %q, want %q", got, c.end)
			}
		})
	}
}

// A file is read in bounded pieces, and whole in the end.
func TestTailLargeFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "h.tsv")
	var text strings.Builder
	text.WriteString("step\tloss\n")
	const rows = 120_000
	for i := range rows {
		fmt.Fprintf(&text, "%d\t0.25\n", i)
	}
	write(t, name, text.String())
	p := newPoints()
	tl := &tail{name: name, rel: "h.tsv", comma: '\t'}
	n := 0
	for looks := 0; n < rows; looks++ {
		got := tl.look(p, time.Now())
		if len(got) == 0 || looks > 10 {
			t.Fatalf("%d rows after %d looks", n, looks)
		}
		for _, m := range got {
			if m.Step != int64(n) {
				t.Fatalf("step %d, want %d", m.Step, n)
			}
			n++
		}
	}
	if got := p.table(name, "h.tsv", time.Now()); len(got) != 0 {
		t.Errorf("%d points twice", len(got))
	}
}

func TestValuesOnce(t *testing.T) {
	p := newPoints()
	file := func(name, yaml string) pipeline.FileValues {
		v, err := dvcfile.ReadData("x.yaml", []byte(yaml))
		if err != nil {
			t.Fatal(err)
		}
		return pipeline.FileValues{Path: name, Values: v}
	}
	check := func(want string, files ...pipeline.FileValues) {
		t.Helper()
		got, err := p.values(files, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Split(shown(got), " ")
		slices.Sort(text)
		if strings.Join(text, " ") != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
	check("auc@0=0.5", file("m.json", "{auc: 0.5, name: x}"))
	check("", file("m.json", "{auc: 0.5, name: x}"))
	check("auc@1=0.6 loss@1=1", file("m.json", "{auc: 0.6, loss: 1}"))
	check("loss@2=2", file("m.json", "{auc: 0.6, loss: 2}"))
	// With steps of its own, each step is a point, though nothing has changed.
	check("acc@4=0.1 step@4=4", file("live.json", "{acc: 0.1, step: 4}"))
	check("acc@5=0.1 step@5=5", file("live.json", "{acc: 0.1, step: 5}"))
	check("", file("live.json", "{acc: 0.1, step: 5}"))
}
