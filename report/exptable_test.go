package report

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

const (
	shaBase = "1111111aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	shaA    = "2222222aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	shaB    = "3333333aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	shaC    = "4444444aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
)

// now is the day on which the tables of these tests are printed.
func now() time.Time { return time.Date(2024, 3, 5, 15, 4, 0, 0, time.FixedZone("", 3*3600)) }

func content(t *testing.T, rev string, when time.Time, metrics, params string) *ExpData {
	t.Helper()
	size := int64(3)
	d := NewExpData(ExpContent{
		Metrics: []File{{Path: "m.json", Rel: "m.json", Data: value(t, metrics)}},
		Params:  []File{{Path: "params.yaml", Rel: "params.yaml", Data: value(t, params)}},
		Deps:    []ExpDep{{Path: "z.py", Hash: "cafe"}, {Path: "a.dir", Hash: "beef.dir", Size: &size, NFiles: &size}, {Path: "new"}},
		Outs:    []ExpOut{{ExpDep: ExpDep{Path: "model", Hash: "f00d", Size: &size}, Cached: true}},
	})
	d.Rev, d.Time = rev, when
	return d
}

// listed is a work tree, a commit with experiments of all kinds, and a commit
// that cannot be read.
func listed(t *testing.T) []ExpState {
	t.Helper()
	day := now()
	broken := content(t, shaC, day.AddDate(0, 0, -2), `{"acc": 1}`, `{"lr": 4}`)
	broken.content.Metrics[0].Err = errs.New(errs.ProjectFile, "m.json:1:1: broken")
	broken.content.Metrics[0].Data = nil
	return []ExpState{
		{Rev: Workspace, Data: content(t, Workspace, time.Time{}, `{"acc": 0.123456789, "lr": 2}`, `{"lr": 0.1, "l": [1, 2.0, "a,\"b\""], "same": 1, "rev": "x"}`)},
		{Rev: shaBase, Name: "main", Data: content(t, shaBase, day.Add(-time.Hour), `{"acc": 1e-9, "lr": 2}`, `{"lr": 0.1, "same": 1, "n": null}`), Experiments: []ExpRange{
			{Name: "a", Revs: []ExpState{{Rev: shaA, Name: "a", Data: content(t, shaA, day.AddDate(0, 0, -1), `{"acc": 3, "lr": 2}`, `{"lr": 2, "same": 1}`)}}},
			{Name: "b", Revs: []ExpState{{Rev: shaB, Name: "b", Data: content(t, shaB, day, `{"acc": 2, "lr": 2}`, `{"lr": 3, "same": 1}`)}}, Executor: &ExpExecutor{State: "running", Name: "dvc-task"}},
			{Name: "c", Revs: []ExpState{{Rev: shaC, Name: "c", Data: broken, Err: RunFailed()}}, Executor: &ExpExecutor{State: "failed"}},
		}},
		{Rev: shaC, Err: errors.New("broken")},
	}
}

func column(t *testing.T, table ExpTable, title string) []string {
	t.Helper()
	i := slices.IndexFunc(table.Columns, func(c ExpColumn) bool { return c.Title == title })
	if i < 0 {
		t.Fatalf("there is no column %q in %q", title, table.Table().Header)
	}
	return table.Columns[i].Cells
}

func TestExpTable(t *testing.T) {
	table, err := NewExpTable(listed(t), ExpTableOptions{Fill: "-", Precision: 5, Now: now()})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Experiment", "Created", "State", "Executor", "acc", "m.json:lr", "params.yaml:lr", "l", "same", "params.yaml:rev", "n", "a.dir", "new", "z.py"}
	if got := table.Table().Header; !slices.Equal(got, want) {
		t.Errorf("columns\n got %q\nwant %q", got, want)
	}
	for title, want := range map[string][]string{
		"Experiment":     {"workspace", "main", "├── 2222222 [a]", "├── 3333333 [b]", "└── 4444444 [c]", "4444444"},
		"Created":        {"-", "02:04 PM", "Mar 04, 2024", "03:04 PM", "Mar 03, 2024", "-"},
		"State":          {"-", "-", "-", "Running", "Failed", "-"},
		"Executor":       {"-", "-", "-", "Dvc-task", "-", "-"},
		"acc":            {"0.12346", "1e-09", "3", "2", "!", "-"},
		"params.yaml:lr": {"0.1", "0.1", "2", "3", "4", "-"},
		"l":              {`[1, '2', 'a,"b"']`, "-", "-", "-", "-", "-"},
		"n":              {"-", "-", "-", "-", "-", "-"},
		"new":            {"-", "-", "-", "-", "-", "-"},
	} {
		if got := column(t, table, title); !slices.Equal(got, want) {
			t.Errorf("column %s\n got %q\nwant %q", title, got, want)
		}
	}
}

func TestExpTableColumns(t *testing.T) {
	for _, test := range []struct {
		name string
		o    ExpTableOptions
		want string
	}{
		{"only changed", ExpTableOptions{OnlyChanged: true}, "Experiment Created State Executor acc m.json:lr params.yaml:lr l same params.yaml:rev a.dir z.py"},
		{"drop", ExpTableOptions{Drop: []string{"Created", "State|Exec", "a", "z", "p", "n"}}, "Experiment m.json:lr l same"},
		{"keep wins", ExpTableOptions{OnlyChanged: true, Drop: []string{".*"}, Keep: []string{"sa", "n$"}}, "same n"},
		{"split", ExpTableOptions{Split: true, Drop: []string{"[a-mnoqsuz]", "params"}}, "Experiment rev typ Created parent State Executor"},
	} {
		test.o.Fill, test.o.Now = "-", now()
		table, err := NewExpTable(listed(t), test.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(table.Table().Header, " "); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
	if _, err := NewExpTable(listed(t), ExpTableOptions{Drop: []string{"("}}); errs.KindOf(err) != errs.Usage {
		t.Errorf("a bad pattern: %v", err)
	}
}

func TestExpTableSort(t *testing.T) {
	for _, test := range []struct {
		by         string
		descending bool
		want       string
	}{
		{"acc", false, "b a c"}, {"acc", true, "c a b"}, {"m.json:acc", false, "b a c"}, {":acc", false, "b a c"}, {"params.yaml:lr", true, "c b a"},
	} {
		table, err := NewExpTable(listed(t), ExpTableOptions{SortBy: test.by, Descending: test.descending, Now: now()})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range table.Rows {
			if !r.Baseline {
				names = append(names, r.Name)
			}
		}
		if got := strings.Join(names, " "); got != test.want {
			t.Errorf("by %s, descending %v: %s, want %s", test.by, test.descending, got, test.want)
		}
		if last := table.Rows[4]; !last.Last {
			t.Errorf("by %s: the last row is not marked: %+v", test.by, last)
		}
	}
	for by, text := range map[string]string{"nosuch": "Unknown sort column 'nosuch'", "lr": "Ambiguous sort column 'lr' matched 'm.json:lr, params.yaml:lr'"} {
		if _, err := NewExpTable(listed(t), ExpTableOptions{SortBy: by, Now: now()}); err == nil || err.Error() != text || errs.KindOf(err) != errs.Usage {
			t.Errorf("by %s: %v", by, err)
		}
	}
}

func TestCSV(t *testing.T) {
	table := Table{Header: []string{"a", "b"}, Rows: [][]string{{`x"y`, "1,2"}, {"", "two\nlines"}, {" blank", "[1]"}}}
	if got, want := table.CSV(), "a,b\r\n\"x\"\"y\",\"1,2\"\r\n,\"two\nlines\"\r\n blank,[1]\r\n"; got != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if got, want := (Table{Header: []string{"a"}, Rows: [][]string{{""}}}).CSV(), "a\r\n\"\"\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExpPlain(t *testing.T) {
	table, err := NewExpTable(listed(t), ExpTableOptions{Fill: "-", Precision: 3, Now: now(), Drop: []string{"[l-z]", "Exec", "a.dir"}})
	if err != nil {
		t.Fatal(err)
	}
	want := `Experiment       Created       State      acc
workspace        -             -        0.123
main             02:04 PM      -        1e-09
├── 2222222 [a]  Mar 04, 2024  -            3
├── 3333333 [b]  03:04 PM      Running      2
└── 4444444 [c]  Mar 03, 2024  Failed       !
4444444          -             -            -
`
	if got := table.Plain(nil); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	painted := table.Plain(func(s Style, text string) string {
		return map[Style]string{Strong: "*", LabelHead: "#", MetricHead: "#", Busy: "~", Bad: "!"}[s] + text
	})
	for _, text := range []string{"#Experiment ", "#acc", "*workspace ", "~Running", "!Failed", "\n├── 2222222"} {
		if !strings.Contains(painted, text) {
			t.Errorf("no %q in\n%s", text, painted)
		}
	}
	if got := (ExpTable{}).Plain(nil); got != "" {
		t.Errorf("an empty table is %q", got)
	}
}

// TestExpDataText is: what is kept as text comes back as it was, also as JSON.
func TestExpDataText(t *testing.T) {
	for _, s := range listed(t)[1].Experiments {
		d := s.Revs[0].Data
		back := KeptExpData(slices.Clone(d.Text()))
		back.Rev, back.Time = d.Rev, d.Time
		if got, want := string(back.json(time.UTC)), string(d.json(time.UTC)); got != want {
			t.Errorf("%s: got %s\nwant %s", s.Name, got, want)
		}
		again := NewExpData(back.Content())
		if got, want := string(again.Text()), string(d.Text()); got != want {
			t.Errorf("%s: taken apart and written again:\n got %s\nwant %s", s.Name, got, want)
		}
	}
	if c := KeptExpData([]byte("{broken")).Content(); c.Params != nil || c.Deps != nil {
		t.Errorf("a broken text gives %+v", c)
	}
}

func TestExpShowValue(t *testing.T) {
	got := string(dvcfile.JSON(ExpShowValue(listed(t), time.FixedZone("", -2*3600))))
	for _, text := range []string{
		`[{"rev": "workspace", "name": null, "data": {"rev": "workspace", "timestamp": null, "params": {"params.yaml": {"data": {"lr": 0.1, `,
		`"name": "main", "data": {"rev": "` + shaBase + `", "timestamp": "2024-03-05T09:04:00", `,
		`"a.dir": {"hash": "beef.dir", "size": 3, "nfiles": 3}, "new": {"hash": null, "size": null, "nfiles": null}}`,
		`"outs": {"model": {"hash": "f00d", "size": 3, "nfiles": null, "use_cache": true, "is_data_source": false}}, "meta": {}}`,
		`"executor": {"state": "running", "name": "dvc-task", "local": null}, "name": "b"}`,
		`"metrics": {"m.json": {"error": {"type": "JSONFileCorruptedError", "msg": "m.json:1:1: broken"}}}`,
		`"error": {"msg": "Experiment run failed", "type": ""}`,
		`{"rev": "` + shaC + `", "name": null, "data": null, "error": {"msg": "broken", "type": "DvcException"}, "experiments": null}]`,
	} {
		if !strings.Contains(got, text) {
			t.Errorf("no %s in\n%s", text, got)
		}
	}
}
