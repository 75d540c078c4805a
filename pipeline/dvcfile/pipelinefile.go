package dvcfile

import (
	"path"
	"unicode/utf8"

	"ctrx/internal/errs"
)

// Kind says which list of a stage an output stands in.
type Kind int

// The kinds of outputs.
const (
	Out Kind = iota
	Metric
	Plot
)

// String is the name of the list in dvc.yaml.
func (k Kind) String() string { return [...]string{"outs", "metrics", "plots"}[k] }

// Output is what a stage writes, with the flags of spec 1.4.
type Output struct {
	Path    string // as written, relative to the stage's working directory
	Kind    Kind
	Cache   bool // kept in the cache, not in Git
	Persist bool // not removed before the stage runs
	Push    bool // pushed to remotes
	Remote  string
	Desc    string
	Type    string
	Labels  []string
	Meta    Value
	Plot    *PlotProps // of a plot with properties, else nil
	Pos     errs.Pos
}

// PlotProps are the properties of a plot output.
type PlotProps struct {
	Template, X, Y, XLabel, YLabel, Title string
	Header                                *bool // nil: the file has a header line
}

// PlotSpec is an entry of the top-level plots of a dvc.yaml.
type PlotSpec struct {
	ID                              string // a name, or the path of a file
	Def                             bool   // the entry is a mapping with (perhaps empty) properties
	X                               Value  // nil, a field, or a map file -> field
	Y                               Value  // nil, a field, a list of fields, or a map file -> field(s)
	XLabel, YLabel, Title, Template string
	Pos                             errs.Pos
}

// Stage is one stage with all templates filled in.
type Stage struct {
	Name          string
	Group         string // name of the foreach or matrix definition it was made from, else ""
	Cmd           Value  // as recorded and compared: a string or a list of strings
	CmdPos        errs.Pos
	Commands      []string // as run, each in a shell of its own; none where Cmd is empty
	WDir          string   // relative to the dvc.yaml's folder, as written; "" is that folder
	Deps          []string
	DepPos        []errs.Pos // of each of Deps
	Params        []ParamsDep
	Outs          []Output // outs, metrics, plots in this order
	Frozen        bool
	AlwaysChanged bool
	Desc          string
	Meta          Value
	Parametrized  bool // the definition uses templates, so it cannot be rewritten
	Vars          *Map // values of params files used by ${}: file -> dotted key -> value
	Pos           errs.Pos
}

// Pipeline is a dvc.yaml with all templates filled in.
type Pipeline struct {
	File      string
	Stages    []*Stage // in the order of the file
	Params    []string // top-level params: files that are shown
	Metrics   []string
	Plots     []PlotSpec
	Artifacts *Map     // name -> {path, desc, type, labels, meta}
	Datasets  []Value  // as written, with templates filled in
	Warnings  []string // for the user, one line each
	byName    map[string]*Stage
}

// Stage finds a stage by its full name.
func (p *Pipeline) Stage(name string) (*Stage, bool) {
	s, ok := p.byName[name]
	return s, ok
}

// StagesOf gives the stage of that name, or all stages that a foreach or
// matrix definition of that name made.
func (p *Pipeline) StagesOf(name string) []*Stage {
	if s, ok := p.byName[name]; ok {
		return []*Stage{s}
	}
	var group []*Stage
	for _, s := range p.Stages {
		if s.Group == name {
			group = append(group, s)
		}
	}
	return group
}

// Names lists the names of all stages in order.
func (p *Pipeline) Names() []string {
	names := make([]string, len(p.Stages))
	for i, s := range p.Stages {
		names[i] = s.Name
	}
	return names
}

// ParseOptions are the settings of the parsing section of .dvc/config: how a
// mapping in a command becomes flags. The zero value is DVC's default.
type ParseOptions struct {
	Bool string // "boolean_optional": false gives --no-key; else it gives nothing
	List string // "append": --key a --key b; else --key a b
}

// ParsePipeline reads a dvc.yaml: checks it against the schema, loads
// params.yaml (where it exists) and the vars files, fills in every ${}, and
// makes the stages of foreach and matrix. file is the name for messages. read
// gives the content of a file by its slash path relative to the dvc.yaml's
// folder, and an error that is fs.ErrNotExist where there is none.
//
// An empty document is a pipeline without stages, as in DVC. Errors are
// errs.ProjectFile with file:line:col and the line itself.
func ParsePipeline(file string, data []byte, read func(path string) ([]byte, error), opts ParseOptions) (*Pipeline, error) {
	if !utf8.Valid(data) {
		return nil, errs.At(errs.Pos{File: file}, "the file is not valid UTF-8")
	}
	root, err := ParseYAMLNode(file, data)
	if err != nil {
		return nil, err
	}
	p := &Pipeline{File: file, Artifacts: &Map{}, byName: map[string]*Stage{}}
	if root == nil || !truthy(root.Value) {
		return p, nil
	}
	if !fits(root.Value) {
		return nil, errs.At(root.Pos, "the file has more than %d values with its aliases written out", mostValues)
	}
	if err := checkPipeline(root); err != nil {
		return nil, err
	}
	r := &resolver{file: file, opts: opts, files: varsFiles{dir: path.Dir(file), read: read}, pipeline: p}
	if err := r.resolve(root); err != nil {
		return nil, err
	}
	return p, nil
}
