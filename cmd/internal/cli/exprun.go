package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ctrx/experiment"
	"ctrx/experiment/queue"
	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/report"
)

// expRun is one call of `exp run`.
type expRun struct {
	experiment.RunOptions
	queue, temp, all bool
	metric           string
	direction        string
	copies           []string
	priority         int
	attempts         int
	failFast         bool
}

func (a *app) expRunCommand() *cobra.Command {
	var o expRun
	c := &cobra.Command{
		Use:   "run [targets...]",
		Short: "Run the pipeline as an experiment, with changed parameters if wanted",
		Long: "Run the pipeline as an experiment, with changed parameters if wanted.\n\nWithout --temp or --queue it runs in the workspace, and its results stay there.\n" +
			"With --temp it runs in a copy, with --queue it is kept for later: `ctrx queue start`\nor `ctrx exp run --run-all`.",
		Example: "  ctrx exp run\n  ctrx exp run -n fast -S train.lr=0.1 -S train.epochs=5\n" +
			"  ctrx exp run -S other.yaml:seed=7 --push\n  ctrx exp run --queue -S train.lr=0.1,0.2 -S 'train.depth=range(3,6)'\n  ctrx exp run --run-all -j 2",
		RunE: func(c *cobra.Command, targets []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				o.Targets, o.Stdio, o.Now, o.Rand = targets, a.stdio(), a.Now, a.Rand
				o.Overwrite = o.Force
				o.Tracking = a.trackOptions(p)
				o.Tracking.Off = o.Dry
				return a.expRun(c, p, &o)
			})
		},
	}
	f := c.Flags()
	reproFlags(f, &o.ExecuteOptions)
	f.Lookup("jobs").Usage = "number of stages, or with --run-all of experiments, that run at the same time"
	f.StringVarP(&o.Name, "name", "n", "", "`name` of the experiment; one is made up without it")
	f.StringVarP(&o.Message, "message", "m", "", "message of the experiment commit")
	f.StringArrayVarP(&o.SetParams, "set-param", "S", nil, "change a parameter: [`file:]key=value`; may be repeated; with --queue the value may be a sweep")
	f.BoolVar(&o.NoHydra, "no-hydra", false, "do not compose params.yaml out of config groups")
	f.BoolVar(&o.Push, "push", false, "push the data that the run made to the default remote")
	f.BoolVar(&o.queue, "queue", false, "keep it for later")
	f.BoolVar(&o.temp, "temp", false, "run it in a copy, and leave the workspace alone")
	f.BoolVar(&o.all, "run-all", false, "run everything in the queue and show the output")
	f.StringArrayVarP(&o.copies, "copy-paths", "C", nil, "`path` that Git does not know, to be copied along with --temp or --queue, as it is when the run begins; may be repeated")
	f.StringVar(&o.metric, "metric", "", "with --queue and a sweep: what the best one is chosen by for MLflow, `FILE:KEY` or the key alone")
	f.StringVar(&o.direction, "direction", "max", "with --metric: max or min is better")
	f.IntVar(&o.priority, "priority", 0, "with --queue: higher ones run first")
	workerFlags(f, &o.attempts, &o.failFast)
	return c
}

func (a *app) expRun(c *cobra.Command, p *pipeline.Project, o *expRun) error {
	switch {
	case o.all:
		return a.runAll(c.Context(), p, o)
	case o.queue:
		return a.enqueue(c.Context(), p, o)
	case o.temp && !o.Dry:
		return a.runTemp(c.Context(), p, o)
	case len(o.copies) > 0:
		return errs.Hint(errs.New(errs.Usage, "--copy-paths is for --temp and --queue: in the workspace the files are there"), "leave it out, or add --temp")
	}
	outcome, err := experiment.Run(c.Context(), p, o.RunOptions)
	if err != nil {
		return err
	}
	return a.printOutcome(p, outcome, o.Dry)
}

func (o *expRun) put() queue.PutOptions {
	return queue.PutOptions{
		ExecuteOptions: o.ExecuteOptions, Name: o.Name, Message: o.Message, SetParams: o.SetParams, CopyPaths: o.copies,
		Overwrite: o.Overwrite, NoHydra: o.NoHydra, Priority: o.priority, Rand: o.Rand,
		Metric: o.metric, Direction: o.direction,
	}
}

// overridesText writes overrides as DVC prints them.
func overridesText(files []queue.FileOverrides) string {
	m := &dvcfile.Map{}
	for _, f := range files {
		texts := make([]dvcfile.Value, len(f.Texts))
		for i, t := range f.Texts {
			texts[i] = t
		}
		m.Set(f.File, texts)
	}
	return dvcfile.PyRepr(m)
}

// printOutcome prints the results table of a run and how to go on.
func (a *app) printOutcome(p *pipeline.Project, o *experiment.Outcome, dry bool) error {
	if dry {
		a.printEstimate(o.Estimate)
		return nil
	}
	if a.quiet {
		return nil
	}
	a.printf("\nRan experiment(s): %s\nExperiment results have been applied to your workspace.\n\n", o.Name)
	a.printResults(p, o)
	return nil
}

func (a *app) printResults(p *pipeline.Project, o *experiment.Outcome) {
	shown := []report.Revision{{Name: o.Name, Files: metricFiles(a.reportFiles(p, "", o.Metrics))}}
	a.printTable(report.ShowTable(shown, false, report.DefaultPrecision), false)
	a.printRun(p, o)
}

// howToApply says how results that are not in the workspace get there.
func (a *app) howToApply(names []string) {
	a.printf("\nRan experiment(s): %s\nTo apply the results of an experiment to your workspace run:\n\n\tctrx exp apply <exp>\n", strings.Join(names, ", "))
}

// failedText names runs that failed.
func failedText(names []string) string {
	return fmt.Sprintf("Failed to reproduce experiment(s) '%s'", strings.Join(names, "', '"))
}
