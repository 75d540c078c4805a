package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/experiment"
	"ctrx/experiment/queue"
	"ctrx/pipeline"
)

func (a *app) expCommand() *cobra.Command {
	c := &cobra.Command{Use: "exp", Aliases: []string{"experiments"}, Short: "Run experiments and keep, compare and apply them"}
	c.AddCommand(a.expRunCommand(), a.expSweepCommand(), a.expShowCommand(), a.expListCommand(), a.expApplyCommand(), a.expDiffCommand(),
		a.expSaveCommand(), a.expRenameCommand(), a.expRemoveCommand(), a.expBranchCommand(), a.expPushCommand(), a.expPullCommand(),
		a.expWatchCommand(), a.expCleanCommand())
	return c
}

func (a *app) expListCommand() *cobra.Command {
	var sel experiment.Selection
	var nameOnly, shaOnly, asJSON bool
	c := &cobra.Command{
		Use: "list [GIT_REMOTE]", Aliases: []string{"ls"}, Short: "List experiments, here or at a Git remote", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a.json = asJSON
			remote := strings.Join(args, "")
			return a.project(c.Context(), func(p *pipeline.Project) error {
				groups, err := experiment.List(c.Context(), p, sel, remote)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(experimentsJSON(groups))
				}
				a.printExperiments(groups, nameOnly, shaOnly, remote != "")
				return nil
			})
		},
	}
	f := c.Flags()
	selectionFlags(c, &sel)
	f.BoolVar(&nameOnly, "name-only", false, "print names only")
	f.BoolVar(&shaOnly, "sha-only", false, "print commits only")
	alias(f, "names-only", "name-only")
	alias(f, "shas-only", "sha-only")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	c.MarkFlagsMutuallyExclusive("name-only", "sha-only", "json")
	return c
}

func selectionFlags(c *cobra.Command, sel *experiment.Selection) {
	f := c.Flags()
	f.BoolVarP(&sel.All, "all-commits", "A", false, "experiments of every commit")
	f.StringArrayVar(&sel.Revs, "rev", nil, "experiments of this `commit`; may be repeated")
	f.IntVarP(&sel.Num, "num", "n", 1, "also of this many commits before it, itself included; all if negative")
}

// alias gives a boolean flag a second name that help does not show.
func alias(f *pflag.FlagSet, name, of string) {
	second := *f.Lookup(of)
	second.Name, second.Hidden = name, true
	f.AddFlag(&second)
}

func (a *app) printExperiments(groups []experiment.Group, nameOnly, shaOnly, remote bool) {
	for _, g := range groups {
		if !nameOnly && !shaOnly {
			a.printf("%s:\n", g.Label)
		}
		for _, r := range g.Refs {
			switch {
			case nameOnly:
				a.printf("%s\n", r.Name)
			case shaOnly:
				a.printf("%s\n", r.Commit)
			case remote:
				a.printf("\t%s\n", r.Name)
			default:
				a.printf("\t%s [%s]\n", r.Commit[:7], r.Name)
			}
		}
	}
}

func experimentsJSON(groups []experiment.Group) any {
	type exp struct {
		Name string `json:"name"`
		Rev  string `json:"rev"`
		Ref  string `json:"ref"`
	}
	type group struct {
		Baseline    string `json:"baseline"`
		Label       string `json:"label"`
		Experiments []exp  `json:"experiments"`
	}
	out := []group{}
	for _, g := range groups {
		jg := group{Baseline: g.Baseline, Label: g.Label}
		for _, r := range g.Refs {
			jg.Experiments = append(jg.Experiments, exp{r.Name, r.Commit, r.Full})
		}
		out = append(out, jg)
	}
	return out
}

func (a *app) expApplyCommand() *cobra.Command {
	var noForce bool
	c := &cobra.Command{
		Use: "apply EXPERIMENT", Short: "Make the work tree what an experiment holds", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.queue(c.Context(), func(p *pipeline.Project, q *queue.Queue) error {
				applied, err := experiment.Apply(c.Context(), p, args[0], q, a.Now())
				if err != nil {
					return err
				}
				p.Info("Changes for experiment '%s' have been applied to your current workspace.", args[0])
				if applied.Backup != "" {
					p.Info("What was there before is kept: git diff %s", applied.Backup[:7])
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&noForce, "no-force", false, "accepted for DVC's sake: what is overwritten is kept")
	return c
}

func (a *app) expRemoveCommand() *cobra.Command {
	var o experiment.RemoveOptions
	var sel experiment.Selection
	c := &cobra.Command{
		Use: "remove [EXPERIMENT...]", Aliases: []string{"rm"}, Short: "Remove experiments",
		RunE: func(c *cobra.Command, names []string) error {
			return a.queue(c.Context(), func(p *pipeline.Project, q *queue.Queue) error {
				o.Queue = q
				if o.Names = names; sel.All || len(sel.Revs) > 0 {
					o.By = &sel
				}
				removed, err := experiment.Remove(c.Context(), p, o)
				if err != nil {
					return err
				}
				if len(removed) == 0 {
					p.Info("No experiments to remove.")
					return nil
				}
				p.Info("Removed experiments: %s", humanJoin(removed))
				return nil
			})
		},
	}
	f := c.Flags()
	selectionFlags(c, &sel)
	f.BoolVar(&o.Keep, "keep", false, "remove all but the selected experiments")
	f.BoolVar(&o.Queued, "queue", false, "remove all that wait in the queue")
	f.StringVarP(&o.Remote, "git-remote", "g", "", "remove them at this Git `remote`, a name or URL")
	c.MarkFlagsMutuallyExclusive("queue", "git-remote")
	return c
}

// humanJoin lists names as 'a', 'b' and 'c'.
func humanJoin(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range slices.Sorted(slices.Values(names)) {
		quoted[i] = "'" + n + "'"
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " and " + quoted[len(quoted)-1]
}

func (a *app) expBranchCommand() *cobra.Command {
	return &cobra.Command{
		Use: "branch EXPERIMENT [BRANCH]", Short: "Make a Git branch of an experiment", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				branch, err := experiment.Branch(c.Context(), p, args[0], strings.Join(args[1:], ""))
				if err != nil {
					return err
				}
				p.Info("%s", fmt.Sprintf("Git branch '%s' has been created from experiment '%s'.\nTo switch to the new branch run:\n\n\tgit checkout %s", branch, args[0], branch))
				return nil
			})
		},
	}
}
