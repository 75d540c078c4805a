package pipeline

import (
	"context"
	"fmt"
	"os"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
)

// RecordOptions says what `commit` records.
type RecordOptions struct {
	Targets   []string
	WithDeps  bool
	Recursive bool
	Force     bool // record changes without asking
	DataOnly  bool // only .dvc files
	NoRelink  bool // leave the work tree's files as they are
	// Confirm asks whether a changed stage is to be recorded; nil: it is not.
	Confirm func(stage string, changes []Change) (bool, error)
}

// Record puts stages and data down as they stand, without running anything.
func (p *Project) Record(ctx context.Context, o RecordOptions) error {
	lock, err := p.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	_, err = p.RecordLocked(ctx, o)
	return err
}

// RecordLocked is Record for callers that hold the repository lock. It gives
// what is recorded now of the stages that were meant.
func (p *Project) RecordLocked(ctx context.Context, o RecordOptions) (map[string]*dvcfile.StageLock, error) {
	stages, err := p.stagesToRecord(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := checkPlaces(stages); err != nil {
		return nil, err
	}
	entries := map[string]*dvcfile.StageLock{}
	for _, s := range stages {
		if o.DataOnly && !s.IsData() {
			continue
		}
		entry, err := p.commitStage(ctx, s, o)
		if err != nil {
			return nil, fmt.Errorf("commit %s: %w", s.Address(p.Dir), err)
		}
		if !s.IsData() {
			entries[s.Address(p.Dir)] = entry
		}
	}
	return entries, nil
}

func (p *Project) stagesToRecord(ctx context.Context, o RecordOptions) ([]*Stage, error) {
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return nil, err
	}
	g, err := NewGraph(ix.Stages)
	if err != nil {
		return nil, err
	}
	if len(o.Targets) == 0 {
		return ix.Stages, nil
	}
	var stages []*Stage
	for _, t := range o.Targets {
		found, err := p.ResolveTarget(ix, t, TargetOptions{Recursive: o.Recursive, Outputs: true})
		if err != nil {
			return nil, err
		}
		if o.WithDeps {
			found = g.Order(found, false)
		}
		stages = append(stages, found...)
	}
	return stages, nil
}

func (p *Project) commitStage(ctx context.Context, s *Stage, o RecordOptions) (*dvcfile.StageLock, error) {
	if err := s.recordable(); err != nil {
		return nil, err
	}
	changes, err := p.Check(ctx, s)
	if err != nil {
		return nil, err
	}
	for _, out := range s.Outs {
		if _, err := os.Lstat(p.Abs(out.Rel)); fsx.Missing(err) {
			return nil, errs.Hint(errs.New(errs.NotFound, "output '%s' does not exist", p.Show(out.Rel)), "ctrx repro %s, or ctrx checkout %s", errs.Arg(s.Address(p.Dir)), errs.Arg(p.Show(out.Rel)))
		}
	}
	if changes, err = p.contentChanges(ctx, s, changes); err != nil {
		return nil, err
	}
	if len(changes) > 0 && !o.Force {
		ok := false
		if o.Confirm != nil {
			if ok, err = o.Confirm(s.Address(p.Dir), changes); err != nil {
				return nil, err
			}
		}
		if !ok {
			return nil, errs.Hint(errs.New(errs.Failed, "unable to commit changed stage: '%s'. Use `-f|--force` to force.", s.Address(p.Dir)),
				"ctrx commit -f %s; what changed: ctrx status %[1]s", errs.Arg(s.Address(p.Dir)))
		}
	}
	known := len(changes) == 0 && !o.Force
	entry, err := p.settled(ctx, s, commitMode{noRelink: o.NoRelink, known: known})
	if err != nil {
		return nil, err
	}
	if !known {
		if err := p.ignoreOutputs(s); err != nil {
			return nil, err
		}
	}
	return entry, p.record(s, entry, "")
}

// contentChanges leaves out what needs no question: data that is here as it is
// recorded and only has to enter the cache, and that a stage always runs.
func (p *Project) contentChanges(ctx context.Context, s *Stage, changes []Change) ([]Change, error) {
	var found []Change
	for _, c := range changes {
		if c.Kind == AlwaysChanged {
			continue
		}
		if c.State == NotInCache {
			changed, err := p.changed(ctx, c.Path, s.output(c.Path))
			if err != nil {
				return nil, fmt.Errorf("hash output '%s': %w", p.Show(c.Path), err)
			}
			if !changed {
				continue
			}
		}
		found = append(found, c)
	}
	return found, nil
}
