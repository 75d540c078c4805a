package pipeline

import (
	"context"
	"slices"

	"ctrx/pipeline/dvcfile"
)

// StatusOptions says of what the status is asked.
type StatusOptions struct {
	Targets   []string
	Recursive bool
	WithDeps  bool
	NoUpdates bool // do not ask the repositories of imports for something newer
}

// StageStatus is a stage that is not up to date.
type StageStatus struct {
	Address string
	Changes []Change
}

// Status compares stages with what was recorded of them. It writes nothing.
func (p *Project) Status(ctx context.Context, o StatusOptions) ([]StageStatus, error) {
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return nil, err
	}
	graph, err := NewGraph(ix.Stages)
	if err != nil {
		return nil, err
	}
	stages := ix.Stages
	if len(o.Targets) > 0 {
		stages = nil
		for _, t := range o.Targets {
			found, err := p.ResolveTarget(ix, t, TargetOptions{Recursive: o.Recursive, Outputs: true})
			if err != nil {
				return nil, err
			}
			stages = append(stages, found...)
		}
		if o.WithDeps {
			stages = graph.Order(stages, false)
		}
	}
	var all []StageStatus
	for _, s := range stages {
		if s.Frozen && !s.IsData() {
			p.Warn("stage: '%s' is frozen. Its dependencies are not going to be shown in the status output.", s.Address(p.Dir))
		}
		changes, err := p.Check(ctx, s)
		if err != nil {
			return nil, err
		}
		if s.isRepoImport() && !o.NoUpdates {
			if c := p.checkUpdate(ctx, s); c != nil {
				changes = append(changes, *c)
			}
		}
		if len(changes) > 0 {
			all = append(all, StageStatus{Address: s.Address(p.Dir), Changes: changes})
		}
	}
	return all, nil
}

// checkUpdate asks the repository of an import whether the revision that is
// followed has moved on. One that cannot be asked is a warning: what is here can
// be told without it.
func (p *Project) checkUpdate(ctx context.Context, s *Stage) *Change {
	dep := &s.Data.Deps[0]
	locked := repoOption(dep, "rev_lock")
	if locked == "" { // never looked at (--no-exec)
		return nil
	}
	f, err := p.openForeignDep(ctx, dep, repoOption(dep, "rev"))
	if err != nil {
		p.Warn("whether '%s' has an update is not known: %v", p.Show(s.File), err)
		return nil
	}
	defer f.Close()
	if f.Commit == "" || f.Commit == locked {
		return nil
	}
	return &Change{Kind: DependencyChanged, Path: p.depName(s), State: UpdateAvailable}
}

// StatusValue gives the status in the shape of DVC's `status --json`
// (dvc-compat 13.6): address -> list of groups of changes.
func (p *Project) StatusValue(all []StageStatus) *dvcfile.Map {
	out := &dvcfile.Map{}
	for _, st := range all {
		var groups []dvcfile.Value
		if deps := p.groupDeps(st.Changes); deps.Len() > 0 {
			groups = append(groups, dvcfile.NewMap("changed deps", deps))
		}
		if outs := p.groupKind(st.Changes, OutputChanged); outs.Len() > 0 {
			groups = append(groups, dvcfile.NewMap("changed outs", outs))
		}
		for _, kind := range []ChangeKind{AlwaysChanged, ChecksumChanged, CommandChanged} { // DVC's order
			if i := slices.IndexFunc(st.Changes, func(c Change) bool { return c.Kind == kind }); i >= 0 {
				groups = append(groups, st.Changes[i].String())
			}
		}
		out.Set(st.Address, groups)
	}
	return out
}

// statusName is how DVC's status names a path: seen from here, and absolute where
// it lies outside of the project.
func (p *Project) statusName(rel string) string {
	if isURL(rel) || insideProject(rel) {
		return p.Show(rel)
	}
	return p.Abs(rel)
}

func (p *Project) groupKind(changes []Change, kind ChangeKind) *dvcfile.Map {
	m := &dvcfile.Map{}
	for _, c := range changes {
		switch {
		case c.Kind != kind:
		case c.State == UpdateAvailable: // a name, not a path
			m.Set(c.Path, string(c.State))
		default:
			m.Set(p.statusName(c.Path), string(c.State))
		}
	}
	return m
}

// groupDeps puts params one level deeper, below their file.
func (p *Project) groupDeps(changes []Change) *dvcfile.Map {
	m := p.groupKind(changes, DependencyChanged)
	for _, c := range changes {
		if c.Kind != ParamChanged {
			continue
		}
		if c.Key == "" {
			m.Set(p.statusName(c.Path), string(c.State))
			continue
		}
		inner, _ := m.Get(p.statusName(c.Path))
		keys, ok := inner.(*dvcfile.Map)
		if !ok {
			keys = &dvcfile.Map{}
			m.Set(p.statusName(c.Path), keys)
		}
		keys.Set(c.Key, string(c.State))
	}
	return m
}
