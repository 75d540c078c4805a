package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ctrx/experiment"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/report"
)

func (a *app) expWatchCommand() *cobra.Command {
	var follow, asJSON bool
	c := &cobra.Command{
		Use: "watch", Short: "Show what runs, with the last metrics, until nothing runs any more", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a.json = asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				tasks, err := a.tasks(p)
				if err != nil {
					return err
				}
				o := experiment.WatchOptions{Every: time.Second, Follow: follow, Tasks: tasks}
				switch {
				case asJSON:
					o.Show = a.watchJSON
				case isTerminal(a.Out):
					o.Show, o.EveryLook = a.watchTable(), true
				default:
					o.Show = a.watchLines
				}
				return experiment.Watch(c.Context(), p, o)
			})
		},
	}
	c.Flags().BoolVar(&follow, "follow", false, "go on when nothing runs")
	c.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each change")
	return c
}

// watchJSON prints an object for each run that changed.
func (a *app) watchJSON(runs []experiment.WatchedRun, changed []int) error {
	for _, i := range changed {
		r := runs[i]
		metrics := r.Metrics
		if metrics == nil {
			metrics = &dvcfile.Map{}
		}
		line := dvcfile.NewMap("time", a.Now().UTC().Format(time.RFC3339), "name", r.Name, "rev", r.Rev, "baseline", r.Baseline,
			"where", r.Where, "state", r.State, "metrics", metrics)
		a.printf("%s\n", dvcfile.JSON(line))
	}
	return nil
}

// watchLines prints a line for each run that changed.
func (a *app) watchLines(runs []experiment.WatchedRun, changed []int) error {
	if len(runs) == 0 {
		a.printf("No experiment is running.\n")
	}
	for _, i := range changed {
		r := runs[i]
		line := fmt.Sprintf("%s %s (%s)", r.Name, r.State, r.Where)
		for j := range r.Metrics.Len() {
			key, v := r.Metrics.At(j)
			line += " " + key + "=" + report.Number(v)
		}
		a.printf("%s\n", line)
	}
	return nil
}

// watchTable draws a table over the one before.
func (a *app) watchTable() func([]experiment.WatchedRun, []int) error {
	drawn := 0
	return func(runs []experiment.WatchedRun, _ []int) error {
		text := "No experiment is running.\n"
		if len(runs) > 0 {
			text = watched(runs, a.Now()).Plain(a.paint())
		}
		if drawn > 0 {
			a.printf("\x1b[%dA\x1b[J", drawn)
		}
		drawn = strings.Count(text, "\n")
		a.printf("\x1b[?7l%s\x1b[?7h", text) // a line that is too long is cut, not wrapped
		return nil
	}
}

// watched lays runs out.
func watched(runs []experiment.WatchedRun, now time.Time) report.ExpTable {
	shown := make([]report.Run, len(runs))
	for i, r := range runs {
		shown[i] = report.Run{Name: r.Name, State: r.State, Where: r.Where, Metrics: r.Metrics}
		if !r.Began.IsZero() {
			shown[i].Took = now.Sub(r.Began)
		}
	}
	return report.RunTable(shown)
}
