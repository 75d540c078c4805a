package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// ChangeKind says which part of a stage differs from what was recorded.
type ChangeKind int

// The kinds of change, in the order in which they are looked for.
const (
	CommandChanged ChangeKind = iota
	DependencyChanged
	ParamChanged
	OutputChanged
	AlwaysChanged
	ChecksumChanged // an import whose definition was edited
	NeverRun
)

// State is DVC's word for how a dependency, parameter or output differs.
type State string

// The states that `status` reports.
const (
	Modified   State = "modified"
	Deleted    State = "deleted"
	New        State = "new"
	NotInCache State = "not in cache"
	// UpdateAvailable is said of an import whose repository has moved on.
	UpdateAvailable State = "update available"
)

// Change is one reason why a stage is not up to date.
type Change struct {
	Kind     ChangeKind
	Path     string // rel path of the dependency, params file or output; a URL as written
	Key      string // ParamChanged: the parameter; "" when the file itself is missing
	State    State
	Old, New dvcfile.Value // commands and parameters; nil when absent
}

// String is the reason in a few words.
func (c Change) String() string {
	switch c.Kind {
	case CommandChanged:
		return "changed command"
	case ParamChanged:
		if c.Key == "" {
			return fmt.Sprintf("%s is %s", c.Path, c.State)
		}
		return fmt.Sprintf("%s:%s is %s (%s -> %s)", c.Path, c.Key, c.State, dvcfile.PyRepr(c.Old), dvcfile.PyRepr(c.New))
	case AlwaysChanged:
		return "always changed"
	case ChecksumChanged:
		return "changed checksum"
	case NeverRun:
		return "never ran"
	}
	return fmt.Sprintf("%s is %s", c.Path, c.State)
}

// Check compares a stage with what was recorded of it and gives every
// difference (dvc-compat 13.2). It writes nothing.
func (p *Project) Check(ctx context.Context, s *Stage) ([]Change, error) {
	var changes []Change
	// A long command that dvc.lock holds folded may read back with fewer blanks:
	// that alone is no change.
	if !s.IsData() && s.Lock != nil && !dvcfile.SameCommand(s.Name, s.Lock.Cmd, s.Cmd) {
		changes = append(changes, Change{Kind: CommandChanged, Old: s.Lock.Cmd, New: s.Cmd})
	}
	if !s.Frozen {
		deps, err := p.checkDeps(ctx, s)
		if err != nil {
			return nil, err
		}
		changes = append(changes, deps...)
	}
	for _, out := range s.Outs {
		c, err := p.checkOutput(ctx, out)
		if err != nil {
			return nil, err
		}
		if c != nil {
			changes = append(changes, *c)
		}
	}
	if s.IsCallback() || s.AlwaysChanged {
		changes = append(changes, Change{Kind: AlwaysChanged})
	}
	if s.IsData() && s.Data.MD5 != s.definitionSum() {
		changes = append(changes, Change{Kind: ChecksumChanged})
	}
	return changes, nil
}

// definitionSum is the checksum that the file of an import should carry: data that
// was added has none.
func (s *Stage) definitionSum() string {
	if len(s.Deps) == 0 {
		return ""
	}
	return s.Data.Checksum()
}

func (p *Project) checkDeps(ctx context.Context, s *Stage) ([]Change, error) {
	var changes []Change
	for _, d := range s.Deps {
		if d.Rel == "" {
			if s.IsData() {
				continue // the source of an import is looked at by import commands only
			}
			if state, err := p.checkURL(ctx, d); err != nil {
				return nil, err
			} else if state != "" {
				changes = append(changes, Change{Kind: DependencyChanged, Path: d.Path, State: state})
			}
			continue
		}
		changed, err := p.changed(ctx, d.Rel, d.Recorded)
		name := d.Rel
		if isURL(d.Path) {
			name = d.Path
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			changes = append(changes, Change{Kind: DependencyChanged, Path: name, State: Deleted})
		case err != nil:
			return nil, fmt.Errorf("hash dependency '%s': %w", d.Path, err)
		case changed:
			changes = append(changes, Change{Kind: DependencyChanged, Path: name, State: Modified})
		}
	}
	for _, pd := range s.Params {
		cs, err := p.checkParams(pd)
		if err != nil {
			return nil, err
		}
		changes = append(changes, cs...)
	}
	return changes, nil
}

func (p *Project) checkParams(pd *ParamsDependency) ([]Change, error) {
	content, err := p.readParams(pd.Rel)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var now *dvcfile.Map
	if content != nil {
		now, _ = pd.Values(content)
	}
	var changes []Change
	for _, c := range pd.Compare(pd.Recorded, content) {
		change := Change{Kind: ParamChanged, Path: pd.Rel, Key: c.Key, State: State(c.State)}
		change.Old, _ = pd.Recorded.Get(c.Key)
		change.New, _ = now.Get(c.Key)
		changes = append(changes, change)
	}
	return changes, nil
}

// readParams gives the content of a params file; nil and fs.ErrNotExist when
// it is absent. The caller must not change it.
func (p *Project) readParams(rel string) (*dvcfile.Map, error) {
	data, err := p.readFile(rel)
	if err != nil {
		return nil, err
	}
	return p.params.parse(rel, data)
}

// observeParams reads the values that dvc.lock records for a params dependency.
func (p *Project) observeParams(s *Stage, pd *ParamsDependency) (*dvcfile.Map, error) {
	content, err := p.readParams(pd.Rel)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.NewAt(errs.NotFound, pd.Pos, "parameters file '%s' does not exist", pd.File)
	}
	if err != nil {
		return nil, err
	}
	values, err := pd.Read(content)
	if err != nil {
		return nil, fmt.Errorf("stage '%s': %w", s.Name, err)
	}
	return values, nil
}

// checkOutput compares an output with what was recorded of it. A folder in the
// work tree and its members in the cache are looked at at the same time.
func (p *Project) checkOutput(ctx context.Context, out *Output) (*Change, error) {
	c := &Change{Kind: OutputChanged, Path: out.Rel}
	look := func() (bool, error) { return p.changed(ctx, out.Rel, out.Recorded) }
	if out.Recorded != nil && out.Cache {
		if out.Recorded.Digest.IsDir() {
			hashing, stop := context.WithCancel(ctx)
			look = started(func() (bool, error) { return p.changed(hashing, out.Rel, out.Recorded) })
			defer look() // it ends before this does
			defer stop()
		}
		have, err := p.cacheOf(out.Recorded).HasTree(ctx, out.Recorded.Digest)
		if err != nil {
			return nil, err
		}
		if !have {
			c.State = NotInCache
			return c, nil
		}
	}
	changed, err := look()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.State = Deleted
	case err != nil:
		return nil, fmt.Errorf("hash output '%s': %w", out.Path, err)
	case changed:
		c.State = Modified
	default:
		return nil, nil
	}
	return c, nil
}

// started begins with look and gives a function that waits for its answer.
func started(look func() (bool, error)) func() (bool, error) {
	var g errgroup.Group
	var changed bool
	g.Go(func() (err error) {
		changed, err = look()
		return err
	})
	return func() (bool, error) {
		err := g.Wait()
		return changed, err
	}
}
