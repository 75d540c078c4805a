package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Graph is a directed acyclic graph to be shown. An edge leads from what is
// read to what reads it; both are indexes of Nodes.
type Graph struct {
	Nodes []string
	Edges [][2]int
}

// Collapse puts the stages of each foreach or matrix (build@us, build@uk) into
// one node named after the definition.
func (g Graph) Collapse() Graph {
	var c Graph
	place := map[string]int{}
	at := make([]int, len(g.Nodes))
	for i, n := range g.Nodes {
		if !strings.HasSuffix(n, ".dvc") {
			n, _, _ = strings.Cut(n, "@")
		}
		if _, ok := place[n]; !ok {
			place[n] = len(c.Nodes)
			c.Nodes = append(c.Nodes, n)
		}
		at[i] = place[n]
	}
	seen := map[[2]int]bool{}
	for _, e := range g.Edges {
		if e = [2]int{at[e[0]], at[e[1]]}; e[0] != e[1] && !seen[e] {
			seen[e] = true
			c.Edges = append(c.Edges, e)
		}
	}
	return c
}

// DOT gives the graph in Graphviz's language, as `dvc dag --dot` writes it.
func (g Graph) DOT() string {
	var b strings.Builder
	b.WriteString("strict digraph {\n")
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "\"%s\";\n", n)
	}
	edges := slices.Clone(g.Edges)
	slices.SortStableFunc(edges, func(x, y [2]int) int { return cmp.Or(cmp.Compare(x[0], y[0]), cmp.Compare(x[1], y[1])) })
	for _, e := range edges {
		fmt.Fprintf(&b, "\"%s\" -> \"%s\";\n", g.Nodes[e[0]], g.Nodes[e[1]])
	}
	b.WriteString("}\n")
	return b.String()
}

// Mermaid gives the graph in Mermaid's language, as `dvc dag --mermaid` writes
// it: one connected part after the other, nodes and edges sorted by name.
func (g Graph) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart TD")
	ids := make([]int, len(g.Nodes))
	total := 0
	for _, part := range g.parts() {
		byName := func(x, y int) int { return strings.Compare(g.Nodes[x], g.Nodes[y]) }
		slices.SortFunc(part.nodes, byName)
		for _, n := range part.nodes {
			total++
			ids[n] = total
			fmt.Fprintf(&b, "\n\tnode%d[\"%s\"]", total, g.Nodes[n])
		}
		slices.SortFunc(part.edges, func(x, y [2]int) int { return cmp.Or(byName(x[0], y[0]), byName(x[1], y[1])) })
		for _, e := range part.edges {
			fmt.Fprintf(&b, "\n\tnode%d-->node%d", ids[e[0]], ids[e[1]])
		}
	}
	return b.String()
}

// graphPart is a connected part of a graph.
type graphPart struct {
	nodes []int
	edges [][2]int
}

// parts splits the graph into its connected parts, in the order of their first
// nodes.
func (g Graph) parts() []*graphPart {
	parent := make([]int, len(g.Nodes))
	for i := range parent {
		parent[i] = i
	}
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for _, e := range g.Edges {
		parent[root(e[0])] = root(e[1])
	}
	var parts []*graphPart
	of := map[int]*graphPart{}
	for i := range g.Nodes {
		r := root(i)
		if of[r] == nil {
			of[r] = &graphPart{}
			parts = append(parts, of[r])
		}
		of[r].nodes = append(of[r].nodes, i)
	}
	for _, e := range g.Edges {
		p := of[root(e[0])]
		p.edges = append(p.edges, e)
	}
	return parts
}
