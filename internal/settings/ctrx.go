package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"ctrx/internal/errs"
)

// CtrxFile is the name of ctrx's own settings file, at the root of a project.
// It is separate from .dvc/config because DVC refuses sections it does not
// know.
const CtrxFile = "ctrx.yaml"

// Ctrx is the content of ctrx.yaml. Everything in it is optional:
//
//	tracking:
//	  uri: http://mlflow.example:5000   # MLflow server; none: the embedded one
//	  experiment: ctr                   # MLflow experiment; none: the project's name
//	  on_error: spool                   # spool: keep for later; fail: stop the run
//	  repro: false                      # also record `ctrx repro`
//	  live: true                        # log metrics while a stage writes them
//	  system_metrics: true              # log what the processes of a stage use
//	  stage_logs: true                  # keep the end of each stage's output
//	exp:
//	  push: false                       # push each experiment after its run
//	python:
//	  uv: auto                          # auto: uv where it is installed; never: python -m venv
type Ctrx struct {
	Tracking TrackingSettings
	Exp      ExpSettings
	Python   PythonSettings

	positions map[string]errs.Pos
}

// TrackingSettings is the tracking section.
type TrackingSettings struct {
	URI        string
	Experiment string
	OnError    string // "spool" (the default) or "fail"
	Repro      bool

	Live          bool // true by default, as the next two
	SystemMetrics bool
	StageLogs     bool
}

// ExpSettings is the exp section.
type ExpSettings struct{ Push bool }

// PythonSettings is the python section.
type PythonSettings struct {
	UV string // "auto" (the default) or "never"
}

// Pos tells where ctrx.yaml sets a value, by its dotted name
// ("tracking.uri"); false means that it has its default.
func (c *Ctrx) Pos(name string) (errs.Pos, bool) {
	p, ok := c.positions[name]
	return p, ok
}

// LoadCtrx reads ctrx.yaml in the folder root. A missing or empty file gives
// the defaults. An unknown key and a value of a wrong type are errors with file,
// line and column.
func LoadCtrx(root string) (*Ctrx, error) {
	file := filepath.Join(root, CtrxFile)
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	return ParseCtrx(file, data)
}

// ParseCtrx is LoadCtrx for content that is at hand.
func ParseCtrx(file string, data []byte) (*Ctrx, error) {
	c := &Ctrx{
		Tracking:  TrackingSettings{OnError: "spool", Live: true, SystemMetrics: true, StageLogs: true},
		Python:    PythonSettings{UV: "auto"},
		positions: map[string]errs.Pos{},
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, yamlError(errs.NewText(file, quotable(data)), err)
	}
	if len(doc.Content) == 0 {
		return c, nil
	}
	d := ctrxDecoder{shown: errs.NewText(file, quotable(data)), positions: c.positions}
	return c, d.mapping(doc.Content[0], "", map[string]func(*yaml.Node, string) error{
		"tracking": d.section(map[string]func(*yaml.Node, string) error{
			"uri":        d.text(&c.Tracking.URI),
			"experiment": d.text(&c.Tracking.Experiment),
			"on_error":   d.text(&c.Tracking.OnError, "spool", "fail"),
			"repro":      d.boolean(&c.Tracking.Repro),

			"live":           d.boolean(&c.Tracking.Live),
			"system_metrics": d.boolean(&c.Tracking.SystemMetrics),
			"stage_logs":     d.boolean(&c.Tracking.StageLogs),
		}),
		"exp":    d.section(map[string]func(*yaml.Node, string) error{"push": d.boolean(&c.Exp.Push)}),
		"python": d.section(map[string]func(*yaml.Node, string) error{"uv": d.text(&c.Python.UV, "auto", "never")}),
	})
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// yamlError moves the line that yaml.v3 puts into its text to the front.
func yamlError(shown *errs.Text, err error) error {
	text := err.Error()
	pos := shown.At(0, 0)
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1])
		pos = shown.At(line, 0)
		text = text[len(m[0]):]
	}
	return errs.At(pos, "not valid YAML: %s", text)
}

// ctrxDecoder turns nodes into settings. yaml.v3's own strict decoding gives
// neither columns nor all names of a section.
type ctrxDecoder struct {
	shown     *errs.Text
	positions map[string]errs.Pos
}

func (d ctrxDecoder) pos(n *yaml.Node) errs.Pos {
	return d.shown.At(n.Line, n.Column)
}

func (d ctrxDecoder) section(fields map[string]func(*yaml.Node, string) error) func(*yaml.Node, string) error {
	return func(n *yaml.Node, name string) error { return d.mapping(n, name, fields) }
}

func (d ctrxDecoder) mapping(n *yaml.Node, name string, fields map[string]func(*yaml.Node, string) error) error {
	if isNull(n) {
		return nil // `tracking:` with everything below it commented out
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return errs.At(d.pos(n), "%s must be a mapping of settings, not %s", orFile(name), describe(n))
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		full := strings.TrimPrefix(name+"."+key.Value, ".")
		decode, ok := fields[key.Value]
		if !ok || key.Kind != yaml.ScalarNode {
			return d.unknown(key, full, fields)
		}
		if seen[key.Value] {
			return errs.At(d.pos(key), "%s is set twice", full)
		}
		seen[key.Value] = true
		if err := decode(value, full); err != nil {
			return err
		}
	}
	return nil
}

func (d ctrxDecoder) unknown(key *yaml.Node, full string, fields map[string]func(*yaml.Node, string) error) error {
	err := errs.At(d.pos(key), "unknown setting %s", full)
	names := slices.Sorted(maps.Keys(fields))
	if n := nearest(key.Value, names); n != "" {
		return errs.Hint(err, "did you mean %s?", n)
	}
	return errs.Hint(err, "known here: %s", strings.Join(names, ", "))
}

func (d ctrxDecoder) text(into *string, choices ...string) func(*yaml.Node, string) error {
	return func(n *yaml.Node, name string) error {
		if isNull(n) {
			return nil
		}
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
			return errs.At(d.pos(n), "%s must be text, not %s", name, describe(n))
		}
		for i, c := range choices {
			if c == n.Value {
				break
			}
			if i == len(choices)-1 {
				return errs.At(d.pos(n), "%s must be %s, not %q", name, strings.Join(choices, " or "), n.Value)
			}
		}
		*into = n.Value
		d.positions[name] = d.pos(n)
		return nil
	}
}

func (d ctrxDecoder) boolean(into *bool) func(*yaml.Node, string) error {
	return func(n *yaml.Node, name string) error {
		if isNull(n) {
			return nil
		}
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			return errs.At(d.pos(n), "%s must be true or false, not %s", name, describe(n))
		}
		*into = strings.EqualFold(n.Value, "true")
		d.positions[name] = d.pos(n)
		return nil
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.Tag == "!!str":
		return strconv.Quote(n.Value)
	}
	return "the " + map[string]string{"!!int": "number", "!!float": "number", "!!bool": "true/false value", "!!timestamp": "date"}[n.Tag] + " " + n.Value
}

func orFile(name string) string {
	if name == "" {
		return "the file"
	}
	return name
}
