package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ctrx/experiment"
	"ctrx/pipeline"
)

func (a *app) expCommand() *cobra.Command {
	c := &cobra.Command{Use: "exp", Aliases: []string{"experiments"}, Short: "Run experiments and keep, compare and apply them"}
	c.AddCommand(a.expRunCommand(), a.expSweepCommand(), a.expListCommand(), a.expApplyCommand(), a.expDiffCommand(), a.expRemoveCommand(), a.expBranchCommand())
	return c
}

func (a *app) expListCommand() *cobra.Command {
	var sel experiment.Selection
	var nameOnly, shaOnly, asJSON bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List experiments", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a.json = asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				groups, err := experiment.List(p, sel)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(experimentsJSON(groups))
				}
				a.printExperiments(groups, nameOnly, shaOnly)
				return nil
			})
		},
	}
	f := c.Flags()
	selectionFlags(c, &sel)
	f.BoolVar(&nameOnly, "name-only", false, "print names only")
	f.BoolVar(&shaOnly, "sha-only", false, "print commits only")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	c.MarkFlagsMutuallyExclusive("name-only", "sha-only", "json")
	return c
}

func selectionFlags(c *cobra.Command, sel *experiment.Selection) {
	f := c.Flags()
	f.BoolVarP(&sel.All, "all-commits", "A", false, "experiments of every commit")
	f.StringArrayVar(&sel.Revs, "rev", nil, "experiments of this `commit`; may be repeated")
	f.IntVarP(&sel.Num, "num", "n", 1, "also of this many commits before it, itself included")
}

func (a *app) printExperiments(groups []experiment.Group, nameOnly, shaOnly bool) {
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
	return &cobra.Command{
		Use: "apply EXPERIMENT", Short: "Make the work tree what an experiment holds", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				applied, err := experiment.Apply(c.Context(), p, args[0], a.Now())
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
}

func (a *app) expRemoveCommand() *cobra.Command {
	var sel experiment.Selection
	var keep bool
	c := &cobra.Command{
		Use: "remove [EXPERIMENT...]", Aliases: []string{"rm"}, Short: "Remove experiments",
		RunE: func(c *cobra.Command, names []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				var by *experiment.Selection
				if sel.All || len(sel.Revs) > 0 || c.Flags().Changed("num") {
					by = &sel
				}
				removed, err := experiment.Remove(c.Context(), p, names, by, keep)
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
	selectionFlags(c, &sel)
	c.Flags().BoolVar(&keep, "keep", false, "remove all but the named experiments")
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
