package cli

import (
	"errors"

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
	var asJSON bool
	c := &cobra.Command{
		Use: "push [targets...]", Short: "Send tracked data to a remote",
		RunE: func(c *cobra.Command, targets []string) error {
			t.Targets, a.json = targets, asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				r, err := p.Push(c.Context(), t)
				return a.printTransfer(p, r, r.PushSummary(), err)
			})
		},
	}
	transferFlags(c, &t)
	c.Flags().BoolVar(&t.Glob, "glob", false, "targets are patterns of paths")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	noIndexFlag(c, &t)
	return c
}

func (a *app) fetchCommand() *cobra.Command {
	var t pipeline.TransferOptions
	var asJSON bool
	c := &cobra.Command{
		Use: "fetch [targets...]", Short: "Bring tracked data from a remote into the cache",
		RunE: func(c *cobra.Command, targets []string) error {
			t.Targets, a.json = targets, asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				r, err := p.Fetch(c.Context(), t)
				return a.printTransfer(p, r, r.FetchSummary(), err)
			})
		},
	}
	transferFlags(c, &t)
	c.Flags().Int64Var(&t.MaxSize, "max-size", 0, "leave out files and folders of this many `bytes` or more")
	c.Flags().StringArrayVar(&t.Types, "type", nil, "only data of a `type`: metrics or plots; may be repeated")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// printTransfer prints what a push or fetch did. A failure is for the caller to
// print; what was done before it is worth telling all the same.
func (a *app) printTransfer(p *pipeline.Project, r pipeline.Transferred, summary string, err error) error {
	switch {
	case a.json:
		return errors.Join(a.printJSON(transferred(r)), err)
	case err == nil || r.Files > 0:
		p.Info("%s", summary)
	}
	return err
}

// transferResult is what --json prints of a transfer.
type transferResult struct {
	Files   int      `json:"files"`
	Bytes   int64    `json:"bytes"`
	Missing []string `json:"missing"` // paths whose data is nowhere
}

func transferred(r pipeline.Transferred) transferResult {
	return transferResult{r.Files, r.Bytes, append([]string{}, r.Missing...)}
}

func (a *app) pullCommand() *cobra.Command {
	var t pipeline.TransferOptions
	var force, allowMissing, asJSON bool
	c := &cobra.Command{
		Use: "pull [targets...]", Short: "Bring tracked data from a remote into the work tree",
		RunE: func(c *cobra.Command, targets []string) error {
			t.Targets, a.json = targets, asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				fetched, done, err := p.Pull(c.Context(), t, pipeline.CheckoutOptions{Force: force, AllowMissing: allowMissing})
				if asJSON {
					return errors.Join(a.printJSON(struct {
						transferResult
						Added    []string `json:"added"`
						Modified []string `json:"modified"`
						Deleted  []string `json:"deleted"`
					}{transferred(fetched), append([]string{}, done.Added...), append([]string{}, done.Modified...), append([]string{}, done.Deleted...)}), err)
				}
				a.printCheckout(p, done, false)
				if err == nil || fetched.Files > 0 || checkoutSummary(done) != "" {
					p.Info("%s", pullSummary(fetched, done))
				}
				return err
			})
		},
	}
	transferFlags(c, &t)
	c.Flags().BoolVarP(&force, "force", "f", false, "overwrite files whose content is not in the cache")
	c.Flags().BoolVar(&t.Glob, "glob", false, "targets are patterns of paths")
	c.Flags().BoolVar(&allowMissing, "allow-missing", false, "skip data that is nowhere to be found")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// pullSummary is DVC's line for the result of a pull.
func pullSummary(fetched pipeline.Transferred, done pipeline.CheckoutResult) string {
	switch text := checkoutSummary(done); {
	case text == "" && fetched.Files == 0:
		return "Everything is up to date."
	case fetched.Files == 0:
		return text
	case text == "":
		return countFiles(fetched.Files) + " fetched"
	default:
		return countFiles(fetched.Files) + " fetched and " + text
	}
}
