package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// Explanation says why a stage would run, and what is known of its last run.
type Explanation struct {
	Step    Step
	Reasons []Reason
	Behind  []*Stage  // what would run before it and makes something it reads
	Last    *StageRun // its last run on this machine; nil when none is known
	Origin  *Origin   // where its recorded state comes from; nil when nothing is recorded or nobody knows
}

// Reason is one difference between a stage and what was recorded of it.
type Reason struct {
	What     string // "dependency", "parameter", "command", "output", "flag"
	Name     string // the path, file:key of a parameter, or flag; "" for the command
	State    string // DVC's word: "modified", "deleted", "new", "not in cache"
	Old, New string // "" when absent
	Files    []FileChange
}

// FileChange is a member of a folder that differs.
type FileChange struct {
	Path  string
	State State // New, Modified or Deleted
}

// Origin is the commit or run that recorded a state of a stage.
type Origin struct {
	Commit     string // "" when the state is in no commit that HEAD leads to
	Subject    string // first line of the commit's message
	When       time.Time
	Experiment string
	RunID      string // of MLflow
}

// Why explains the plan for the selected stages. With targets it explains
// these, else every stage that is not up to date. It writes nothing.
func (p *Project) Why(ctx context.Context, o PlanOptions) ([]Explanation, error) {
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return nil, err
	}
	g, err := NewGraph(ix.Stages)
	if err != nil {
		return nil, err
	}
	steps, err := p.Plan(ctx, ix, g, o)
	if err != nil {
		return nil, err
	}
	acts := map[*Stage]bool{}
	for _, st := range steps {
		acts[st.Stage] = st.Action != Skip || st.Tentative
	}
	wanted, err := p.explained(ix, steps, acts, o)
	if err != nil {
		return nil, err
	}
	runs, err := p.history().read()
	if err != nil {
		return nil, err
	}
	origins, err := p.origins(ctx, wanted, runs)
	if err != nil {
		return nil, err
	}
	var all []Explanation
	for _, st := range steps {
		if !slices.Contains(wanted, st.Stage) {
			continue
		}
		e := Explanation{Step: st, Origin: origins[st.Stage]}
		if e.Reasons, err = p.reasons(ctx, st); err != nil {
			return nil, err
		}
		for _, up := range g.Upstream(st.Stage) {
			if acts[up] {
				e.Behind = append(e.Behind, up)
			}
		}
		if rs := runs[st.Stage.Address(".")]; len(rs) > 0 {
			e.Last = &rs[len(rs)-1]
		}
		all = append(all, e)
	}
	return all, nil
}

// explained gives the stages that the user asked about.
func (p *Project) explained(ix *Index, steps []Step, acts map[*Stage]bool, o PlanOptions) ([]*Stage, error) {
	var wanted []*Stage
	for _, t := range o.Targets {
		found, err := p.ResolveTarget(ix, t, TargetOptions{Recursive: o.Recursive, Glob: o.Glob})
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, found...)
	}
	if len(o.Targets) == 0 {
		for _, st := range steps {
			if acts[st.Stage] {
				wanted = append(wanted, st.Stage)
			}
		}
	}
	return wanted, nil
}

// reasons spells out the changes of a step.
func (p *Project) reasons(ctx context.Context, st Step) ([]Reason, error) {
	s := st.Stage
	var all []Reason
	if st.Forced {
		all = append(all, Reason{What: "flag", Name: "--force"})
	}
	for _, c := range st.Changes {
		var r Reason
		var err error
		switch c.Kind {
		case CommandChanged:
			r = Reason{What: "command", State: string(Modified), Old: commandText(c.Old), New: commandText(c.New)}
		case ParamChanged:
			r = Reason{What: "parameter", Name: p.Show(c.Path), State: string(c.State)}
			if c.Key != "" {
				r.Name += ":" + c.Key
				r.Old, r.New = valueText(c.Old), valueText(c.New)
			}
		case DependencyChanged:
			r, err = p.fileReason(ctx, "dependency", c, s.dependency(c.Path))
		case OutputChanged:
			r, err = p.fileReason(ctx, "output", c, s.output(c.Path))
		case AlwaysChanged:
			r = Reason{What: "flag", Name: "always_changed"}
			if s.IsCallback() {
				r.Name = "no dependencies and no outputs"
			}
		default:
			r = Reason{What: "flag", Name: c.String()}
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func (s *Stage) dependency(rel string) *dvcfile.Entry {
	for _, d := range s.Deps {
		if d.Rel == rel || isURL(d.Path) && d.Path == rel {
			return d.Recorded
		}
	}
	return nil
}

func (s *Stage) output(rel string) *dvcfile.Entry {
	for _, o := range s.Outs {
		if o.Rel == rel {
			return o.Recorded
		}
	}
	return nil
}

// fileReason compares a file or folder with what was recorded of it; of a
// folder whose old listing is in the cache, member by member.
func (p *Project) fileReason(ctx context.Context, what string, c Change, old *dvcfile.Entry) (Reason, error) {
	r := Reason{What: what, Name: p.Show(c.Path), State: string(c.State)}
	if old != nil {
		r.Old = contentText(old.Digest, old.Meta.Size, old.HasSize)
	} else if c.State == Modified {
		r.State = string(New) // DVC's status calls it modified: nothing was recorded to compare with
	}
	if c.State == Deleted || c.State == NotInCache || isURL(c.Path) {
		return r, nil
	}
	tree, err := p.hash(ctx, c.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("hash %s '%s': %w", what, p.Show(c.Path), err)
	}
	r.New = contentText(tree.Digest, tree.Size, true)
	if old == nil || !old.Digest.IsDir() || !tree.IsDir() {
		return r, nil
	}
	listing, err := p.cacheOf(old).ReadDir(ctx, old.Digest)
	if err != nil {
		return r, nil // the digests alone say that it changed
	}
	for _, d := range storage.DiffDir(listing, tree.Dir) {
		state := Modified
		switch {
		case d.Old == "":
			state = New
		case d.New == "":
			state = Deleted
		}
		r.Files = append(r.Files, FileChange{Path: d.RelPath, State: state})
	}
	return r, nil
}

// commandText shows a command on one line; several are joined as a shell would.
func commandText(v dvcfile.Value) string {
	list, ok := v.([]dvcfile.Value)
	if !ok {
		return dvcfile.PyStr(v)
	}
	text := ""
	for i, c := range list {
		if i > 0 {
			text += " && "
		}
		text += dvcfile.PyStr(c)
	}
	return text
}

func valueText(v dvcfile.Value) string {
	if v == nil {
		return ""
	}
	return string(dvcfile.JSON(v))
}

func contentText(d storage.Digest, size int64, hasSize bool) string {
	if d == "" || !hasSize {
		return string(d)
	}
	return fmt.Sprintf("%s, %d bytes", d, size)
}
