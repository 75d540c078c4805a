package pipeline

import (
	"context"
	"slices"
	"strings"
)

// DAGOptions says which part of the graph is wanted, and of what.
type DAGOptions struct {
	Target string // "" means everything
	Full   bool   // all that is connected with the target, not only what it depends on
	Outs   bool   // outputs instead of stages
}

// DAG is the graph of the project for display. An edge leads from what is read
// to what reads it; both are indexes of Nodes.
type DAG struct {
	Nodes []string // addresses of stages, or paths of outputs, as seen from where the user stands
	Edges [][2]int // sorted by the reading node, then by the read one
}

// DAG gives the graph, or the part of it that a target belongs to. Frozen
// stages are shown with what they read.
func (p *Project) DAG(ctx context.Context, o DAGOptions) (*DAG, error) {
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return nil, err
	}
	g, err := NewGraph(ix.Stages)
	if err != nil {
		return nil, err
	}
	d := p.stageDAG(g)
	if o.Outs {
		d = p.outputDAG(g)
	}
	if o.Target == "" {
		return d, nil
	}
	stages, err := p.ResolveTarget(ix, o.Target, TargetOptions{Outputs: true})
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for _, s := range stages {
		if !o.Outs {
			named[s.Address(p.Dir)] = true
			continue
		}
		for _, so := range p.narrow(outputsOf([]*Stage{s}), o.Target) {
			named[p.Show(so.Output.Rel)] = true
		}
	}
	return d.around(named, o.Full), nil
}

func (p *Project) stageDAG(g *Graph) *DAG {
	d := &DAG{}
	place := map[*Stage]int{}
	for i, s := range g.Stages {
		place[s] = i
		d.Nodes = append(d.Nodes, s.Address(p.Dir))
	}
	for i, s := range g.Stages {
		for _, up := range g.upstream[s] {
			d.Edges = append(d.Edges, [2]int{place[up], i})
		}
	}
	return d
}

// outputDAG connects every output of a stage with the outputs that the stage
// reads. Outputs stand in the order of a tree of their paths.
func (p *Project) outputDAG(g *Graph) *DAG {
	d := &DAG{}
	place := map[string]int{} // by rel path
	tree := pathTree{}
	for _, s := range g.Stages {
		for _, o := range s.Outs {
			tree.add(o.Rel)
		}
	}
	tree.walk(func(rel string) {
		place[rel] = len(d.Nodes)
		d.Nodes = append(d.Nodes, p.Show(rel))
	})
	for _, s := range g.Stages {
		for _, out := range s.Outs {
			for _, up := range g.upstream[s] {
				for _, from := range up.Outs {
					if s.readsAny(from.Rel) {
						d.Edges = append(d.Edges, [2]int{place[from.Rel], place[out.Rel]})
					}
				}
			}
		}
	}
	slices.SortStableFunc(d.Edges, func(a, b [2]int) int { return a[1] - b[1] })
	return d
}

// readsAny tells whether the stage reads an output, a part of it or a folder
// around it.
func (s *Stage) readsAny(out string) bool {
	return slices.ContainsFunc(s.reads(), func(rel string) bool { return overlaps(rel, out) })
}

// around keeps what the named nodes depend on or, with full, all that is
// connected with them.
func (d *DAG) around(named map[string]bool, full bool) *DAG {
	ups, downs := make([][]int, len(d.Nodes)), make([][]int, len(d.Nodes))
	for _, e := range d.Edges {
		ups[e[1]] = append(ups[e[1]], e[0])
		downs[e[0]] = append(downs[e[0]], e[1])
	}
	kept := make([]int, len(d.Nodes)) // new index + 1
	var todo []int
	for i, n := range d.Nodes {
		if named[n] {
			kept[i], todo = 1, append(todo, i)
		}
	}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		next := ups[at]
		if full {
			next = slices.Concat(ups[at], downs[at])
		}
		for _, n := range next {
			if kept[n] == 0 {
				kept[n], todo = 1, append(todo, n)
			}
		}
	}
	part := &DAG{}
	for i, n := range d.Nodes {
		if kept[i] > 0 {
			part.Nodes = append(part.Nodes, n)
			kept[i] = len(part.Nodes)
		}
	}
	for _, e := range d.Edges {
		if kept[e[0]] > 0 && kept[e[1]] > 0 {
			part.Edges = append(part.Edges, [2]int{kept[e[0]] - 1, kept[e[1]] - 1})
		}
	}
	return part
}

// pathTree holds slash paths; children stay in the order in which they came.
type pathTree struct {
	children []*pathTree
	byName   map[string]*pathTree
	rel      string // "" for a folder that is no path of its own
}

func (t *pathTree) add(rel string) {
	node := t
	for _, part := range strings.Split(rel, "/") {
		child := node.byName[part]
		if child == nil {
			child = &pathTree{}
			if node.byName == nil {
				node.byName = map[string]*pathTree{}
			}
			node.byName[part] = child
			node.children = append(node.children, child)
		}
		node = child
	}
	node.rel = rel
}

func (t *pathTree) walk(visit func(rel string)) {
	if t.rel != "" {
		visit(t.rel)
	}
	for _, c := range t.children {
		c.walk(visit)
	}
}
