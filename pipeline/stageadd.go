package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
)

// StageSpec is a stage to be written into the dvc.yaml of the folder where the
// user stands. Paths are relative to WDir.
type StageSpec struct {
	Name          string
	Cmd           string
	WDir          string // relative to the dvc.yaml; "" or "." is its folder
	Deps          []string
	Params        []string // [FILE:]KEY[,KEY...], as on the command line
	Outs          []OutputSpec
	AlwaysChanged bool
	Desc          string
	Force         bool // a stage of this name is replaced; its meta and desc stay
}

// OutputSpec is an output of a StageSpec.
type OutputSpec struct {
	Path    string
	Kind    dvcfile.Kind
	NoCache bool
	Persist bool
}

// AddStage writes a stage into dvc.yaml and its cached outputs into .gitignore.
// Everything is checked first, the whole graph with the new stage in it.
func (p *Project) AddStage(ctx context.Context, spec StageSpec) (*Stage, error) {
	lock, err := p.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	if err := p.checkStageSpec(spec); err != nil {
		return nil, err
	}
	file := path.Join(p.Dir, "dvc.yaml")
	data, err := p.withStage(file, spec)
	if err != nil {
		return nil, err
	}
	p.Pretend(file, data)
	defer delete(p.pretended, file)
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := NewGraph(ix.Stages); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(ix.Stages, func(s *Stage) bool { return s.File == file && s.Name == spec.Name })
	if at < 0 {
		return nil, errs.New(errs.Failed, "%s: stage '%s' is not read back", file, spec.Name)
	}
	s := ix.Stages[at]
	ignored := spec.ignored(s)
	for _, rel := range ignored {
		if p.Git != nil && insideProject(rel) {
			if err := p.refuseTracked(rel); err != nil {
				return nil, err
			}
		}
	}
	if err := fsx.WriteFile(p.Abs(file), data, 0o666); err != nil {
		return nil, fmt.Errorf("write %s: %w", p.Show(file), err)
	}
	p.touched(file)
	for _, rel := range ignored {
		if err := p.ignorePath(rel); err != nil {
			return nil, err
		}
	}
	p.Info("Added stage '%s' in '%s'", spec.Name, p.Show(file))
	return s, nil
}

// checkStageSpec refuses what needs no look at the rest of the project.
func (p *Project) checkStageSpec(spec StageSpec) error {
	// The characters of Python's string.punctuation but "_" and "-".
	if spec.Name == "" || strings.ContainsAny(spec.Name, "!\"#$%&'()*+,./:;<=>?@[\\]^`{|}~") {
		return errs.Hint(errs.New(errs.Usage, "Stage name cannot contain punctuation characters."), "a name of letters, digits, _ and -: ctrx stage add -n NAME ...")
	}
	if strings.TrimSpace(spec.Cmd) == "" {
		return errs.Hint(errs.New(errs.Usage, "command is not specified"), "ctrx stage add -n %s ... COMMAND", spec.Name)
	}
	wdir := resolveRel(p.Dir, cmp.Or(spec.WDir, "."))
	if info, err := os.Stat(p.Abs(wdir)); err != nil || !info.IsDir() {
		return errs.Hint(errs.New(errs.NotFound, "stage working dir '%s' does not exist", spec.WDir), "mkdir -p %s", errs.Arg(spec.WDir))
	}
	deps, outs := map[string]bool{}, map[string]bool{}
	for _, d := range spec.Deps {
		if rel := resolveRel(wdir, d); deps[rel] {
			return errs.New(errs.Usage, "file '%s' is specified more than once.", d)
		} else {
			deps[rel] = true
		}
	}
	for _, o := range spec.Outs {
		rel := resolveRel(wdir, o.Path)
		switch {
		case outs[rel]:
			return errs.New(errs.Usage, "file '%s' is specified more than once.", o.Path)
		case deps[rel]:
			return errs.New(errs.Usage, "'%s' is specified as an output and as a dependency.", o.Path)
		case !o.NoCache && !insideProject(rel):
			return errs.New(errs.Usage, "output '%s' lies outside of the project, where no data is cached", o.Path)
		}
		outs[rel] = true
	}
	return nil
}

// ignored lists the rel paths of cached outputs in the order in which DVC
// writes them into .gitignore.
func (spec StageSpec) ignored(s *Stage) []string {
	rank := func(o OutputSpec) int {
		switch {
		case o.Persist:
			return 0
		case o.Kind == dvcfile.Metric:
			return 1
		case o.Kind == dvcfile.Plot:
			return 2
		}
		return 3
	}
	outs := slices.DeleteFunc(slices.Clone(spec.Outs), func(o OutputSpec) bool { return o.NoCache })
	slices.SortStableFunc(outs, func(a, b OutputSpec) int { return cmp.Compare(rank(a), rank(b)) })
	var rels []string
	for _, o := range outs {
		rels = append(rels, resolveRel(s.WDir, o.Path))
	}
	return rels
}

// withStage gives the text of a dvc.yaml with the stage in it.
func (p *Project) withStage(file string, spec StageSpec) ([]byte, error) {
	data, err := os.ReadFile(p.Abs(file))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", p.Show(file), err)
	}
	doc, err := dvcfile.ParseDocument(file, data)
	if err != nil {
		return nil, err
	}
	old, exists := stageDefinition(doc, spec.Name)
	if exists && !spec.Force {
		return nil, errs.Hint(errs.New(errs.Conflict, "Stage '%s' already exists in '%s'. Use '--force' to overwrite.", spec.Name, p.Show(file)),
			"ctrx stage add -f -n %s ..., or choose another name", spec.Name)
	}
	stage := spec.value(old)
	if top, _ := doc.Value().(*dvcfile.Map); top.Len() == 0 {
		return dvcfile.EmitYAML(dvcfile.NewMap("stages", dvcfile.NewMap(spec.Name, stage))), nil
	}
	if err := doc.ApplyDiff(stage, "stages", spec.Name); err != nil {
		return nil, err
	}
	return doc.Encode(), nil
}

// stageDefinition gives what a dvc.yaml says of a stage, before templates.
func stageDefinition(doc *dvcfile.Document, name string) (*dvcfile.Map, bool) {
	top, _ := doc.Value().(*dvcfile.Map)
	stages, _ := top.Get("stages")
	m, _ := stages.(*dvcfile.Map)
	v, ok := m.Get(name)
	def, _ := v.(*dvcfile.Map)
	return def, ok
}

// value is the stage as it stands in dvc.yaml: keys in DVC's order, lists
// sorted by path. What the old definition says in words stays.
func (spec StageSpec) value(old *dvcfile.Map) *dvcfile.Map {
	m := &dvcfile.Map{}
	if v, ok := old.Get("desc"); ok {
		m.Set("desc", v)
	} else if spec.Desc != "" {
		m.Set("desc", spec.Desc)
	}
	m.Set("cmd", spec.Cmd)
	if dir := path.Clean(cmp.Or(spec.WDir, ".")); dir != "." {
		m.Set("wdir", dir)
	}
	var deps []dvcfile.Value
	for _, d := range slices.Sorted(slices.Values(spec.Deps)) {
		deps = append(deps, d)
	}
	sections := []struct {
		key  string
		list []dvcfile.Value
	}{
		{"deps", deps}, {"params", spec.params()}, {"outs", spec.outs(dvcfile.Out, old)},
		{"metrics", spec.outs(dvcfile.Metric, old)}, {"plots", spec.outs(dvcfile.Plot, old)},
	}
	for _, s := range sections {
		if len(s.list) > 0 {
			m.Set(s.key, s.list)
		}
	}
	if spec.AlwaysChanged {
		m.Set("always_changed", true)
	}
	if v, ok := old.Get("meta"); ok {
		m.Set("meta", v)
	}
	return m
}

// params gives the keys of params.yaml, then every other file with its keys.
func (spec StageSpec) params() []dvcfile.Value {
	const standard = "params.yaml"
	files := map[string]map[string]bool{}
	for _, p := range spec.Params {
		file, keys := standard, p
		if i := strings.LastIndex(p, ":"); i >= 0 {
			file, keys = cmp.Or(p[:i], standard), p[i+1:]
		}
		if files[file] == nil {
			files[file] = map[string]bool{}
		}
		for _, k := range strings.Split(keys, ",") {
			if k = strings.TrimSpace(k); k != "" {
				files[file][k] = true
			}
		}
	}
	var list []dvcfile.Value
	keys := func(file string) (sorted []dvcfile.Value) {
		for _, k := range slices.Sorted(maps.Keys(files[file])) {
			sorted = append(sorted, k)
		}
		return sorted
	}
	if own := keys(standard); len(own) > 0 {
		list = own
		delete(files, standard)
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		var value dvcfile.Value
		if own := keys(file); len(own) > 0 {
			value = own
		}
		list = append(list, dvcfile.NewMap(file, value))
	}
	return list
}

// outs gives one section of outputs; descriptions and the like of the old
// definition stay with their paths.
func (spec StageSpec) outs(kind dvcfile.Kind, old *dvcfile.Map) []dvcfile.Value {
	outs := slices.DeleteFunc(slices.Clone(spec.Outs), func(o OutputSpec) bool { return o.Kind != kind })
	slices.SortFunc(outs, func(a, b OutputSpec) int { return cmp.Compare(a.Path, b.Path) })
	var list []dvcfile.Value
	for _, o := range outs {
		flags := annotations(old, o.Path)
		if o.NoCache {
			flags.Set("cache", false)
		}
		if o.Persist {
			flags.Set("persist", true)
		}
		if flags.Len() == 0 {
			list = append(list, o.Path)
			continue
		}
		list = append(list, dvcfile.NewMap(o.Path, flags))
	}
	return list
}

// annotations are the desc, type, labels and meta of an output.
func annotations(stage *dvcfile.Map, out string) *dvcfile.Map {
	kept := &dvcfile.Map{}
	for _, section := range []string{"outs", "metrics", "plots"} {
		v, _ := stage.Get(section)
		list, _ := v.([]dvcfile.Value)
		for _, item := range list {
			m, _ := item.(*dvcfile.Map)
			v, _ := m.Get(out)
			props, _ := v.(*dvcfile.Map)
			for _, key := range []string{"desc", "type", "labels", "meta"} {
				if v, ok := props.Get(key); ok {
					kept.Set(key, v)
				}
			}
		}
	}
	return kept
}

// SetFrozen freezes stages and .dvc files, or thaws them. Everything is
// resolved before the first file is written.
func (p *Project) SetFrozen(ctx context.Context, targets []string, frozen bool) error {
	lock, err := p.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return err
	}
	var stages []*Stage
	for _, t := range targets {
		found, err := p.ResolveTarget(ix, t, TargetOptions{Outputs: true})
		if err != nil {
			return err
		}
		stages = append(stages, found...)
	}
	for _, s := range stages {
		if ix.generated(s) {
			return errs.Hint(errs.At(s.Pos, "stage '%s' is one of a foreach or matrix", s.Name), "write frozen: true into its definition in %s", p.Show(s.File))
		}
	}
	for _, s := range stages {
		if err := p.setFrozen(s, frozen); err != nil {
			return err
		}
	}
	return nil
}

// generated tells whether a stage comes from a foreach or matrix.
func (ix *Index) generated(s *Stage) bool {
	for _, pl := range ix.Pipelines {
		if pl.File != s.File {
			continue
		}
		return slices.ContainsFunc(pl.Stages, func(d *dvcfile.Stage) bool { return d.Name == s.Name && d.Group != "" })
	}
	return false
}

func (p *Project) setFrozen(s *Stage, frozen bool) error {
	if s.IsData() {
		s.Data.Frozen = frozen
		return p.writeData(s)
	}
	return p.editStage(s, func(doc *dvcfile.Document) error {
		if !frozen {
			doc.Delete("stages", s.Name, "frozen")
			return nil
		}
		return doc.Set(true, "stages", s.Name, "frozen")
	})
}

// editStage changes the dvc.yaml that a stage stands in. Nothing is written when
// edit fails.
func (p *Project) editStage(s *Stage, edit func(*dvcfile.Document) error) error {
	data, err := os.ReadFile(p.Abs(s.File))
	if err != nil {
		return fmt.Errorf("read %s: %w", p.Show(s.File), err)
	}
	doc, err := dvcfile.ParseDocument(s.File, data)
	if err != nil {
		return err
	}
	if err := edit(doc); err != nil {
		return err
	}
	p.Info("Modifying stage '%s' in '%s'", s.Name, p.Show(s.File))
	if err := fsx.WriteFile(p.Abs(s.File), doc.Encode(), 0o666); err != nil {
		return fmt.Errorf("write %s: %w", p.Show(s.File), err)
	}
	p.touched(s.File)
	return nil
}
