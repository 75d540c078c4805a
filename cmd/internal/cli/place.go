package cli

import (
	"bufio"
	"path/filepath"

	"github.com/spf13/cobra"

	"ctrx/internal/errs"
	"ctrx/pipeline"
)

func (a *app) rootCommand() *cobra.Command {
	return &cobra.Command{
		Use: "root", Short: "Print the path of the project's root", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			root, err := pipeline.FindRoot(a.Dir)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(a.Dir, root)
			if err == nil {
				a.printf("%s\n", rel)
			}
			return err
		},
	}
}

func (a *app) destroyCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "destroy", Short: "Take DVC out of the project: stage files, .dvc, the cache; the data stays", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				if !force {
					question := "This will destroy all information about your pipelines, all data files, as well as cache in .dvc/cache.\nAre you sure you want to continue?"
					if err := a.askFirst(question, "cannot destroy without a confirmation: ctrx destroy -f"); err != nil {
						return err
					}
				}
				return p.Destroy(c.Context())
			})
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "do not ask")
	return c
}

func (a *app) checkIgnoreCommand() *cobra.Command {
	var details, nonMatching, all, stdin bool
	c := &cobra.Command{
		Use: "check-ignore [targets...]", Short: "Say which paths .dvcignore files leave out",
		RunE: func(c *cobra.Command, targets []string) error {
			switch {
			case len(targets) == 0 && !stdin:
				return errs.New(errs.Usage, "`targets` or `--stdin` needed")
			case len(targets) > 0 && stdin:
				return errs.New(errs.Usage, "cannot have both `targets` and `--stdin`")
			case nonMatching && !details:
				return errs.New(errs.Usage, "`--non-matching` is only valid with `--details`")
			}
			if stdin {
				for in := bufio.NewScanner(a.In); in.Scan(); {
					targets = append(targets, in.Text())
				}
			}
			return a.project(c.Context(), func(p *pipeline.Project) error {
				matched := false
				for _, t := range targets {
					m, err := p.CheckIgnore(t)
					if err != nil {
						return err
					}
					decided := m.Ignored || details && m.Rule != "" // as in DVC: with details also by a rule that takes it in again
					matched = matched || decided
					switch {
					case a.quiet:
					case details && decided:
						a.printf("%s\t%s\n", m.Rule, t)
					case details && nonMatching:
						a.printf("::\t%s\n", t)
					case !details && m.Ignored:
						a.printf("%s\n", t)
					}
				}
				if !matched {
					return statusCode(1)
				}
				return nil
			})
		},
	}
	f := c.Flags()
	f.BoolVarP(&details, "details", "d", false, "show the pattern that decides")
	f.BoolVarP(&all, "all", "a", false, "accepted for DVC's sake: --details also shows patterns that take a path in again")
	f.BoolVarP(&nonMatching, "non-matching", "n", false, "with --details: also paths that no pattern matches")
	f.BoolVar(&stdin, "stdin", false, "read paths from standard input, one a line")
	return c
}
