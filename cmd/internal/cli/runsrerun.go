package cli

import (
	"github.com/spf13/cobra"

	"ctrx/experiment"
	"ctrx/experiment/queue"
	"ctrx/pipeline"
	"ctrx/tracking"
)

func (a *app) runsRerunCommand() *cobra.Command {
	var o experiment.RerunOptions
	var run queue.PutOptions
	var push bool
	c := &cobra.Command{
		Use: "rerun RUN", Args: cobra.ExactArgs(1),
		Short: "Run again what a run saw, with changed parameters if wanted",
		Long: "Run again what a run saw, with changed parameters if wanted.\n\nThe code, parameters and data of the run are brought into a copy, as by `ctrx exp run --temp`, and run there as a\n" +
			"new experiment of the same baseline. What did not change is taken from the cache; -f runs it all.",
		Example: "  ctrx runs rerun 1dd8076a -S train.lr=0.2\n  ctrx runs rerun amber-eagle -f",
		RunE: func(c *cobra.Command, args []string) error {
			return a.onRun(c.Context(), args[0], func(p *pipeline.Project, client runStore, found tracking.RunRecord) error {
				o.Run, o.Now = found, a.Now()
				snapshot, warnings, err := experiment.PrepareRerun(c.Context(), p, client.Client, o)
				if err != nil {
					return err
				}
				for _, w := range warnings {
					p.Warn("%s", w)
				}
				run.Snapshot, run.Stdio, run.Rand = snapshot, a.stdio(), a.Rand
				run.Overwrite = false
				q, err := queue.Open(p, a.Now)
				if err != nil {
					return err
				}
				options := a.trackOptions(p)
				options.Tags = append(options.Tags, tracking.Tag{Key: experiment.RerunTag, Value: found.ID})
				outcome, err := q.RunTemp(c.Context(), run, queue.RunOptions{
					Args: a.args, Env: a.Env, Sink: a.printer, Stdio: run.Stdio, Jobs: run.Jobs, GPUs: run.GPUs, Tracking: options, Push: push,
				})
				if err != nil || a.quiet {
					return err
				}
				a.howToApply([]string{outcome.Name})
				a.printf("\n")
				a.printResults(p, outcome)
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringVarP(&run.Name, "name", "n", "", "`name` of the new experiment; one is made up without it")
	f.StringVarP(&run.Message, "message", "m", "", "message of the experiment commit")
	f.StringArrayVarP(&run.SetParams, "set-param", "S", nil, "change a parameter: [`file:]key=value`; may be repeated")
	f.BoolVar(&run.NoHydra, "no-hydra", false, "do not compose params.yaml out of config groups")
	f.BoolVarP(&run.Force, "force", "f", false, "run every stage, changed or not")
	f.IntVar(&run.Jobs, "stage-jobs", 1, "number of stages that run at the same time")
	f.BoolVar(&push, "push", false, "push the data that the run made to the default remote")
	f.BoolVar(&o.AllowMissing, "allow-missing", false, "go on without data that is nowhere")
	f.StringVarP(&o.Remote, "remote", "r", "", "`remote` to fetch missing data from")
	f.IntVarP(&o.Jobs, "jobs", "j", 0, "number of transfers at a time")
	return c
}
