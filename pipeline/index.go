package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// Index is every stage of a Source.
type Index struct {
	Source    Source
	Stages    []*Stage
	Pipelines []*dvcfile.Pipeline // one for each dvc.yaml; File is its rel path
}

// LoadIndex reads all stage files of a source with what was recorded of them.
// What is odd about the user's own files is told; of commits, which several
// goroutines may load, nobody can change it any more.
func (p *Project) LoadIndex(ctx context.Context, src Source) (*Index, error) {
	return p.loadIndex(ctx, src, func(_ string, err error) error { return err })
}

// ReadableIndex is an index of what can be read: a broken stage file is left out.
func (p *Project) ReadableIndex(ctx context.Context, src Source) (*Index, error) {
	return p.loadIndex(ctx, src, func(string, error) error { return nil })
}

// hintUnreadable says how to go on where somebody else's folder in the work tree
// cannot be read. It is not skipped unasked: gc would take what stage files in it
// record for unused.
func (p *Project) hintUnreadable(err error) error {
	var at *fs.PathError
	if !errors.Is(err, fs.ErrPermission) || !errors.As(err, &at) {
		return err
	}
	rel, relErr := p.Rel(at.Path)
	if relErr != nil || rel == "." || !insideProject(rel) {
		return err
	}
	return errs.Hint(err, "make '%s' readable, or where it has no data of the project: echo %s >> %s",
		p.Show(rel), errs.Arg("/"+rel+"/"), errs.Arg(p.Show(".dvcignore")))
}

func (p *Project) loadIndex(ctx context.Context, src Source, broken func(file string, err error) error) (*Index, error) {
	files, err := src.StageFiles(ctx)
	if err != nil {
		return nil, p.hintUnreadable(fmt.Errorf("look for dvc.yaml and .dvc files: %w", err))
	}
	slices.SortFunc(files, walkOrder)
	ix := &Index{Source: src}
	_, live := src.(workTree)
	for _, file := range files {
		known := len(ix.Stages)
		if path.Base(file) == "dvc.yaml" {
			if err = ix.addPipeline(file, p.parseOptions()); err == nil && live {
				p.warnOnce(ix.Pipelines[len(ix.Pipelines)-1])
			}
		} else {
			err = ix.addData(file)
		}
		if err == nil {
			err = errors.Join(checkDependencyPaths(ix.Stages[known:]), p.checkOutputPaths(src, ix.Stages[known:]), p.locate(src, ix.Stages[known:]))
		}
		if err != nil {
			if err = broken(file, err); err != nil {
				return nil, err
			}
		}
	}
	return ix, nil
}

// checkDependencyPaths refuses stages that depend on stage files, as DVC does: it
// reads no file that has one. What an import follows is another repository's.
func checkDependencyPaths(stages []*Stage) error {
	for _, s := range stages {
		for _, d := range s.Deps {
			if name := path.Base(d.Path); !s.IsData() && (isStageFile(name) || name == ".dvc") {
				return errs.Hint(errs.At(d.Pos, "DVC file '%s' cannot be a dependency", d.Path), "depend on the data that it names, or on dvc.lock")
			}
		}
	}
	return nil
}

// checkOutputPaths refuses outputs that would be taken for stage files, and
// outputs that the work tree's .dvcignore files hide.
func (p *Project) checkOutputPaths(src Source, stages []*Stage) error {
	_, live := src.(workTree)
	for _, s := range stages {
		for _, out := range s.Outs {
			if name := path.Base(out.Rel); isStageFile(name) || name == "dvc.lock" {
				return errs.At(out.Pos, "DVC file '%s' cannot be an output", out.Path)
			}
			if !live || !insideProject(out.Rel) || out.Rel == "." {
				continue
			}
			rule, ignored := p.dvcignore.Match(out.Rel, false)
			if !ignored {
				if rule, ignored = p.dvcignore.Match(out.Rel, true); ignored {
					info, err := os.Stat(p.Abs(out.Rel))
					ignored = err == nil && info.IsDir()
				}
			}
			if ignored && rule.Source != "" {
				return errs.Hint(errs.At(out.Pos, "output '%s' is ignored by %s:%d: %s", out.Path, rule.Source, rule.Line, rule.Pattern),
					"take that line out of %s, or name another output", rule.Source)
			}
		}
	}
	return nil
}

// walkOrder is the order in which DVC comes upon files: those of a folder before
// what is in its subfolders. Stages that do not depend on each other run in it.
func walkOrder(a, b string) int {
	for {
		x, restA, deeperA := strings.Cut(a, "/")
		y, restB, deeperB := strings.Cut(b, "/")
		switch {
		case !deeperA && deeperB:
			return -1
		case deeperA && !deeperB:
			return 1
		case !deeperA || x != y:
			return strings.Compare(x, y)
		}
		a, b = restA, restB
	}
}

// warnOnce shows what is odd about a dvc.yaml, however often it is loaded.
func (p *Project) warnOnce(pl *dvcfile.Pipeline) {
	for _, text := range pl.Warnings {
		if p.warned == nil {
			p.warned = map[string]bool{}
		}
		if !p.warned[text] {
			p.warned[text] = true
			p.Warn("%s", text)
		}
	}
}

// Only gives an index of some of the stages, without what stands at the top of
// dvc.yaml files: what can be said of a run that did not finish.
func (ix *Index) Only(stages []*Stage) *Index { return &Index{Source: ix.Source, Stages: stages} }

// WorkIndex is LoadIndex of the work tree.
func (p *Project) WorkIndex(ctx context.Context) (*Index, error) {
	return p.LoadIndex(ctx, p.WorkTree())
}

func (p *Project) parseOptions() dvcfile.ParseOptions {
	var o dvcfile.ParseOptions
	o.Bool, _ = p.Config.Get("parsing", "bool")
	o.List, _ = p.Config.Get("parsing", "list")
	return o
}

func (ix *Index) addPipeline(file string, opts dvcfile.ParseOptions) error {
	data, err := ix.Source.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	dir := path.Dir(file)
	lockFile := path.Join(dir, "dvc.lock")
	lockData, err := ix.Source.ReadFile(lockFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", lockFile, err)
	}
	// Of a large pipeline, reading these two is most of the work.
	var lock map[string]*dvcfile.StageLock // empty where there is no file
	var g errgroup.Group
	g.Go(func() (err error) {
		lock, err = dvcfile.ReadLock(lockFile, lockData)
		return err
	})
	pl, err := dvcfile.ParsePipeline(file, data, func(name string) ([]byte, error) {
		return ix.Source.ReadFile(path.Join(dir, name))
	}, opts)
	if lockErr := g.Wait(); err == nil {
		err = lockErr
	}
	if err != nil {
		return err
	}
	ix.Pipelines = append(ix.Pipelines, pl)
	for _, spec := range pl.Stages {
		ix.Stages = append(ix.Stages, newPipelineStage(file, spec, lock[spec.Name]))
	}
	return nil
}

func newPipelineStage(file string, spec *dvcfile.Stage, lock *dvcfile.StageLock) *Stage {
	wdir := path.Join(path.Dir(file), spec.WDir)
	s := &Stage{
		File: file, Name: spec.Name, Cmd: spec.Cmd, CmdPos: spec.CmdPos, Commands: spec.Commands, WDir: wdir,
		Frozen: spec.Frozen, AlwaysChanged: spec.AlwaysChanged, Desc: spec.Desc, Meta: spec.Meta, Lock: lock, Pos: spec.Pos,
		Vars: &dvcfile.Map{},
	}
	for _, file := range spec.Vars.Keys() {
		used, _ := spec.Vars.Get(file)
		s.Vars.Set(path.Join(path.Dir(s.File), file), used)
	}
	for i, d := range spec.Deps {
		dep := &Dependency{Path: d, Pos: spec.DepPos[i]}
		if !isURL(d) {
			dep.Rel = resolveRel(wdir, d)
		}
		s.Deps = append(s.Deps, dep)
	}
	for _, d := range spec.Params {
		s.Params = append(s.Params, &ParamsDependency{ParamsDep: d, Rel: resolveRel(wdir, d.File)})
	}
	for _, o := range spec.Outs {
		s.Outs = append(s.Outs, &Output{Output: o, Rel: resolveRel(wdir, o.Path)})
	}
	for i := range spec.Vars.Len() {
		if s.Vars == nil {
			s.Vars = &dvcfile.Map{}
		}
		name, values := spec.Vars.At(i)
		s.Vars.Set(resolveRel(path.Dir(file), name), values)
	}
	s.recall(lock)
	return s
}

// recall attaches what a lock recorded to the stage's parts.
func (s *Stage) recall(lock *dvcfile.StageLock) {
	s.Lock = lock
	if lock == nil {
		return
	}
	for _, d := range s.Deps {
		d.Recorded = findEntry(lock.Deps, d.Path)
	}
	for _, o := range s.Outs {
		o.Recorded = findEntry(lock.Outs, o.Path)
	}
	for _, pd := range s.Params {
		if v, ok := lock.Params.Get(pd.File); ok {
			pd.Recorded, _ = v.(*dvcfile.Map)
		}
	}
}

func findEntry(entries []dvcfile.Entry, p string) *dvcfile.Entry {
	for i := range entries {
		if entries[i].Path == p {
			return &entries[i]
		}
	}
	return nil
}

func (ix *Index) addData(file string) error {
	data, err := ix.Source.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	df, err := dvcfile.ParseDataFile(file, data)
	if err != nil {
		return err
	}
	ix.Stages = append(ix.Stages, newDataStage(file, df))
	return nil
}

func newDataStage(file string, df *dvcfile.DataFile) *Stage {
	wdir := path.Join(path.Dir(file), df.WDir)
	s := &Stage{File: file, WDir: wdir, Frozen: df.Frozen, Desc: df.Desc, Data: df, Pos: errs.Pos{File: file}}
	for i := range df.Deps {
		dep := &Dependency{Path: df.Deps[i].Path, Recorded: &df.Deps[i], Pos: s.Pos}
		if _, isRepo := df.Deps[i].Extra.Get("repo"); !isURL(dep.Path) && !isRepo {
			dep.Rel = resolveRel(wdir, dep.Path)
		}
		s.Deps = append(s.Deps, dep)
	}
	for i := range df.Outs {
		o := &df.Outs[i]
		out := &Output{Rel: resolveRel(wdir, o.Path)}
		out.Pos = s.Pos
		out.Path, out.Cache, out.Persist, out.Push, out.Remote = o.Path, o.Cache, o.Persist, o.Push, o.Remote
		if o.Digest != "" {
			out.Recorded = &o.Entry
		}
		s.Outs = append(s.Outs, out)
	}
	return s
}
