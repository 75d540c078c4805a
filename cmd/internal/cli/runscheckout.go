package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"ctrx/experiment"
	"ctrx/pipeline"
	"ctrx/tracking"
)

func (a *app) runsCheckoutCommand() *cobra.Command {
	var o experiment.RunCheckoutOptions
	var asJSON bool
	c := &cobra.Command{
		Use: "checkout RUN", Aliases: []string{"co"}, Args: cobra.ExactArgs(1),
		Short: "Bring back what a run saw: code, parameters, dvc.lock and data",
		Long: "Bring back what a run saw: code, parameters, dvc.lock and data.\n\nRUN is an id, the start of one, a name, or the address of the run in MLflow. Without a flag a new work tree is\n" +
			"made beside the repository. The code comes from the run's commit, here or at a Git remote, or from the commit\n" +
			"that it started from and the run's patch; the data from the cache, or else from the remote.",
		Example: "  ctrx runs checkout 1dd8076a\n  ctrx runs checkout amber-eagle --worktree ../amber\n" +
			"  ctrx runs checkout http://mlflow:5000/#/experiments/1/runs/ID --branch amber\n  ctrx runs checkout 1dd8076a --here",
		RunE: func(c *cobra.Command, args []string) error {
			a.json = asJSON
			if o.Worktree != "" && !filepath.IsAbs(o.Worktree) {
				o.Worktree = filepath.Join(a.Dir, o.Worktree)
			}
			return a.onRun(c.Context(), args[0], func(p *pipeline.Project, client runStore, run tracking.RunRecord) error {
				o.Run, o.Sink, o.Now, o.ID = run, a.printer, a.Now(), fmt.Sprintf("%.8s-%04x", run.ID, a.Rand.Uint32()&0xffff)
				done, err := experiment.CheckoutRun(c.Context(), p, client.Client, o)
				if err != nil {
					return err
				}
				for _, w := range done.Warnings {
					p.Warn("%s", w)
				}
				if asJSON {
					return a.printJSON(restoredJSON(run, done))
				}
				a.printRestored(run, done, o)
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.Worktree, "worktree", "", "`folder` of the new work tree (default: beside the repository, its name with -run- and the id)")
	f.StringVarP(&o.Branch, "branch", "b", "", "make this branch; without --worktree no work tree is made")
	f.BoolVar(&o.Here, "here", false, "into the work tree that you stand in; uncommitted changes are not overwritten")
	f.BoolVar(&o.DataOnly, "data-only", false, "only the data, dvc.lock and parameters, without Git: also where the commit is gone")
	f.BoolVarP(&o.Force, "force", "f", false, "with --here: keep uncommitted changes as a commit, and overwrite them")
	f.BoolVar(&o.AllowMissing, "allow-missing", false, "go on without data, or parts of a patch, that are nowhere")
	f.StringVarP(&o.Remote, "remote", "r", "", "`remote` to fetch missing data from")
	f.IntVarP(&o.Jobs, "jobs", "j", 0, "number of transfers at a time")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	c.MarkFlagsMutuallyExclusive("here", "worktree")
	c.MarkFlagsMutuallyExclusive("here", "branch")
	c.MarkFlagsMutuallyExclusive("here", "data-only")
	c.MarkFlagsMutuallyExclusive("branch", "data-only")
	return c
}

func (a *app) printRestored(run tracking.RunRecord, done experiment.RunRestored, o experiment.RunCheckoutOptions) {
	if a.quiet {
		return
	}
	from := ""
	if done.Code.From != "" {
		from = " from " + done.Code.From
	}
	a.printf("Run %s (%s) is back%s.\n", run.ID[:8], run.Name, from)
	if done.Fetched > 0 {
		a.printf("%d file(s) fetched.\n", done.Fetched)
	}
	switch {
	case done.Dir != "":
		a.printf("It is in %s\n", relTo(a.Dir, done.Dir))
		if !o.DataOnly {
			a.printf("To remove it again: git worktree remove --force %s\n", relTo(a.Dir, done.Dir))
		}
	case done.Branch != "":
		a.printf("It is branch %s, and its data is in the cache: git switch %s && ctrx checkout\n", done.Branch, done.Branch)
	case done.Backup != "":
		a.printf("What was here is kept as commit %s (refs/ctrx/apply-backup).\n", done.Backup[:7])
	}
}

// restored is a checkout as --json prints it (docs/json-output.md).
type restored struct {
	Run      string   `json:"run_id"`
	Name     string   `json:"name"`
	Commit   string   `json:"commit"`
	From     string   `json:"from"`
	Dir      string   `json:"dir"`
	Branch   string   `json:"branch"`
	Backup   string   `json:"backup"`
	Fetched  int      `json:"fetched"`
	Missing  []string `json:"missing"`
	Warnings []string `json:"warnings"`

	Failed    []failedStageJSON `json:"failed"`
	Untracked []string          `json:"untracked"`
}

type failedStageJSON struct {
	Stage   string   `json:"stage"`
	Outputs []string `json:"outputs"`
	Error   string   `json:"error"`
}

func restoredJSON(run tracking.RunRecord, done experiment.RunRestored) restored {
	failed := []failedStageJSON{}
	for _, s := range done.Failed {
		failed = append(failed, failedStageJSON{s.Stage, append([]string{}, s.Outputs...), s.Error})
	}
	return restored{
		Run: run.ID, Name: run.Name, Commit: done.Code.Commit, From: done.Code.From, Dir: done.Dir, Branch: done.Branch, Backup: done.Backup,
		Fetched: done.Fetched, Missing: append([]string{}, done.Missing...), Warnings: append([]string{}, done.Warnings...),
		Failed: failed, Untracked: append([]string{}, done.Untracked...),
	}
}
