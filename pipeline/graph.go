package pipeline

import (
	"path"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// Graph is the acyclic graph of an Index: an edge leads from a stage to each
// stage that makes something it reads.
type Graph struct {
	Stages     []*Stage
	upstream   map[*Stage][]*Stage
	downstream map[*Stage][]*Stage
}

// outputsByPath finds outputs at, above and below a path in one look-up each.
type outputsByPath struct {
	at     map[string]*Stage
	sorted []string // all output paths with "/" appended, sorted
}

// NewGraph connects stages. Two stages with the same or overlapping outputs, a
// stage file inside an output and a cycle are errors.
func NewGraph(stages []*Stage) (*Graph, error) {
	outs, err := indexOutputs(stages)
	if err != nil {
		return nil, err
	}
	g := &Graph{Stages: stages, upstream: map[*Stage][]*Stage{}, downstream: map[*Stage][]*Stage{}}
	for _, s := range stages {
		if owner := outs.covering(s.File); owner != nil {
			return nil, errs.At(owner.Pos, "the stage file %s lies inside an output of %q", s.File, owner.Address("."))
		}
		for _, rel := range s.reads() {
			for _, up := range outs.overlapping(rel) {
				if !slices.Contains(g.upstream[s], up) {
					g.upstream[s] = append(g.upstream[s], up)
					g.downstream[up] = append(g.downstream[up], s)
				}
			}
		}
	}
	return g, g.checkAcyclic()
}

// reads lists the rel paths that the stage depends on.
func (s *Stage) reads() []string {
	var rels []string
	for _, d := range s.Deps {
		if d.Rel != "" {
			rels = append(rels, d.Rel)
		}
	}
	for _, p := range s.Params {
		rels = append(rels, p.Rel)
	}
	return rels
}

func indexOutputs(stages []*Stage) (*outputsByPath, error) {
	o := &outputsByPath{at: map[string]*Stage{}}
	for _, s := range stages {
		for _, out := range s.Outs {
			if prev, ok := o.at[out.Rel]; ok {
				return nil, errs.Hint(errs.At(out.Pos, "output '%s' is specified in:\n\t- %s\n\t- %s", out.Rel, describe(prev), describe(s)),
					"an output belongs to one stage: remove it from the other")
			}
			o.at[out.Rel] = s
			o.sorted = append(o.sorted, out.Rel+"/")
		}
	}
	slices.Sort(o.sorted)
	for i := 1; i < len(o.sorted); i++ {
		if outer, inner := o.sorted[i-1], o.sorted[i]; strings.HasPrefix(inner, outer) {
			outer, inner = strings.TrimSuffix(outer, "/"), strings.TrimSuffix(inner, "/")
			return nil, errs.At(o.at[inner].Pos, "The output paths:\n'%s'('%s')\n'%s'('%s')\noverlap and are thus in the same tracked directory.\nTo keep reproducibility, outputs should be in separate tracked directories or tracked individually.",
				outer, describe(o.at[outer]), inner, describe(o.at[inner]))
		}
	}
	return o, nil
}

// describe names a stage with its file, for messages about the whole project.
func describe(s *Stage) string {
	if s.IsData() {
		return s.File
	}
	return s.File + ":" + s.Name
}

// covering gives the stage with an output that is rel or a folder above it.
func (o *outputsByPath) covering(rel string) *Stage {
	for p := rel; p != "." && p != "/" && p != ""; p = path.Dir(p) {
		if s := o.at[p]; s != nil {
			return s
		}
	}
	return nil
}

// overlapping gives the stages with an output that is rel, above it or below.
func (o *outputsByPath) overlapping(rel string) []*Stage {
	var found []*Stage
	if s := o.covering(rel); s != nil {
		found = append(found, s)
	}
	prefix := rel + "/"
	if rel == "." {
		prefix = ""
	}
	i, _ := slices.BinarySearch(o.sorted, prefix)
	for ; i < len(o.sorted) && strings.HasPrefix(o.sorted[i], prefix); i++ {
		if s := o.at[strings.TrimSuffix(o.sorted[i], "/")]; !slices.Contains(found, s) {
			found = append(found, s)
		}
	}
	return found
}

func (g *Graph) checkAcyclic() error {
	const open, closed = 1, 2
	state := map[*Stage]int{}
	var path []*Stage
	var visit func(s *Stage) error
	visit = func(s *Stage) error {
		state[s] = open
		path = append(path, s)
		for _, up := range g.upstream[s] {
			switch state[up] {
			case open:
				return cycleError(path[slices.Index(path, up):])
			case 0:
				if err := visit(up); err != nil {
					return err
				}
			}
		}
		state[s] = closed
		path = path[:len(path)-1]
		return nil
	}
	for _, s := range g.Stages {
		if state[s] == 0 {
			if err := visit(s); err != nil {
				return err
			}
		}
	}
	return nil
}

func cycleError(cycle []*Stage) error {
	names := make([]string, len(cycle))
	for i, s := range cycle {
		names[i] = s.Address(path.Dir(cycle[0].File))
	}
	return errs.At(cycle[0].Pos, "Same item(s) are defined as both a dependency and an output in stages: %s.",
		strings.Join(names, ", "))
}

// Upstream gives the stages that s reads from, none for a frozen stage: the
// graph that is run does not look behind it.
func (g *Graph) Upstream(s *Stage) []*Stage {
	if s.Frozen {
		return nil
	}
	return g.upstream[s]
}

// Downstream gives the stages that read from s.
func (g *Graph) Downstream(s *Stage) []*Stage {
	var next []*Stage
	for _, d := range g.downstream[s] {
		if !d.Frozen {
			next = append(next, d)
		}
	}
	return next
}

// Descendants gives every stage that reads from s, directly or not.
func (g *Graph) Descendants(s *Stage) []*Stage {
	order := postOrder([]*Stage{s}, g.Downstream)
	return order[:len(order)-1]
}

// Order gives the stages that must be looked at to bring the targets up to
// date, dependencies first; with downstream, the targets and what depends on
// them instead. No targets means every stage. What the dependencies leave open
// is settled by the order of the stage files, not of the targets, as in DVC.
func (g *Graph) Order(targets []*Stage, downstream bool) []*Stage {
	if len(targets) == 0 {
		return postOrder(g.Stages, g.Upstream)
	}
	next := g.Upstream
	if downstream {
		next = g.Downstream
	}
	wanted := map[*Stage]bool{}
	for _, s := range postOrder(targets, next) {
		wanted[s] = true
	}
	unwanted := func(s *Stage) bool { return !wanted[s] }
	return postOrder(slices.DeleteFunc(slices.Clone(g.Stages), unwanted), func(s *Stage) []*Stage {
		return slices.DeleteFunc(slices.Clone(g.Upstream(s)), unwanted)
	})
}

// Component gives every stage that is connected with one of the targets in
// either direction.
func (g *Graph) Component(targets []*Stage) []*Stage {
	both := func(s *Stage) []*Stage { return slices.Concat(g.Upstream(s), g.Downstream(s)) }
	connected := map[*Stage]bool{}
	for _, s := range postOrder(targets, both) {
		connected[s] = true
	}
	return slices.DeleteFunc(slices.Clone(g.Stages), func(s *Stage) bool { return !connected[s] })
}

// postOrder visits roots in order and gives each stage after all of its next.
func postOrder(roots []*Stage, next func(*Stage) []*Stage) []*Stage {
	var order []*Stage
	seen := map[*Stage]bool{}
	var visit func(s *Stage)
	visit = func(s *Stage) {
		if seen[s] {
			return
		}
		seen[s] = true
		for _, n := range next(s) {
			visit(n)
		}
		order = append(order, s)
	}
	for _, s := range roots {
		visit(s)
	}
	return order
}
