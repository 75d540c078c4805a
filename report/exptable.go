package report

import (
	"slices"
	"strings"
	"time"

	"ctrx/pipeline/dvcfile"
)

// ExpTableOptions says how experiments are laid out. Of the columns, Keep wins
// over OnlyChanged and Drop.
type ExpTableOptions struct {
	Fill      string    // stands for a missing value: "-", "" in CSV
	Precision int       // significant digits of floats; 0 for all
	ISO       bool      // times in full
	Now       time.Time // a commit of today is shown by its time; its location is that of all times
	// SortBy is "[file:]key" of a metric or parameter; experiments are sorted by
	// it below their baselines, those without a value last (first with Descending).
	SortBy      string
	Descending  bool
	OnlyChanged bool     // leave columns out that say the same everywhere
	Keep, Drop  []string // regular expressions of the beginnings of columns' names
	// Runs are the MLflow runs of commits, by hash; not nil makes a column of them.
	Runs  map[string]string
	Split bool // experiment, revision and kind in columns of their own, as in CSV
}

// ColumnKind is what a column of a table of experiments shows.
type ColumnKind int

// The kinds of columns.
const (
	Label  ColumnKind = iota // experiment, time, state
	Metric                   // a metric
	Param                    // a parameter
	Dep                      // the hash of a dependency
)

// ExpColumn is a column of an ExpTable.
type ExpColumn struct {
	Title string
	Kind  ColumnKind
	Cells []string
	// Numbers are the values of cells that are numbers, nil for others.
	Numbers []*float64
}

// ExpRow says what a row of an ExpTable is about.
type ExpRow struct {
	Baseline bool   // the work tree or a commit, not an experiment
	Last     bool   // the last experiment of its baseline
	Rev      string // name, "workspace" or seven digits
	Name     string // of an experiment
	State    string // "Running", "Queued", "Failed", "Success" or ""
}

// ExpTable is experiments as rows below their baselines.
type ExpTable struct {
	Rows    []ExpRow
	Columns []ExpColumn
}

// errored stands for a value of a file that could not be read.
const errored = "!"

// NewExpTable lays experiments out as `exp show` prints them.
func NewExpTable(states []ExpState, o ExpTableOptions) (ExpTable, error) {
	t := expTable{options: o, names: namesOf(states)}
	t.addColumns()
	for _, s := range states {
		t.addState(s, ExpRow{Baseline: true, Rev: s.shortRev()}, nil)
		experiments, err := t.sorted(s.Experiments)
		if err != nil {
			return ExpTable{}, err
		}
		for i, e := range experiments {
			if len(e.Revs) == 0 {
				continue
			}
			row := ExpRow{Last: i == len(experiments)-1, Rev: shortHash(e.Revs[0].Rev), Name: e.Revs[0].Name}
			t.addState(e.Revs[0], row, e.Executor)
		}
	}
	return t.ExpTable, t.choose()
}

// shortRev is how a baseline is called.
func (s ExpState) shortRev() string {
	if s.Name != "" {
		return s.Name
	}
	return shortHash(s.Rev)
}

func shortHash(rev string) string {
	if len(rev) == 40 && strings.Trim(rev, "0123456789abcdef") == "" {
		return rev[:7]
	}
	return rev
}

// expTable is an ExpTable being made.
type expTable struct {
	ExpTable
	options ExpTableOptions
	names   expNames
	titles  map[string]int // title -> column
}

// expNames are the keys that occur in files, in order of their appearance.
type expNames struct {
	metrics, params fileKeys
	deps            []string // sorted
}

// fileKeys are keys by file.
type fileKeys struct {
	files []string
	keys  map[string][]string
}

func (k *fileKeys) add(files []File) {
	for _, f := range files {
		values, isMap := f.Data.(*dvcfile.Map)
		if f.Err == nil && !isMap {
			continue // a single value has no name
		}
		if k.keys == nil {
			k.keys = map[string][]string{}
		}
		if _, known := k.keys[f.Path]; !known {
			k.files = append(k.files, f.Path)
			k.keys[f.Path] = nil
		}
		if f.Err != nil {
			continue
		}
		for _, key := range dvcfile.Flatten(values).Keys() {
			if !slices.Contains(k.keys[f.Path], key) {
				k.keys[f.Path] = append(k.keys[f.Path], key)
			}
		}
	}
}

func namesOf(states []ExpState) expNames {
	var n expNames
	deps := map[string]bool{}
	var visit func(states []ExpState)
	visit = func(states []ExpState) {
		for _, s := range states {
			if s.Data != nil {
				c := s.Data.Content()
				n.metrics.add(c.Metrics)
				n.params.add(c.Params)
				for _, d := range c.Deps {
					if !deps[d.Path] {
						deps[d.Path] = true
						n.deps = append(n.deps, d.Path)
					}
				}
			}
			for _, e := range s.Experiments {
				visit(e.Revs)
			}
		}
	}
	visit(states)
	slices.Sort(n.deps)
	return n
}

// The titles of the columns in front.
const (
	colExperiment = "Experiment"
	colRev        = "rev"
	colTyp        = "typ"
	colCreated    = "Created"
	colParent     = "parent"
	colState      = "State"
	colExecutor   = "Executor"
	colRun        = "Run"
)

// addColumns makes the columns. A key that two files have, or that is called
// like a column in front, is written file:key.
func (t *expTable) addColumns() {
	count := map[string]int{}
	t.titles = map[string]int{}
	front := []string{colExperiment, colRev, colTyp, colCreated, colParent, colState, colExecutor}
	if t.options.Runs != nil {
		front = append(front, colRun)
	}
	for _, title := range front {
		count[title]++
		t.addColumn(title, Label)
	}
	for _, keys := range t.names.params.keys {
		for _, k := range keys {
			count[k]++
		}
	}
	for file, keys := range t.names.metrics.keys {
		if _, both := t.names.params.keys[file]; both {
			continue
		}
		for _, k := range keys {
			count[k]++
		}
	}
	for _, group := range []struct {
		names fileKeys
		kind  ColumnKind
	}{{t.names.metrics, Metric}, {t.names.params, Param}} {
		for _, file := range group.names.files {
			for _, key := range group.names.keys[file] {
				title := key
				if count[key] != 1 {
					title = file + ":" + key
				}
				t.addColumn(title, group.kind)
			}
		}
	}
	for _, dep := range t.names.deps {
		t.addColumn(dep, Dep)
	}
}

func (t *expTable) addColumn(title string, kind ColumnKind) {
	if _, there := t.titles[title]; there {
		return
	}
	t.titles[title] = len(t.Columns)
	t.Columns = append(t.Columns, ExpColumn{Title: title, Kind: kind})
}

func (t *expTable) addState(s ExpState, row ExpRow, executor *ExpExecutor) {
	if executor != nil {
		row.State = capitalized(executor.State)
	}
	t.Rows = append(t.Rows, row)
	for i := range t.Columns {
		c := &t.Columns[i]
		c.Cells = append(c.Cells, t.options.Fill)
		c.Numbers = append(c.Numbers, nil)
	}
	typ := "baseline"
	if !row.Baseline {
		typ = "branch_commit"
		if row.Last {
			typ = "branch_base"
		}
	}
	t.set(colExperiment, row.Name)
	t.set(colRev, row.Rev)
	t.set(colTyp, typ)
	t.set(colParent, "")
	if id := t.options.Runs[s.Rev]; id != "" {
		if !t.options.Split {
			id = id[:min(8, len(id))]
		}
		t.set(colRun, id)
	}
	if executor != nil {
		t.set(colState, row.State)
		if executor.Name != "" {
			t.set(colExecutor, capitalized(executor.Name))
		}
	}
	if s.Data == nil {
		return
	}
	t.set(colCreated, t.created(s.Data.Time))
	c := s.Data.Content()
	t.addFiles(c.Metrics, t.names.metrics)
	t.addFiles(c.Params, t.names.params)
	for _, d := range c.Deps {
		if d.Hash != "" {
			t.set(d.Path, d.Hash)
		}
	}
}

func capitalized(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + strings.ToLower(s[1:])
}

// set fills the cell of the last row.
func (t *expTable) set(title, text string) {
	c := &t.Columns[t.titles[title]]
	c.Cells[len(c.Cells)-1] = text
}

// created writes when a commit was made, the work tree having no time.
func (t *expTable) created(when time.Time) string {
	if when.IsZero() {
		return t.options.Fill
	}
	now := t.options.Now
	when = when.In(now.Location())
	switch {
	case t.options.ISO:
		return when.Format(naiveTime)
	case when.Format(time.DateOnly) == now.Format(time.DateOnly):
		return when.Format("03:04 PM")
	}
	return when.Format("Jan 02, 2006")
}

func (t *expTable) addFiles(files []File, names fileKeys) {
	for _, f := range files {
		values := &dvcfile.Map{}
		if m, ok := f.Data.(*dvcfile.Map); ok && f.Err == nil {
			values = dvcfile.Flatten(m)
		}
		for _, key := range names.keys[f.Path] {
			title := key
			if _, single := t.titles[key]; !single || t.Columns[t.titles[key]].Kind == Label {
				title = f.Path + ":" + key
			}
			v, _ := values.Get(key)
			switch {
			case v != nil:
				t.set(title, expCell(v, t.options.Precision))
			case f.Err != nil:
				t.set(title, errored)
			default:
				t.set(title, t.options.Fill)
			}
			if isNumber(v) {
				c := &t.Columns[t.titles[title]]
				x := double(v)
				c.Numbers[len(c.Numbers)-1] = &x
			}
		}
	}
}

// expCell writes a value: floats with a number of significant digits, also
// those in a list, where they become texts as in DVC.
func expCell(v dvcfile.Value, precision int) string {
	return dvcfile.PyStr(shortened(v, precision))
}

func shortened(v dvcfile.Value, precision int) dvcfile.Value {
	switch x := v.(type) {
	case dvcfile.Float:
		if precision != 0 {
			return significant(float64(x), precision)
		}
	case []dvcfile.Value:
		out := make([]dvcfile.Value, len(x))
		for i, item := range x {
			out[i] = shortened(item, precision)
		}
		return out
	case *dvcfile.Map:
		out := &dvcfile.Map{}
		for i := range x.Len() {
			key, item := x.At(i)
			out.SetKey(x.KeyValue(key), shortened(item, precision))
		}
		return out
	}
	return v
}

// label names a row and shows what it belongs to.
func (r ExpRow) label() string {
	if r.Baseline {
		return r.Rev
	}
	text := r.Rev
	if r.Name != "" {
		text += " [" + r.Name + "]"
	}
	if r.Last {
		return "└── " + text
	}
	return "├── " + text
}

// Table gives the cells.
func (t ExpTable) Table() Table {
	out := Table{Rows: make([][]string, len(t.Rows))}
	for _, c := range t.Columns {
		out.Header = append(out.Header, c.Title)
		for i, cell := range c.Cells {
			out.Rows[i] = append(out.Rows[i], cell)
		}
	}
	return out
}

// CSV writes the table as Python's csv module does: lines end with CR LF, and
// cells are quoted where they must be.
func (t Table) CSV() string {
	var b strings.Builder
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		for i, cell := range row {
			if i > 0 {
				b.WriteByte(',')
			}
			if strings.ContainsAny(cell, ",\"\r\n") || cell == "" && len(row) == 1 {
				cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
			}
			b.WriteString(cell)
		}
		b.WriteString("\r\n")
	}
	return b.String()
}
