package cli

import (
	"github.com/spf13/cobra"

	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
)

func (a *app) statusCommand() *cobra.Command {
	var o pipeline.StatusOptions
	var t pipeline.TransferOptions
	var asJSON, cloud bool
	c := &cobra.Command{
		Use: "status [targets...]", Short: "Say what changed since stages ran, or what a remote lacks (-c)",
		RunE: func(c *cobra.Command, targets []string) error {
			a.json = asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				if cloud || t.Remote != "" {
					t.Targets, t.WithDeps, t.Recursive = targets, o.WithDeps, o.Recursive
					return a.cloudStatus(c, p, t)
				}
				o.Targets = targets
				all, err := p.Status(c.Context(), o)
				if err != nil {
					return err
				}
				return a.printStatus(p.StatusValue(all), 0, a.cleanMessage(p))
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVarP(&cloud, "cloud", "c", false, "compare the cache with a remote")
	f.BoolVarP(&o.WithDeps, "with-deps", "d", false, "also what the targets depend on")
	f.BoolVarP(&o.Recursive, "recursive", "R", false, "targets are folders: every stage file below them")
	f.BoolVar(&o.NoUpdates, "no-updates", false, "do not ask the repositories of imports for something newer")
	remoteFlags(f, &t)
	revisionFlags(f, &t)
	noIndexFlag(c, &t)
	return c
}

func (a *app) cleanMessage(*pipeline.Project) string {
	return "Data and pipelines are up to date."
}

func (a *app) cloudStatus(c *cobra.Command, p *pipeline.Project, t pipeline.TransferOptions) error {
	states, err := p.CloudStatus(c.Context(), t)
	if err != nil {
		return err
	}
	m := &dvcfile.Map{}
	for _, s := range states.Objects {
		m.Set(s.Name, s.State)
	}
	return a.printStatus(m, 1, "Cache and remote '"+states.Remote+"' are in sync.")
}

// printStatus prints a status as JSON, as DVC's indented text, or with -q as
// an exit code.
func (a *app) printStatus(m *dvcfile.Map, indent int, clean string) error {
	switch {
	case a.json:
		a.printf("%s\n", dvcfile.JSON(m))
	case a.quiet:
		if m.Len() > 0 {
			return statusCode(1)
		}
	case m.Len() == 0:
		a.printf("%s\n", clean)
	default:
		a.printStatusValue(m, indent)
	}
	return nil
}

// printStatusValue writes DVC's layout (dvc-compat 13.6): words padded to 20
// columns before paths, one tab a level.
func (a *app) printStatusValue(v dvcfile.Value, indent int) {
	tabs := ""
	for range indent {
		tabs += "\t"
	}
	switch v := v.(type) {
	case string:
		a.printf("%s%s\n", tabs, v)
	case []dvcfile.Value:
		for _, item := range v {
			a.printStatusValue(item, indent)
		}
	case *dvcfile.Map:
		for _, k := range v.Keys() {
			item, _ := v.Get(k)
			if word, ok := item.(string); ok {
				a.printf("%s%-20s%s\n", tabs, word+":", k)
				continue
			}
			a.printf("%s%s:\n", tabs, k)
			a.printStatusValue(item, indent+1)
		}
	}
}

func (a *app) dataCommand() *cobra.Command {
	c := &cobra.Command{Use: "data", Short: "Look at tracked data"}
	c.AddCommand(a.dataStatusCommand())
	return c
}

func (a *app) dataStatusCommand() *cobra.Command {
	var o pipeline.DataStatusOptions
	var asJSON, noRefresh bool
	var untracked string
	c := &cobra.Command{
		Use: "status [targets...]", Short: "Say what changed in tracked data against the last commit and the work tree",
		RunE: func(c *cobra.Command, targets []string) error {
			a.json = asJSON
			if untracked != "no" && untracked != "all" {
				return errs.New(errs.Usage, "--untracked-files is no or all, not %q", untracked)
			}
			o.Targets, o.Untracked = targets, untracked == "all"
			return a.project(c.Context(), func(p *pipeline.Project) error {
				st, err := p.DataStatus(c.Context(), o)
				if err != nil {
					return err
				}
				if asJSON {
					a.printf("%s\n", dvcfile.JSON(st.Value()))
					return nil
				}
				a.printf("%s", st.Text())
				return nil
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&o.Granular, "granular", false, "also the files in tracked folders")
	f.BoolVar(&o.Unchanged, "unchanged", false, "also what did not change")
	f.StringVar(&untracked, "untracked-files", "no", "`no` or all: also the files that neither Git nor DVC knows")
	f.Lookup("untracked-files").NoOptDefVal = "all"
	f.BoolVar(&o.NotInRemote, "not-in-remote", false, "also what the remote lacks")
	f.StringVarP(&o.Remote, "remote", "r", "", "`name` of the remote that --not-in-remote asks")
	f.BoolVar(&noRefresh, "no-remote-refresh", false, "accepted for DVC's sake: the remote is always asked")
	return c
}
