package pipeline

import (
	"context"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// plotProperties are the properties of a plot output that `plots modify` may set.
func plotProperties() []string {
	return []string{"template", "x", "y", "x_label", "y_label", "title", "header"}
}

// ModifyPlot sets and removes display properties of an output of a stage. An
// output that is no plot yet becomes one. Nothing is written when a property to
// remove is not there.
func (p *Project) ModifyPlot(ctx context.Context, target string, set *dvcfile.Map, unset []string) error {
	lock, err := p.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return err
	}
	s, out, err := p.findOutput(ix, target)
	if err != nil {
		return err
	}
	if s.IsData() || ix.generated(s) {
		return errs.Hint(errs.At(s.Pos, "'%s' is no output of a stage that can be edited", target),
			"list the file under plots: at the top of dvc.yaml, with its properties")
	}
	if len(unset) > 0 && out.Kind != dvcfile.Plot {
		return errs.Hint(errs.New(errs.NotFound, "'%s' is not a known plot", target), "ctrx plots modify %s -x ... turns it into one", target)
	}
	return p.editStage(s, func(doc *dvcfile.Document) error {
		stage, _ := stageDefinition(doc, s.Name)
		changed, err := withPlot(stage, out, set, unset)
		if err != nil {
			return err
		}
		return doc.ApplyDiff(changed, "stages", s.Name)
	})
}

// findOutput finds the output that a path of the command line is.
func (p *Project) findOutput(ix *Index, target string) (*Stage, *Output, error) {
	rel, err := p.Rel(target)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range ix.Stages {
		for _, o := range s.Outs {
			if o.Rel == rel {
				return s, o, nil
			}
		}
	}
	return nil, nil, errs.Hint(errs.New(errs.NotFound, "no stage has an output '%s'", target), "ctrx stage list names the outputs of stages")
}

// withPlot gives the definition of a stage in which the output is a plot with
// the properties.
func withPlot(stage *dvcfile.Map, out *Output, set *dvcfile.Map, unset []string) (*dvcfile.Map, error) {
	flags, found := outputFlags(stage, out)
	if !found {
		return nil, errs.Hint(errs.At(out.Pos, "'%s' is written by means of ${} here and cannot be edited", out.Path), "edit the definition by hand")
	}
	var missing []string
	for _, key := range unset {
		if _, ok := flags.Get(key); !ok {
			missing = append(missing, "'"+key+"'")
		}
	}
	if len(missing) > 0 {
		return nil, errs.New(errs.NotFound, "display properties [%s] not found in plot '%s'", strings.Join(missing, ", "), out.Path)
	}
	plot := orderedFlags(flags, set, unset)
	item := dvcfile.Value(out.Path)
	if plot.Len() > 0 {
		item = dvcfile.NewMap(out.Path, plot)
	}
	changed := &dvcfile.Map{}
	for i := range stage.Len() {
		key, v := stage.At(i)
		list, isList := v.([]dvcfile.Value)
		if isList && slices.Contains([]string{"outs", "metrics", "plots"}, key) {
			list = replacedOutput(list, out.Path, item, key == "plots")
			if len(list) == 0 {
				continue
			}
			v = list
		}
		changed.Set(key, v)
	}
	if out.Kind != dvcfile.Plot {
		v, _ := changed.Get("plots")
		list, _ := v.([]dvcfile.Value)
		changed.Set("plots", append(slices.Clone(list), item))
	}
	return changed, nil
}

// outputFlags gives what a stage's definition says of an output.
func outputFlags(stage *dvcfile.Map, out *Output) (flags *dvcfile.Map, found bool) {
	v, _ := stage.Get(out.Kind.String())
	list, _ := v.([]dvcfile.Value)
	for _, item := range list {
		if item == out.Path {
			return &dvcfile.Map{}, true
		}
		m, _ := item.(*dvcfile.Map)
		if v, ok := m.Get(out.Path); ok {
			flags, _ := v.(*dvcfile.Map)
			return flags, true
		}
	}
	return nil, false
}

// replacedOutput replaces an output in a list; without keep it is taken out.
func replacedOutput(list []dvcfile.Value, path string, item dvcfile.Value, keep bool) []dvcfile.Value {
	var out []dvcfile.Value
	for _, old := range list {
		m, _ := old.(*dvcfile.Map)
		if _, inMap := m.Get(path); old != path && !inMap {
			out = append(out, old)
		} else if keep {
			out = append(out, item)
		}
	}
	return out
}

// orderedFlags puts the flags of a plot into DVC's order.
func orderedFlags(flags, set *dvcfile.Map, unset []string) *dvcfile.Map {
	props := &dvcfile.Map{}
	for _, from := range []*dvcfile.Map{flags, set} {
		for i := range from.Len() {
			if key, v := from.At(i); slices.Contains(plotProperties(), key) && !(slices.Contains(unset, key) && from == flags) {
				props.Set(key, v)
			}
		}
	}
	ordered := &dvcfile.Map{}
	take := func(keys ...string) {
		for _, key := range keys {
			if v, ok := flags.Get(key); ok {
				ordered.Set(key, v)
			}
		}
	}
	take("desc", "type", "labels", "meta", "cache", "persist")
	for i := range props.Len() {
		ordered.Set(props.At(i))
	}
	take("remote", "push")
	return ordered
}
