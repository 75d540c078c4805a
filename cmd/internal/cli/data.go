package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ctrx/pipeline"
)

func (a *app) initCommand() *cobra.Command {
	var o pipeline.InitOptions
	c := &cobra.Command{
		Use: "init [FOLDER]", Short: "Make this Git repository, or a folder, a DVC project", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o.Dir, o.Sink = a.Dir, a.printer
			if len(args) == 1 {
				o.Dir = a.path(args[0])
			}
			if err := pipeline.Init(c.Context(), o); err != nil {
				return err
			}
			if a.quiet {
				return nil
			}
			a.printf("Initialized DVC repository.\n")
			if !o.NoSCM {
				a.printf("\nYou can now commit the changes to git.\n")
			}
			return nil
		},
	}
	f := c.Flags()
	f.BoolVar(&o.NoSCM, "no-scm", false, "without Git")
	f.BoolVar(&o.Subdir, "subdir", false, "in a folder of a Git repository instead of its root")
	f.BoolVarP(&o.Force, "force", "f", false, "remove an existing .dvc, with its cache, first")
	return c
}

func (a *app) addCommand() *cobra.Command {
	var o pipeline.AddOptions
	c := &cobra.Command{
		Use: "add TARGET...", Short: "Track files and folders: content to the cache, a .dvc file for Git", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, targets []string) error {
			o.Targets = targets
			return a.project(c.Context(), func(p *pipeline.Project) error {
				if _, err := p.Add(c.Context(), o); err != nil {
					return err
				}
				return p.OfferToTrack(c.Context())
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&o.Glob, "glob", false, "targets are patterns of file names")
	f.BoolVar(&o.NoCommit, "no-commit", false, "record the hash, put nothing into the cache")
	f.BoolVar(&o.NoRelink, "no-relink", false, "leave the work tree's files as they are")
	f.StringVarP(&o.Out, "out", "o", "", "track one target, which may lie anywhere, under this `path`")
	f.BoolVar(&o.ToRemote, "to-remote", false, "send one target straight to the remote, not into the cache")
	f.StringVarP(&o.Remote, "remote", "r", "", "`name` of the remote for --to-remote")
	f.IntVar(&o.RemoteJobs, "remote-jobs", 0, "number of transfers at a time for --to-remote")
	f.BoolVarP(&o.Force, "force", "f", false, "overwrite what is at --out")
	return c
}

func (a *app) checkoutCommand() *cobra.Command {
	var o pipeline.CheckoutOptions
	var summary bool
	c := &cobra.Command{
		Use: "checkout [targets...]", Short: "Bring data from the cache into the work tree",
		RunE: func(c *cobra.Command, targets []string) error {
			o.Targets = targets
			return a.project(c.Context(), func(p *pipeline.Project) error {
				r, err := p.Checkout(c.Context(), o)
				a.printCheckout(p, r, summary)
				return err
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&summary, "summary", false, "print counts only")
	f.BoolVarP(&o.WithDeps, "with-deps", "d", false, "also what the targets depend on")
	f.BoolVarP(&o.Recursive, "recursive", "R", false, "targets are folders: every stage file below them")
	f.BoolVarP(&o.Force, "force", "f", false, "overwrite files whose content is not in the cache")
	f.BoolVar(&o.Relink, "relink", false, "make links anew by the current cache.type")
	f.BoolVar(&o.AllowMissing, "allow-missing", false, "skip data that is not in the cache")
	return c
}

// printCheckout lists what changed as DVC does: A added, M modified, D deleted.
func (a *app) printCheckout(p *pipeline.Project, r pipeline.CheckoutResult, summary bool) {
	if a.quiet {
		return
	}
	if !summary {
		for _, group := range []struct {
			mark string
			rels []string
		}{{"A", r.Added}, {"M", r.Modified}, {"D", r.Deleted}} {
			for _, rel := range group.rels {
				slash := ""
				if strings.HasSuffix(rel, "/") {
					slash = "/"
				}
				a.printf("%s\t%s%s\n", group.mark, p.Show(rel), slash)
			}
		}
	}
	if text := checkoutSummary(r); summary && text != "" {
		a.printf("%s\n", text)
	} else if summary {
		a.printf("No changes.\n")
	}
}

// checkoutSummary counts what changed: "2 files added and 1 file modified".
func checkoutSummary(r pipeline.CheckoutResult) string {
	text := ""
	for _, part := range []struct {
		n    int
		verb string
	}{{r.Files.Added, "added"}, {r.Files.Modified, "modified"}, {r.Files.Deleted, "deleted"}} {
		if part.n == 0 {
			continue
		}
		if text != "" {
			text += " and "
		}
		text += countFiles(part.n) + " " + part.verb
	}
	return text
}

func countFiles(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}
