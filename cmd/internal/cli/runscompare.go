package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"ctrx/experiment"
	"ctrx/pipeline"
	"ctrx/report"
	"ctrx/tracking"
)

// runsCompare is the flags of `runs compare` and `runs diff`.
type runsCompare struct {
	changedOnly, all, json, md bool
}

func (a *app) runsCompareCommand() *cobra.Command {
	var o runsCompare
	c := &cobra.Command{
		Use: "compare RUN RUN...", Short: "Put runs side by side: code, metrics, parameters, data and outputs", Args: cobra.MinimumNArgs(2),
		Example: "  ctrx runs compare 1dd8076a caecf75c --changed-only\n  ctrx runs compare lgbm shallow amber-eagle --md",
		RunE: func(c *cobra.Command, names []string) error {
			a.json = o.json
			return a.onRuns(c.Context(), names, func(_ *pipeline.Project, _ runStore, runs []tracking.RunRecord) error {
				return a.printComparison(runs, experiment.CompareRuns(runs, o.changedOnly), o)
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&o.changedOnly, "changed-only", false, "only what differs")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.md, "md", false, "print a Markdown table")
	c.MarkFlagsMutuallyExclusive("json", "md")
	return c
}

func (a *app) runsDiffCommand() *cobra.Command {
	var o runsCompare
	c := &cobra.Command{
		Use: "diff RUN RUN", Short: "Show what differs between two runs", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, names []string) error {
			a.json = o.json
			return a.onRuns(c.Context(), names, func(_ *pipeline.Project, _ runStore, runs []tracking.RunRecord) error {
				return a.printComparison(runs, experiment.CompareRuns(runs, !o.all), o)
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&o.all, "all", false, "also what does not differ")
	f.BoolVar(&o.changedOnly, "changed-only", true, "only what differs: the default")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.md, "md", false, "print a Markdown table")
	c.MarkFlagsMutuallyExclusive("json", "md")
	c.MarkFlagsMutuallyExclusive("all", "changed-only")
	return c
}

func (a *app) printComparison(runs []tracking.RunRecord, rows []experiment.RunRow, o runsCompare) error {
	if o.json {
		return a.printJSON(comparisonJSON(runs, rows))
	}
	t := report.Table{Header: []string{"", "Key"}}
	for _, r := range runs {
		t.Header = append(t.Header, cell(r.Name, o.md)+" ("+r.ID[:8]+")")
	}
	withChange := len(runs) == 2
	if withChange {
		t.Header = append(t.Header, "Change")
	}
	section := ""
	for _, row := range rows {
		cells := []string{"", cell(row.Key, o.md)}
		if row.Section != section || o.md {
			section, cells[0] = row.Section, row.Section
		}
		for _, v := range row.Values {
			cells = append(cells, cell(cellOf(v), o.md))
		}
		if withChange {
			cells = append(cells, changeOf(row))
		}
		t.Rows = append(t.Rows, cells)
	}
	a.printTable(t, o.md)
	return nil
}

func cellOf(v experiment.RunValue) string {
	switch {
	case !v.There:
		return "-"
	case v.Number != nil:
		return formatNumber(*v.Number)
	}
	return shorten(v.Text)
}

// changeOf is the difference of a metric of two runs.
func changeOf(r experiment.RunRow) string {
	if r.Values[0].Number == nil || r.Values[1].Number == nil {
		return ""
	}
	return strconv.FormatFloat(*r.Values[1].Number-*r.Values[0].Number, 'g', 5, 64)
}

// comparison is runs side by side as --json prints them (docs/json-output.md).
type comparison struct {
	Runs []comparedRun               `json:"runs"`
	Rows map[string]map[string][]any `json:"sections"` // section -> key -> a value for each run, null where it has none
}

type comparedRun struct {
	ID   string `json:"run_id"`
	Name string `json:"name"`
}

func comparisonJSON(runs []tracking.RunRecord, rows []experiment.RunRow) comparison {
	out := comparison{Runs: []comparedRun{}, Rows: map[string]map[string][]any{}}
	for _, r := range runs {
		out.Runs = append(out.Runs, comparedRun{r.ID, r.Name})
	}
	for _, row := range rows {
		if out.Rows[row.Section] == nil {
			out.Rows[row.Section] = map[string][]any{}
		}
		values := make([]any, len(row.Values))
		for i, v := range row.Values {
			switch {
			case v.Number != nil:
				values[i] = jsonNumber(*v.Number)
			case v.There:
				values[i] = v.Text
			}
		}
		out.Rows[row.Section][row.Key] = values
	}
	return out
}
