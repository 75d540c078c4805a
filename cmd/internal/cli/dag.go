package cli

import (
	"github.com/spf13/cobra"

	"ctrx/pipeline"
	"ctrx/report"
)

func (a *app) dagCommand() *cobra.Command {
	var o pipeline.DAGOptions
	var dot, mermaid, markdown, collapse, asJSON bool
	c := &cobra.Command{
		Use: "dag [target]", Short: "Draw the graph of stages, or of outputs", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a.json = asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				if len(args) > 0 {
					o.Target = args[0]
				}
				d, err := p.DAG(c.Context(), o)
				if err != nil {
					return err
				}
				g := report.Graph{Nodes: d.Nodes, Edges: d.Edges}
				if collapse {
					g = g.Collapse()
				}
				switch {
				case asJSON:
					return a.printJSON(graphJSON(g))
				case dot:
					a.printf("%s\n", g.DOT())
				case markdown:
					a.printf("```mermaid\n%s\n```\n", g.Mermaid())
				case mermaid:
					a.printf("%s\n", g.Mermaid())
				default:
					a.printf("%s", g.Draw())
				}
				return nil
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&dot, "dot", false, "print it for Graphviz")
	f.BoolVar(&mermaid, "mermaid", false, "print it for Mermaid")
	f.BoolVar(&markdown, "md", false, "print it for Mermaid, as a block of Markdown")
	f.BoolVar(&collapse, "collapse-foreach-matrix", false, "one node for all stages of a foreach or matrix")
	f.BoolVar(&o.Full, "full", false, "all that is connected with the target, not only what it depends on")
	f.BoolVarP(&o.Outs, "outs", "o", false, "outputs instead of stages")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	c.MarkFlagsMutuallyExclusive("outs", "collapse-foreach-matrix")
	return c
}

func graphJSON(g report.Graph) any {
	nodes, edges := []string{}, [][2]string{}
	nodes = append(nodes, g.Nodes...)
	for _, e := range g.Edges {
		edges = append(edges, [2]string{g.Nodes[e[0]], g.Nodes[e[1]]})
	}
	return map[string]any{"nodes": nodes, "edges": edges}
}
