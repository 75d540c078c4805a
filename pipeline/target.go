package pipeline

import (
	"os"
	"path"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// TargetOptions says how a target is read.
type TargetOptions struct {
	Recursive bool // a folder means every stage file below it
	Glob      bool // a stage name may be a pattern (*, ?, [...])
	Outputs   bool // a path may name an output, or a path inside one
}

// ResolveTarget finds the stages that a target of the command line means:
// name, group, dir/dvc.yaml, dir/dvc.yaml:name, x.dvc, a folder with -R or,
// for data commands, the path of an output.
func (p *Project) ResolveTarget(ix *Index, target string, o TargetOptions) ([]*Stage, error) {
	file, name := splitTarget(target)
	rel, err := p.Rel(file)
	if err != nil {
		return nil, err
	}
	if o.Recursive && name == "" {
		if info, err := os.Stat(p.Abs(rel)); err == nil && info.IsDir() {
			return ix.filter(func(s *Stage) bool { return inside(s.File, rel) }), nil
		}
	}
	if strings.HasSuffix(file, ".lock") {
		return nil, errs.Hint(errs.New(errs.NotFound, "'%s' is a lock file, not a target", target), "did you mean '%s'?", strings.TrimSuffix(file, ".lock")+".yaml")
	}
	if isStageFile(path.Base(rel)) {
		return p.stagesOfFile(ix, rel, name, o)
	}
	// A bare word is a stage of ./dvc.yaml first, then an output.
	here := path.Join(p.Dir, "dvc.yaml")
	if found := ix.filter(func(s *Stage) bool { return s.File == here && nameMatches(s.Name, target, o.Glob) }); len(found) > 0 {
		return found, nil
	}
	if out, err := p.Rel(target); err == nil && (o.Outputs || name == "") {
		if found := ix.filter(func(s *Stage) bool { return s.makes(out) }); len(found) > 0 {
			return found, nil
		}
	}
	return nil, p.unknownTarget(ix, target, here)
}

// makes tells whether rel is an output of the stage, or lies inside one.
func (s *Stage) makes(rel string) bool {
	return slices.ContainsFunc(s.Outs, func(o *Output) bool { return inside(rel, o.Rel) })
}

func splitTarget(target string) (file, name string) {
	if i := strings.LastIndex(target, ":"); i > 1 && isStageFile(path.Base(target[:i])) {
		return target[:i], target[i+1:]
	}
	return target, ""
}

func (p *Project) stagesOfFile(ix *Index, rel, name string, o TargetOptions) ([]*Stage, error) {
	if _, err := os.Stat(p.Abs(rel)); err != nil {
		if path.Base(rel) == "dvc.yaml" {
			return nil, missingPipeline(p.Show(rel))
		}
		return nil, errs.New(errs.NotFound, "'%s' does not exist", p.Show(rel))
	}
	found := ix.filter(func(s *Stage) bool {
		return s.File == rel && (name == "" || nameMatches(s.Name, name, o.Glob))
	})
	if len(found) == 0 && name != "" {
		return nil, p.unknownTarget(ix, name, rel)
	}
	return found, nil
}

// nameMatches tells whether a stage name is meant: itself, its group (train of
// train@1), or by pattern.
func nameMatches(name, want string, glob bool) bool {
	if name == "" {
		return false
	}
	if glob {
		ok, err := path.Match(want, name)
		return err == nil && ok
	}
	group, _, generated := strings.Cut(name, "@")
	return name == want || generated && group == want
}

func (ix *Index) filter(keep func(*Stage) bool) []*Stage {
	var found []*Stage
	for _, s := range ix.Stages {
		if keep(s) {
			found = append(found, s)
		}
	}
	return found
}

func (p *Project) unknownTarget(ix *Index, target, file string) error {
	err := errs.New(errs.NotFound, "Stage or output '%s' not found in '%s' or the project", target, p.Show(file))
	var names []string
	for _, s := range ix.Stages {
		names = append(names, s.Address(p.Dir))
	}
	if len(names) == 0 {
		return errs.Hint(err, "the project has no stages yet: write a dvc.yaml, or ctrx add FILE")
	}
	if len(names) > 12 {
		names = append(names[:12], "...")
	}
	return errs.Hint(err, "known targets: %s", strings.Join(names, ", "))
}
