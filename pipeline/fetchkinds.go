package pipeline

import (
	"path"
	"slices"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// checkTypes refuses types that no output has.
func (o TransferOptions) checkTypes() error {
	for _, t := range o.Types {
		if t != "metrics" && t != "plots" {
			return errs.New(errs.Usage, "argument --type: invalid choice: '%s' (choose from 'metrics', 'plots')", t)
		}
	}
	return nil
}

// takes tells whether an output has the size and the type that are asked for;
// typed are the paths of all that have the type. A size that is not recorded is
// small enough.
func (o TransferOptions) takes(out *Output, typed []string) bool {
	if o.MaxSize > 0 && out.Recorded != nil && out.Recorded.HasSize && out.Recorded.Meta.Size >= o.MaxSize {
		return false
	}
	return len(o.Types) == 0 || slices.ContainsFunc(typed, func(rel string) bool { return inside(rel, out.Rel) || inside(out.Rel, rel) })
}

// typedPaths lists what is of the types asked for: outputs of stages, and what
// the top of a dvc.yaml names.
func (o TransferOptions) typedPaths(ix *Index) []string {
	var paths []string
	for kind, name := range map[dvcfile.Kind]string{dvcfile.Metric: "metrics", dvcfile.Plot: "plots"} {
		if !slices.Contains(o.Types, name) {
			continue
		}
		for _, s := range ix.Stages {
			for _, out := range s.Outs {
				if out.Kind == kind {
					paths = append(paths, out.Rel)
				}
			}
		}
		for _, pl := range ix.Pipelines {
			named := pl.Metrics
			if kind == dvcfile.Plot {
				named = plotSources(pl)
			}
			for _, rel := range named {
				paths = append(paths, path.Join(path.Dir(pl.File), rel))
			}
		}
	}
	return paths
}

// plotSources are the paths that the plots at the top of a dvc.yaml read.
func plotSources(pl *dvcfile.Pipeline) []string {
	var all []string
	for _, spec := range pl.Plots {
		y, named := spec.Y.(*dvcfile.Map)
		if !named {
			all = append(all, spec.ID)
			continue
		}
		all = append(all, y.Keys()...)
		if x, ok := spec.X.(*dvcfile.Map); ok {
			all = append(all, x.Keys()...)
		}
	}
	return all
}
