package cli

import (
	"bufio"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/experiment"
	"ctrx/internal/errs"
	"ctrx/pipeline"
)

// reproFlags are the flags that repro and exp run share.
func reproFlags(f *pflag.FlagSet, o *pipeline.ExecuteOptions) {
	f.BoolVarP(&o.Force, "force", "f", false, "run every selected stage, changed or not")
	f.BoolVarP(&o.SingleItem, "single-item", "s", false, "only the named stages, not what they depend on")
	f.BoolVarP(&o.Pipeline, "pipeline", "p", false, "everything connected with the named stages")
	f.BoolVarP(&o.AllPipelines, "all-pipelines", "P", false, "all stages of the project")
	f.BoolVarP(&o.Recursive, "recursive", "R", false, "targets are folders: every stage file below them")
	f.BoolVar(&o.Downstream, "downstream", false, "the named stages and what depends on them")
	f.BoolVar(&o.ForceDownstream, "force-downstream", false, "after a stage ran, run what depends on it as well")
	f.BoolVar(&o.Pull, "pull", false, "fetch missing data first")
	f.BoolVar(&o.AllowMissing, "allow-missing", false, "missing data alone does not make a stage run")
	f.BoolVar(&o.Dry, "dry", false, "say what would run, change nothing")
	f.BoolVarP(&o.KeepGoing, "keep-going", "k", false, "after a failure go on with what does not depend on it")
	f.BoolVar(&o.IgnoreErrs, "ignore-errors", false, "after a failure go on with everything")
	f.IntVarP(&o.Jobs, "jobs", "j", 1, "number of stages that run at the same time")
	f.StringSliceVar(&o.GPUs, "gpus", nil, "`GPUs` that stages with meta.ctrx.resources.gpu share, as in 0,1 (default: CUDA_VISIBLE_DEVICES)")
}

func (a *app) reproCommand() *cobra.Command {
	var o pipeline.ExecuteOptions
	var interactive, track bool
	c := &cobra.Command{
		Use:   "repro [targets...]",
		Short: "Bring stages up to date: run what changed, skip the rest",
		RunE: func(c *cobra.Command, targets []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				o.Targets, o.Stdio = targets, a.stdio()
				if interactive {
					o.Confirm = a.confirm
				}
				tracking := a.trackOptions(p)
				tracking.Off = !track && !p.Ctrx.Tracking.Repro || o.Dry
				outcome, err := experiment.Repro(c.Context(), p, experiment.ReproOptions{ExecuteOptions: o, Tracking: tracking})
				if err != nil {
					return err
				}
				if o.Dry {
					a.printEstimate(outcome.Estimate)
					return nil
				}
				if err := p.OfferToTrack(c.Context()); err != nil {
					return err
				}
				if len(outcome.Result.Ran) > 0 {
					p.Info("Use `ctrx push` to send your updates to remote storage.")
				} else {
					p.Info("Data and pipelines are up to date.")
				}
				a.printRun(p, outcome)
				return nil
			})
		},
	}
	f := c.Flags()
	reproFlags(f, &o)
	f.BoolVar(&o.Glob, "glob", false, "targets are patterns of stage names")
	f.BoolVar(&o.NoCommit, "no-commit", false, "do not put outputs into the cache")
	f.BoolVar(&o.NoRunCache, "no-run-cache", false, "run a stage even if the same run is in the run cache")
	f.BoolVarP(&interactive, "interactive", "i", false, "ask before each stage")
	f.BoolVar(&track, "track", false, "record this run in MLflow (also: tracking.repro in ctrx.yaml)")
	return c
}

// printEstimate says how long what a dry run showed is expected to take.
func (a *app) printEstimate(e pipeline.Estimate) {
	if a.quiet {
		return
	}
	switch known := e.Stages - len(e.Unknown); {
	case e.Stages == 0:
		a.printf("Data and pipelines are up to date.\n")
	case known == 0:
		a.printf("\nEstimated time: unknown, none of the stages that would run (%d) ever finished here\n", e.Stages)
	case len(e.Unknown) == 0:
		a.printf("\nEstimated time: %s for %d stage(s)\n", roughly(e.Time), known)
	default:
		a.printf("\nEstimated time: %s for %d stage(s); %d more never finished here\n", roughly(e.Time), known, len(e.Unknown))
	}
}

// confirm asks the user whether a stage may run.
func (a *app) confirm(stage string) (bool, error) {
	a.printf("Going to reproduce stage: '%s'. Are you sure you want to continue? [y/n] ", stage)
	answer, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil && answer == "" {
		return false, errs.New(errs.Usage, "--interactive needs an answer on standard input: %w", err)
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}

// printRun says where the MLflow run of an outcome is to be seen.
func (a *app) printRun(p *pipeline.Project, o *experiment.Outcome) {
	t := o.Track
	if t == nil || a.quiet {
		return
	}
	a.printf("\nMLflow run %s (%s) of experiment '%s'\n", t.RunID, strings.ToLower(string(t.Status)), t.Experiment)
	switch {
	case t.Spooled:
		a.printf("The tracking server did not take all of it; it is kept on disk. Send it later: ctrx tracking sync\n")
	case t.URL == "":
		enter := ""
		if p.Dir != "." {
			enter = "cd " + relTo(a.Dir, p.Root) + " && "
		}
		a.printf("Look at it:  ctrx runs show %s\nIn the UI:   %sctrx ui\n", t.RunID[:8], enter)
	default:
		a.printf("Look at it:  ctrx runs show %s\nIn the UI:   %s\n", t.RunID[:8], t.URL)
	}
}

// relTo names a folder as seen from dir.
func relTo(dir, folder string) string {
	rel, err := filepath.Rel(dir, folder)
	if err != nil {
		return folder
	}
	return rel
}
