package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/experiment"
	"ctrx/experiment/queue"
	"ctrx/internal/fsx"
	"ctrx/pipeline"
	"ctrx/report"
	"ctrx/report/exppage"
	"ctrx/tracking"
)

// expShow is the flags of `exp show`.
type expShow struct {
	experiment.ShowOptions
	table         report.ExpTableOptions
	order         string
	json, csv, md bool
	noPager       bool
	runIDs        bool
	html          string
}

func (a *app) expShowCommand() *cobra.Command {
	var o expShow
	c := &cobra.Command{
		Use: "show", Short: "Show experiments with their metrics, parameters and dependencies", Args: cobra.NoArgs,
		Example: "  ctrx exp show --only-changed\n  ctrx exp show -n 3 --sort-by auc --sort-order desc --drop 'data/.*'\n  ctrx exp show -A --html experiments.html",
		RunE: func(c *cobra.Command, _ []string) error {
			a.json = o.json
			return a.project(c.Context(), func(p *pipeline.Project) error {
				o.Version = Version
				states, err := a.experiments(c.Context(), p, o.ShowOptions)
				if err != nil {
					return err
				}
				if o.runIDs {
					if o.table.Runs, err = a.runsByCommit(c.Context(), p); err != nil {
						return err
					}
				}
				if o.json {
					v := report.ExpShowValue(states, a.Now().Location())
					if o.runIDs {
						report.AddRunIDs(v, o.table.Runs)
					}
					a.printValue(v)
					return nil
				}
				return a.printExpTable(c.Context(), p, states, o)
			})
		},
	}
	o.flags(c)
	return c
}

// runsByCommit finds the MLflow runs of experiment commits.
func (a *app) runsByCommit(ctx context.Context, p *pipeline.Project) (map[string]string, error) {
	cfg := a.trackOptions(p).Config
	client, err := tracking.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	runs, err := experiment.RunsByCommit(ctx, client, cfg.ExperimentName)
	return runs, errors.Join(err, client.Close())
}

// experiments collects what `exp show` shows.
func (a *app) experiments(ctx context.Context, p *pipeline.Project, o experiment.ShowOptions) ([]report.ExpState, error) {
	tasks, err := a.tasks(p)
	if err != nil {
		return nil, err
	}
	if o.Tasks, err = tasks(ctx); err != nil {
		return nil, err
	}
	return experiment.Show(ctx, p, o)
}

// tasks gives what lists the tasks of the queue and the runs beside it.
func (a *app) tasks(p *pipeline.Project) (func(context.Context) ([]experiment.Task, error), error) {
	q, err := queue.Open(p, a.Now)
	if err != nil {
		return nil, err
	}
	states := map[queue.State]experiment.TaskState{
		queue.Running: experiment.TaskRunning, queue.Queued: experiment.TaskQueued, queue.Lost: experiment.TaskLost,
		queue.Failed: experiment.TaskFailed, queue.Success: experiment.TaskSuccess,
	}
	return func(ctx context.Context) ([]experiment.Task, error) {
		listed, err := q.Tasks(ctx)
		tasks := make([]experiment.Task, len(listed))
		for i, t := range listed {
			tasks[i] = experiment.Task{
				State: states[t.State], Rev: t.Rev, Name: t.Name, Baseline: t.Baseline, Location: t.Executor,
				Root: t.Root, DVCDir: t.DVCDir, Log: t.Log, PID: number64(t.PID), Ref: t.Ref, Began: t.Began,
			}
			if t.ReturnCode != nil {
				code := int64(*t.ReturnCode)
				tasks[i].Return = &code
			}
		}
		return tasks, err
	}, nil
}

// number64 is a number that 0 stands for none of.
func number64(n int) *int64 {
	if n == 0 {
		return nil
	}
	wide := int64(n)
	return &wide
}

func (o *expShow) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVarP(&o.AllCommits, "all-commits", "A", false, "experiments of every commit")
	f.BoolVarP(&o.AllBranches, "all-branches", "a", false, "experiments of the tips of all branches")
	f.BoolVarP(&o.AllTags, "all-tags", "T", false, "experiments of all tags")
	f.StringArrayVar(&o.Revs, "rev", nil, "experiments of this `commit`; may be repeated")
	f.IntVarP(&o.Num, "num", "n", 1, "also of this many commits before it, itself included; all if negative")
	f.BoolVar(&o.HideWorkspace, "hide-workspace", false, "without the row of the work tree")
	f.BoolVar(&o.HideQueued, "hide-queued", false, "without queued experiments")
	f.BoolVar(&o.HideFailed, "hide-failed", false, "without failed experiments")
	f.BoolVar(&o.SHA, "sha", false, "commits instead of names of branches and tags")
	f.BoolVar(&o.ParamDeps, "param-deps", false, "only parameters that stages depend on")
	f.BoolVarP(&o.Force, "force", "f", false, "read every commit anew")
	f.BoolVar(&o.runIDs, "run-ids", false, "also the ids of the MLflow runs; with --json as run_id")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.csv, "csv", false, "print CSV")
	f.BoolVar(&o.md, "md", false, "print a Markdown table")
	f.StringVar(&o.html, "html", "", "write a page with the table and parallel coordinates to this `file`")
	f.BoolVar(&o.noPager, "no-pager", false, "do not page on a terminal")
	f.Bool("no-fetch", false, "accepted for DVC's sake")
	_ = f.MarkHidden("no-fetch")
	o.tableFlags(f)
	c.MarkFlagsMutuallyExclusive("json", "csv", "md", "html")
}

func (o *expShow) tableFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.table.OnlyChanged, "only-changed", false, "only columns that differ")
	f.StringArrayVar(&o.table.Drop, "drop", nil, "without columns whose names match this `regexp`; may be repeated")
	f.StringArrayVar(&o.table.Keep, "keep", nil, "in any case columns whose names match this `regexp`; may be repeated")
	f.StringVar(&o.table.SortBy, "sort-by", "", "sort experiments by this metric or parameter: [`file:]key`")
	f.Var(newChoice(&o.order, "asc", "desc"), "sort-order", "`asc` or desc")
	f.IntVar(&o.table.Precision, "precision", 0, "significant digits of numbers (default 5; all in CSV)")
}

func (a *app) printExpTable(ctx context.Context, p *pipeline.Project, states []report.ExpState, o expShow) error {
	t := o.table
	t.Descending, t.Now, t.Split, t.ISO, t.Fill = o.order == "desc", a.Now(), o.csv, o.csv, "-"
	if o.csv {
		t.Fill = ""
	} else if t.Precision == 0 {
		t.Precision = report.DefaultPrecision
	}
	table, err := report.NewExpTable(states, t)
	if err != nil {
		return err
	}
	switch {
	case o.html != "":
		return a.writeExpPage(p, table, o.html)
	case o.csv:
		a.printf("%s", table.Table().CSV())
	case o.md:
		a.printf("%s", table.Table().Markdown())
	case isTerminal(a.Out) && !o.noPager:
		return a.page(ctx, table.Plain(a.paint()))
	default:
		a.printf("%s", table.Plain(a.paint()))
	}
	return nil
}

// writeExpPage writes the page of `exp show --html`.
func (a *app) writeExpPage(p *pipeline.Project, table report.ExpTable, file string) error {
	if !filepath.IsAbs(file) {
		file = filepath.Join(a.Dir, file)
	}
	var page bytes.Buffer
	if err := exppage.Write(&page, "Experiments of "+filepath.Base(p.Root), table); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	if err := fsx.WriteFile(file, page.Bytes(), 0o666); err != nil {
		return err
	}
	p.Info("file://%s", filepath.ToSlash(file))
	return nil
}
