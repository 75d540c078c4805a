package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ctrx/experiment"
	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/tracking"
)

func (a *app) gcCommand() *cobra.Command {
	var o pipeline.GCOptions
	var force, undo, asJSON, runs bool
	c := &cobra.Command{
		Use: "gc", Short: "Remove data that nothing uses from the cache, and with -c from a remote", Args: cobra.NoArgs,
		Long: "Keeps the data of the work tree and of what is asked for, removes the rest. What\n" +
			"leaves the cache waits in a trash: --undo brings it back, --purge deletes at once.",
		RunE: func(c *cobra.Command, _ []string) error {
			a.json = asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				switch {
				case undo:
					n, err := p.GCUndo(c.Context())
					p.Info("Restored %d objects to the cache.", n)
					return err
				case o.Purge && o.Check() != nil && !o.Dry && c.Flags().NFlag() == countChanged(c, "purge", "force"):
					n, err := p.GCPurge(c.Context())
					p.Info("Deleted %d objects from the trash.", n)
					return err
				}
				if runs {
					var err error
					if o.Runs, err = a.runRoots(c.Context(), p); err != nil {
						return err
					}
				}
				if err := o.Check(); err != nil {
					return err
				}
				p.Warn("%s", o.Warning())
				if !force && !o.Dry {
					if err := a.askFirst("Are you sure you want to proceed?", "ctrx gc --dry lists what would go, -f removes it without a question"); err != nil {
						return err
					}
				}
				r, err := p.GC(c.Context(), o)
				if err != nil {
					return err
				}
				if asJSON {
					a.printf("%s\n", dvcfile.JSON(r.Value(o.Dry)))
					return nil
				}
				reportGC(p, r, o)
				return nil
			})
		},
	}
	gcFlags(c, &o)
	f := c.Flags()
	f.BoolVarP(&force, "force", "f", false, "do not ask")
	f.BoolVar(&runs, "mlflow", false, "keep the data of MLflow runs of this project that were not deleted")
	f.BoolVar(&undo, "undo", false, "bring back what earlier calls removed, as long as the trash has it")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// runRoots asks the tracking store what its runs need.
func (a *app) runRoots(ctx context.Context, p *pipeline.Project) (*pipeline.GCRoots, error) {
	cfg := a.trackOptions(p).Config
	client, err := tracking.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	roots, err := experiment.RunRoots(ctx, client, cfg.ExperimentName)
	return roots, errors.Join(err, client.Close())
}

func gcFlags(c *cobra.Command, o *pipeline.GCOptions) {
	f := c.Flags()
	f.BoolVarP(&o.Workspace, "workspace", "w", false, "keep the data of the work tree (always kept)")
	f.StringVar(&o.Rev, "rev", "", "keep the data of a `commit`")
	f.IntVarP(&o.Num, "num", "n", 0, "of the last so many commits of --rev and --all-branches")
	f.BoolVarP(&o.AllBranches, "all-branches", "a", false, "keep the data of every branch")
	f.BoolVarP(&o.AllTags, "all-tags", "T", false, "keep the data of every tag")
	f.BoolVarP(&o.AllCommits, "all-commits", "A", false, "keep the data of every commit")
	f.StringVar(&o.Date, "date", "", "keep the data of commits since a day, `YYYY-MM-DD`")
	f.BoolVar(&o.AllExperiments, "all-experiments", false, "keep the data of all experiments")
	f.BoolVar(&o.Queue, "queue", false, "keep the data of experiments that wait in the queue or failed there")
	f.BoolVar(&o.NotInRemote, "not-in-remote", false, "keep only what the remote lacks")
	f.BoolVarP(&o.Cloud, "cloud", "c", false, "also remove from the remote, where there is no trash")
	f.StringVarP(&o.Remote, "remote", "r", "", "`name` of the remote for -c and --not-in-remote")
	f.IntVarP(&o.Jobs, "jobs", "j", 0, "number of requests at a time")
	f.StringArrayVarP(&o.Projects, "projects", "p", nil, "also keep the data of other projects that share the cache: their `folders`")
	f.BoolVar(&o.SkipFailed, "skip-failed", false, "leave out revisions that cannot be read")
	f.BoolVar(&o.Dry, "dry", false, "list what would be removed")
	f.BoolVar(&o.Purge, "purge", false, "delete at once, and empty the trash")
	f.DurationVar(&o.Grace, "grace", 7*24*time.Hour, "how long the trash keeps what is removed")
}

// countChanged counts which of the flags were given.
func countChanged(c *cobra.Command, names ...string) int {
	n := 0
	for _, name := range names {
		if c.Flags().Changed(name) {
			n++
		}
	}
	return n
}

// askFirst asks a question on a terminal. Elsewhere, and on any answer but yes,
// it fails: nothing is read from an input that nobody types into.
func (a *app) askFirst(question, hint string) error {
	if !isTerminal(a.Out) {
		return errs.Hint(errs.New(errs.Usage, "%s There is no terminal to ask on", question), "%s", hint)
	}
	a.printf("%s [y/n]: ", question)
	line, err := bufio.NewReader(a.In).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	if err != nil && answer == "" || answer != "y" && answer != "yes" {
		return errs.Hint(errs.New(errs.Failed, "not confirmed"), "%s", hint)
	}
	return nil
}

// reportGC prints DVC's lines, then what is ctrx's own.
func reportGC(p *pipeline.Project, r pipeline.GCResult, o pipeline.GCOptions) {
	for _, part := range []struct {
		name    string
		objects int
	}{{"repo", len(r.Cache)}, {"legacy", len(r.Legacy)}} {
		if o.Dry {
			objects := r.Cache
			if part.name == "legacy" {
				objects = r.Legacy
			}
			for _, ob := range objects {
				p.Info("Removing %s", ob.Path)
			}
		}
		if part.objects > 0 {
			p.Info("Removed %d objects from %s cache.", part.objects, part.name)
		} else {
			p.Info("No unused '%s' cache to remove.", part.name)
		}
	}
	for _, remote := range r.Remotes {
		if o.Dry {
			for _, key := range remote.Keys {
				p.Info("Removing %s from remote '%s'", key, remote.Name)
			}
		}
		if len(remote.Keys) > 0 {
			p.Info("Removed %d objects from remote.", len(remote.Keys))
		} else {
			p.Info("No unused cache to remove from remote.")
		}
	}
	if !r.Until.IsZero() {
		p.Info("The trash keeps them (%s) until %s: ctrx gc --undo brings them back, ctrx gc --purge frees the space.",
			byteSize(r.Bytes()), r.Until.Local().Format("2006-01-02 15:04"))
	}
	if r.Expired > 0 {
		p.Info("%d objects left the trash for good.", r.Expired)
	}
}

// byteSize is a size as DVC prints it: 512, 12.3k, 3.40M, with k for 1024.
func byteSize(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10)
	}
	v := float64(n)
	for _, unit := range []string{"", "k", "M", "G", "T", "P", "E"} {
		switch {
		case v < 9.995:
			return fmt.Sprintf("%1.2f%s", v, unit)
		case v < 99.95:
			return fmt.Sprintf("%2.1f%s", v, unit)
		case v < 999.5:
			return fmt.Sprintf("%3.0f%s", v, unit)
		}
		v /= 1024
	}
	return fmt.Sprintf("%3.1fZ", v)
}
