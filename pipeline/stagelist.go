package pipeline

import (
	"context"
	"os"
	"path"
	"slices"
	"strings"

	"ctrx/pipeline/dvcfile"
)

// StageListOptions says which stages are listed.
type StageListOptions struct {
	Targets   []string // none means the dvc.yaml where the user stands
	All       bool
	Recursive bool
	Fail      bool // a stage file that cannot be read is an error
}

// ListStages gives the stages of targets, each once. A stage file that cannot be
// read is left out unless a target is in it, or is looked for in it.
func (p *Project) ListStages(ctx context.Context, o StageListOptions) ([]*Stage, error) {
	broken := map[string]error{}
	ix, err := p.loadIndex(ctx, p.WorkTree(), func(file string, err error) error {
		if o.Fail {
			return err
		}
		broken[file] = err
		return nil
	})
	if err != nil {
		return nil, err
	}
	if o.All {
		return ix.Stages, nil
	}
	targets := o.Targets
	if len(targets) == 0 {
		targets = []string{"dvc.yaml"}
		if _, err := os.Stat(p.Abs(path.Join(p.Dir, "dvc.yaml"))); o.Recursive && err != nil {
			targets = []string{"."}
		}
	}
	var stages []*Stage
	for _, t := range targets {
		if err := broken[p.stageFileOf(t, o.Recursive)]; err != nil {
			return nil, err
		}
		found, err := p.ResolveTarget(ix, t, TargetOptions{Recursive: o.Recursive})
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			if !slices.Contains(stages, s) {
				stages = append(stages, s)
			}
		}
	}
	return stages, nil
}

// stageFileOf is the stage file that a target names or is a stage of, relative
// to the root; "" for a folder where folders are targets.
func (p *Project) stageFileOf(target string, folders bool) string {
	file, _ := splitTarget(target)
	if rel, err := p.Rel(file); err == nil {
		if isStageFile(path.Base(rel)) {
			return rel
		}
		if info, err := os.Stat(p.Abs(rel)); folders && err == nil && info.IsDir() {
			return ""
		}
	}
	return path.Join(p.Dir, "dvc.yaml")
}

// Summary says in a line what a stage does: the first line of its description,
// else what it writes or reads, in DVC's words.
func (s *Stage) Summary() string {
	for line := range strings.Lines(s.Desc) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	var reads, outs, reports []string
	for _, d := range s.Deps {
		reads = append(reads, d.Path)
	}
	for _, pd := range s.Params {
		reads = append(reads, pd.File)
	}
	for _, o := range s.Outs {
		if o.Kind == dvcfile.Out {
			outs = append(outs, o.Path)
		} else {
			reports = append(reports, o.Path)
		}
	}
	var parts []string
	if len(outs) > 0 {
		parts = append(parts, "Outputs "+strings.Join(outs, ", "))
	}
	if len(reports) > 0 {
		parts = append(parts, "Reports "+strings.Join(reports, ", "))
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, "; ")
	case len(reads) > 0:
		return "Depends on " + strings.Join(reads, ", ")
	}
	return "No outputs or dependencies"
}
