package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/experiment/sweep"
	"ctrx/internal/errs"
	"ctrx/pipeline"
)

func (a *app) expSweepCommand() *cobra.Command {
	var o sweep.Options
	var seed uint64
	var top int
	c := &cobra.Command{
		Use:   "sweep [targets...]",
		Short: "Search for the parameters that make a metric best",
		Long: "Search for the parameters that make a metric best. Each trial is an experiment\n(NAME-1, NAME-2, ...) that runs in a copy; the workspace may be changed meanwhile.\n\n" +
			"What may stand in -S: key=1,2,3  choice(a,b)  range(start,stop,step) without stop\n  interval(a,b) = uniform(a,b): any number from a to b   int(interval(a,b)): a to b, whole\n" +
			"  loguniform(a,b)   quniform(a,b,step): a, a+step, ... up to b\n  randint(a,b), lograndint(a,b): whole numbers from a, without b\n  any other value is the same for all trials.",
		Example: "  ctrx exp sweep --method grid --metric metrics.json:roc_auc -S train.depth=4,6,8 -S 'train.lr=choice(0.1,0.3)'\n" +
			"  ctrx exp sweep --method tpe --n 50 --metric metrics.json:roc_auc --direction max -j 2 \\\n    -S 'train.lr=loguniform(1e-4,1e-1)' -S 'train.depth=range(3,10)'\n" +
			"  ctrx exp sweep --resume brisk-otter\n  ctrx exp sweep --method exec:./my-optimiser --n 30 --metric loss --direction min -S 'x=uniform(-1,1)'",
		RunE: func(c *cobra.Command, targets []string) error {
			if err := checkSweepFlags(c.Flags(), &o, seed, top, targets); err != nil {
				return err
			}
			return a.project(c.Context(), func(p *pipeline.Project) error {
				o.Targets, o.Seed = targets, seed
				o.Env, o.Args, o.Now, o.Rand, o.Sink, o.Tracking = a.Env, a.args, a.Now, a.Rand, a.printer, a.trackOptions(p)
				report, err := sweep.Run(c.Context(), p, o)
				if report == nil {
					return err
				}
				if a.json {
					if jsonErr := a.printJSON(newSweepJSON(report)); err == nil {
						err = jsonErr
					}
					return err
				}
				a.printSweep(report, top)
				return err
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.Resume, "resume", "", "go on with the sweep of this `name`")
	f.StringVar(&o.Name, "name", "", "`name` of the sweep; one is made up without it")
	f.StringVar(&o.Method, "method", "", "grid, random, halton, lhs, tpe, optuna:SAMPLER, or exec:COMMAND")
	f.IntVar(&o.Trials, "n", 0, "`number` of trials; a grid without it runs whole")
	f.StringVar(&o.Metric, "metric", "", "what to look at: `FILE:KEY`, or the key alone")
	f.StringVar(&o.Direction, "direction", "max", "max or min: what is better")
	f.StringArrayVarP(&o.SetParams, "set-param", "S", nil, "parameter and its values: [`file:]key=values`; may be repeated")
	f.Uint64Var(&seed, "seed", 0, "seed of random choices; one is drawn without it, and told at the end")
	f.StringArrayVarP(&o.CopyPaths, "copy-paths", "C", nil, "`path` that Git does not know, to be copied along; may be repeated")
	f.IntVarP(&o.Jobs, "jobs", "j", 1, "number of trials that run at the same time")
	f.IntVar(&o.StopAfter, "stop-after", 0, "stop when this `number` of trials in a row brought no improvement")
	f.DurationVar(&o.Timeout, "timeout", 0, "begin no trial after this `time` (90m, 8h)")
	f.BoolVar(&o.FailFast, "fail-fast", false, "stop at the first failed trial")
	f.IntVar(&top, "top", 10, "`number` of the best trials in the table at the end")
	f.BoolVar(&a.json, "json", false, "print JSON")
	return c
}

// checkSweepFlags refuses flags that cannot be meant together.
func checkSweepFlags(f *pflag.FlagSet, o *sweep.Options, seed uint64, top int, targets []string) error {
	switch {
	case o.Jobs < 1:
		return errs.New(errs.Usage, "--jobs is a number of trials from 1 on, not %d", o.Jobs)
	case o.StopAfter < 0 || o.Timeout < 0 || top < 0:
		return errs.New(errs.Usage, "--stop-after, --timeout and --top cannot be negative")
	case f.Changed("seed") && seed == 0:
		return errs.New(errs.Usage, "--seed is a number from 1 on")
	case o.Resume == "" && o.Metric == "":
		return errs.Hint(errs.New(errs.Usage, "--metric is missing: the sweep must know what to make best"), "--metric metrics.json:roc_auc")
	case o.Resume == "":
		return nil
	}
	for _, name := range []string{"name", "method", "metric", "direction", "set-param", "seed", "copy-paths"} {
		if f.Changed(name) {
			return errs.Hint(errs.New(errs.Usage, "--%s cannot be changed for a sweep that has begun", name), "ctrx exp sweep --resume %s", o.Resume)
		}
	}
	if len(targets) > 0 {
		return errs.Hint(errs.New(errs.Usage, "the targets of a sweep that has begun cannot be changed"), "ctrx exp sweep --resume %s", o.Resume)
	}
	return nil
}

// printSweep prints the best trials and how to take one over.
func (a *app) printSweep(r *sweep.Report, top int) {
	if a.quiet {
		return
	}
	a.printf("\nSweep '%s': %s, seed %d. %d done, %d failed", r.Name, r.Method, r.Seed, r.Count(sweep.Done), r.Count(sweep.Failed))
	if n := r.Count(sweep.Running); n > 0 {
		a.printf(", %d cut off", n)
	}
	if r.Planned > 0 {
		a.printf(", of %d", r.Planned)
	}
	a.printf(".\n")
	if r.Stopped != "" {
		a.printf("Stopped: %s.\n", r.Stopped)
	}
	for _, t := range r.Trials {
		if t.State == sweep.Failed && t.Commit == "" {
			a.printf("What a failed trial printed: ctrx queue logs %s\n", t.Experiment)
			break
		}
	}
	best := r.Sorted()
	if len(best) == 0 {
		return
	}
	a.printf("\n%s", a.table(sweepRows(r, best[:min(top, len(best))])))
	a.printf("\nTo apply the best one:\n\n\tctrx exp apply %s\n", best[0].Experiment)
}

// sweepRows is the table of trials, with a header.
func sweepRows(r *sweep.Report, trials []*sweep.Trial) [][]string {
	header := []string{"Experiment", r.Metric}
	if len(trials) == 0 {
		return [][]string{header}
	}
	for _, p := range trials[0].Params {
		key, _, _ := strings.Cut(p, "=")
		header = append(header, key)
	}
	rows := [][]string{header}
	for _, t := range trials {
		row := []string{t.Experiment, formatNumber(*t.Value)}
		for _, p := range t.Params {
			_, value, _ := strings.Cut(p, "=")
			if f, err := strconv.ParseFloat(value, 64); err == nil && strings.ContainsAny(value, ".e") {
				value = formatNumber(f)
			}
			row = append(row, value)
		}
		rows = append(rows, row)
	}
	return rows
}

// sweepJSON is a sweep as --json tells it; docs/json-output.md.
type sweepJSON struct {
	Name      string         `json:"name"`
	Method    string         `json:"method"`
	Metric    string         `json:"metric"`
	Direction string         `json:"direction"`
	Seed      uint64         `json:"seed"`
	Planned   int            `json:"planned"`
	Baseline  string         `json:"baseline"`
	RunID     string         `json:"run_id"`
	Stopped   string         `json:"stopped"`
	Best      string         `json:"best"`
	Trials    []*sweep.Trial `json:"trials"`
}

func newSweepJSON(r *sweep.Report) sweepJSON {
	out := sweepJSON{
		Name: r.Name, Method: r.Method, Metric: r.Metric, Direction: string(r.Direction), Seed: r.Seed, Planned: r.Planned,
		Baseline: r.Baseline, RunID: r.RunID, Stopped: r.Stopped, Trials: r.Trials,
	}
	if out.Trials == nil {
		out.Trials = []*sweep.Trial{}
	}
	if best := r.Best(); best != nil {
		out.Best = best.Experiment
	}
	return out
}
