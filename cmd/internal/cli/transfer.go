package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/pipeline"
)

func remoteFlags(f *pflag.FlagSet, t *pipeline.TransferOptions) {
	f.StringVarP(&t.Remote, "remote", "r", "", "`name` of the remote; the default one without it")
	f.IntVarP(&t.Jobs, "jobs", "j", 0, "number of transfers at a time")
}

func revisionFlags(f *pflag.FlagSet, t *pipeline.TransferOptions) {
	f.BoolVarP(&t.AllBranches, "all-branches", "a", false, "also the data of every branch")
	f.BoolVarP(&t.AllTags, "all-tags", "T", false, "also the data of every tag")
	f.BoolVarP(&t.AllCommits, "all-commits", "A", false, "also the data of every commit")
}

func transferFlags(c *cobra.Command, t *pipeline.TransferOptions) {
	f := c.Flags()
	remoteFlags(f, t)
	revisionFlags(f, t)
	f.BoolVarP(&t.WithDeps, "with-deps", "d", false, "also what the targets depend on")
	f.BoolVarP(&t.Recursive, "recursive", "R", false, "targets are folders: every stage file below them")
	f.BoolVar(&t.RunCache, "run-cache", false, "also the run cache")
	f.Bool("no-run-cache", false, "not the run cache (the default)")
	c.MarkFlagsMutuallyExclusive("run-cache", "no-run-cache")
}

func noIndexFlag(c *cobra.Command, t *pipeline.TransferOptions) {
	c.Flags().BoolVar(&t.NoIndex, "no-index", false, "ask the remote about every file, also in folders that it is known to hold")
}

func (a *app) pushCommand() *cobra.Command {
	var t pipeline.TransferOptions
	c := &cobra.Command{
		Use: "push [targets...]", Short: "Send tracked data to a remote",
		RunE: func(c *cobra.Command, targets []string) error {
			t.Targets = targets
			return a.project(c.Context(), func(p *pipeline.Project) error {
				r, err := p.Push(c.Context(), t)
				if err != nil {
					return err
				}
				p.Info("%s", r.PushSummary())
				return nil
			})
		},
	}
	transferFlags(c, &t)
	c.Flags().BoolVar(&t.Glob, "glob", false, "targets are patterns of stage names")
	noIndexFlag(c, &t)
	return c
}

func (a *app) fetchCommand() *cobra.Command {
	var t pipeline.TransferOptions
	c := &cobra.Command{
		Use: "fetch [targets...]", Short: "Bring tracked data from a remote into the cache",
		RunE: func(c *cobra.Command, targets []string) error {
			t.Targets = targets
			return a.project(c.Context(), func(p *pipeline.Project) error {
				r, err := p.Fetch(c.Context(), t)
				if err != nil {
					return err
				}
				p.Info("%s", r.FetchSummary())
				return nil
			})
		},
	}
	transferFlags(c, &t)
	return c
}

func (a *app) pullCommand() *cobra.Command {
	var t pipeline.TransferOptions
	var force, allowMissing bool
	c := &cobra.Command{
		Use: "pull [targets...]", Short: "Bring tracked data from a remote into the work tree",
		RunE: func(c *cobra.Command, targets []string) error {
			t.Targets = targets
			return a.project(c.Context(), func(p *pipeline.Project) error {
				fetched, done, err := p.Pull(c.Context(), t, pipeline.CheckoutOptions{Force: force, AllowMissing: allowMissing})
				a.printCheckout(p, done, false)
				if err != nil {
					return err
				}
				switch text := checkoutSummary(done); {
				case text == "" && fetched.Files == 0:
					p.Info("Everything is up to date.")
				case fetched.Files == 0:
					p.Info("%s", text)
				case text == "":
					p.Info("%s fetched", countFiles(fetched.Files))
				default:
					p.Info("%s fetched and %s", countFiles(fetched.Files), text)
				}
				return nil
			})
		},
	}
	transferFlags(c, &t)
	c.Flags().BoolVarP(&force, "force", "f", false, "overwrite files whose content is not in the cache")
	c.Flags().BoolVar(&allowMissing, "allow-missing", false, "skip data that is nowhere to be found")
	return c
}
