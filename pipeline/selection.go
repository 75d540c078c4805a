package pipeline

import (
	"context"
	"os"
	"path"
	"slices"

	"ctrx/pipeline/dvcfile"
)

// selectedOutput is an output, or a part of one, that a data command works on.
type selectedOutput struct {
	Stage  *Stage
	Output *Output
	Below  string // slash path inside the output; "" for all of it
}

// OutputSelection says which outputs a data command means.
type OutputSelection struct {
	Targets   []string
	Recursive bool
	WithDeps  bool
}

// selectOutputs resolves targets to outputs; no targets means all. A target
// may name a stage, a stage file, an output, or a path inside an output.
func (p *Project) selectOutputs(ix *Index, o OutputSelection) ([]selectedOutput, error) {
	if len(o.Targets) == 0 {
		return outputsOf(ix.Stages), nil
	}
	var selected []selectedOutput
	var graph *Graph
	for _, t := range o.Targets {
		stages, err := p.ResolveTarget(ix, t, TargetOptions{Recursive: o.Recursive, Outputs: true})
		if err != nil {
			return nil, err
		}
		if o.WithDeps {
			if graph == nil {
				if graph, err = NewGraph(ix.Stages); err != nil {
					return nil, err
				}
			}
			stages = graph.Order(stages, false)
			selected = append(selected, outputsOf(stages)...)
			continue
		}
		selected = append(selected, p.narrow(outputsOf(stages), t)...)
	}
	return selected, nil
}

// narrow keeps the output that the target names, if it names one.
func (p *Project) narrow(outs []selectedOutput, target string) []selectedOutput {
	rel, err := p.Rel(target)
	if err != nil {
		return outs
	}
	for _, so := range outs {
		if inside(rel, so.Output.Rel) {
			if rel != so.Output.Rel {
				so.Below = relFrom(so.Output.Rel, rel)
			}
			return []selectedOutput{so}
		}
	}
	return outs
}

func outputsOf(stages []*Stage) []selectedOutput {
	var outs []selectedOutput
	for _, s := range stages {
		for _, o := range s.Outs {
			outs = append(outs, selectedOutput{Stage: s, Output: o})
		}
	}
	return outs
}

// plotSpecFiles gives the files that a plot at the top of a dvc.yaml is drawn
// from: those its axes name, else its id.
func plotSpecFiles(spec dvcfile.PlotSpec) []string {
	var files []string
	for _, axis := range []dvcfile.Value{spec.Y, spec.X} {
		if m, ok := axis.(*dvcfile.Map); ok {
			files = append(files, m.Keys()...)
		}
	}
	if len(files) == 0 {
		return []string{spec.ID}
	}
	return files
}

// PlotRoots gives the files and folders that an index names as plots, by rel
// path: plots outputs of its stages, and what stands at the top of a dvc.yaml.
func (ix *Index) PlotRoots() []string {
	var roots []string
	for _, s := range ix.Stages {
		for _, o := range s.Outs {
			if o.Kind == dvcfile.Plot {
				roots = append(roots, o.Rel)
			}
		}
	}
	for _, pl := range ix.Pipelines {
		for _, spec := range pl.Plots {
			for _, f := range plotSpecFiles(spec) {
				roots = append(roots, path.Join(path.Dir(pl.File), f))
			}
		}
	}
	return roots
}

// PlotFiles lists the files of all plots of the work tree that exist: plots
// outputs of stages and those at the top of a dvc.yaml.
func (p *Project) PlotFiles(ctx context.Context, ix *Index) ([]string, error) {
	roots := ix.PlotRoots()
	var files []string
	for _, rel := range roots {
		members, err := p.membersOf(ctx, ix, rel)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			if info, err := os.Stat(p.Abs(m)); err == nil && info.Mode().IsRegular() && !slices.Contains(files, m) {
				files = append(files, m)
			}
		}
	}
	return files, nil
}
