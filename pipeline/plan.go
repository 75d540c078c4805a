package pipeline

import (
	"context"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// Action is what a step does.
type Action int

// The actions.
const (
	Skip    Action = iota // nothing changed
	Restore               // outputs come from the cache
	Run                   // the command runs
	Verify                // a data source: its file is hashed again and recorded
)

// String is the word for an action in what is recorded of a run.
func (a Action) String() string { return [...]string{"skip", "restore", "run", "verify"}[a] }

// Step is what a plan decided for one stage.
type Step struct {
	Stage       *Stage
	Action      Action
	Changes     []Change           // why it is not skipped; empty for Skip and when forced
	MissingOnly bool               // all Changes are that data is not here
	Forced      bool               // -f or --force-downstream made it run
	Tentative   bool               // a stage it reads from will run, so the decision is made again then
	Entry       *dvcfile.StageLock // Restore: the result that is brought back
}

// Reason is why the step is what it is, in a few words.
func (s Step) Reason() string {
	switch {
	case s.Forced:
		return "forced"
	case len(s.Changes) > 0:
		return s.Changes[0].String()
	case s.Tentative:
		return "a stage it depends on runs"
	}
	return "nothing changed"
}

// PlanOptions selects stages and says what counts as a change.
type PlanOptions struct {
	Targets         []string
	SingleItem      bool // only the targets, not what they depend on
	Downstream      bool // the targets and what depends on them
	Pipeline        bool // everything connected with the targets
	AllPipelines    bool
	Recursive       bool // targets are folders
	Glob            bool // targets are patterns of stage names
	Force           bool
	ForceDownstream bool
	AllowMissing    bool // missing data is no change
	NoRunCache      bool
	Pull            bool // missing data is fetched
}

// Plan decides for every selected stage whether it is skipped, restored or
// run. It only reads. A step behind one that runs is decided as things stand
// now and marked tentative.
func (p *Project) Plan(ctx context.Context, ix *Index, g *Graph, o PlanOptions) ([]Step, error) {
	order, err := p.selectStages(ix, g, o)
	if err != nil {
		return nil, err
	}
	steps := make([]Step, 0, len(order))
	runs := map[*Stage]bool{}
	for _, s := range order {
		step, err := p.decide(ctx, g, s, o, o.Force)
		if err != nil {
			return nil, err
		}
		step.Tentative = slices.ContainsFunc(g.Upstream(s), func(up *Stage) bool { return runs[up] })
		runs[s] = step.Action != Skip || step.Tentative
		steps = append(steps, step)
	}
	return steps, nil
}

// selectStages resolves the targets and orders what must be looked at.
func (p *Project) selectStages(ix *Index, g *Graph, o PlanOptions) ([]*Stage, error) {
	if o.AllPipelines {
		return g.Order(nil, false), nil
	}
	targets := o.Targets
	if len(targets) == 0 {
		targets = []string{"dvc.yaml"}
	}
	var stages []*Stage
	for _, t := range targets {
		found, err := p.ResolveTarget(ix, t, TargetOptions{Recursive: o.Recursive, Glob: o.Glob})
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			if !slices.Contains(stages, s) {
				stages = append(stages, s)
			}
		}
	}
	switch {
	case len(stages) == 0 && len(o.Targets) == 0 && !o.SingleItem:
		return g.Order(nil, false), nil // a dvc.yaml without stages stands for the project
	case len(stages) == 0:
		if o.Recursive { // dvc runs the whole project then, which nobody asked for
			p.Warn("there is no stage below '%s': nothing to run", strings.Join(targets, "', '"))
		}
		return nil, nil
	case o.Pipeline:
		return g.Order(g.Component(stages), false), nil
	case o.SingleItem:
		return stages, nil
	}
	return g.Order(stages, o.Downstream), nil
}

// decide makes the step of one stage as things stand now.
func (p *Project) decide(ctx context.Context, g *Graph, s *Stage, o PlanOptions, force bool) (Step, error) {
	step := Step{Stage: s, Forced: force}
	if !force {
		changes, err := p.Check(ctx, s)
		if err != nil {
			return step, err
		}
		if s.Frozen { // status tells that it is always changed; repro passes it by, as in DVC
			changes = slices.DeleteFunc(changes, func(c Change) bool { return c.Kind == AlwaysChanged })
		}
		missingOnly := onlyMissing(changes, s, g.Upstream(s))
		if len(changes) == 0 || o.AllowMissing && missingOnly {
			return step, nil
		}
		step.Changes, step.MissingOnly = changes, missingOnly
	}
	switch {
	case s.IsData() || s.Frozen || !s.hasCommand():
		step.Action = Verify
		return step, nil
	case force:
		step.Action = Run
		return step, nil
	}
	entry, err := p.restorable(ctx, s, step.Changes, !o.NoRunCache)
	if err != nil {
		return step, err
	}
	if step.Action = Run; entry != nil {
		step.Action, step.Entry = Restore, entry
	}
	return step, nil
}

// onlyMissing tells whether all that differs is that recorded data is not
// here: outputs, and dependencies whose producers recorded the same content.
func onlyMissing(changes []Change, s *Stage, upstream []*Stage) bool {
	return !slices.ContainsFunc(changes, func(c Change) bool {
		switch c.Kind {
		case OutputChanged:
			return c.State != Deleted && c.State != NotInCache
		case DependencyChanged:
			return c.State != Deleted || producedOtherwise(s, c.Path, upstream)
		}
		return true
	})
}

// producedOtherwise tells whether a stage upstream recorded another content
// for a path than s did.
func producedOtherwise(s *Stage, rel string, upstream []*Stage) bool {
	i := slices.IndexFunc(s.Deps, func(d *Dependency) bool { return d.Rel == rel })
	if i < 0 || s.Deps[i].Recorded == nil {
		return true
	}
	for _, up := range upstream {
		for _, out := range up.Outs {
			if out.Rel == rel && out.Recorded != nil && out.Recorded.Digest != s.Deps[i].Recorded.Digest {
				return true
			}
		}
	}
	return false
}

// missingPipeline says that the folder has no dvc.yaml to run.
func missingPipeline(show string) error {
	return errs.Hint(errs.New(errs.NotFound, "'%s' does not exist", show), "write a dvc.yaml with stages, or name a target: ctrx repro TARGET")
}
