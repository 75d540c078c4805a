package cli

import (
	"github.com/spf13/cobra"

	"ctrx/experiment"
	"ctrx/pipeline"
)

func (a *app) expSaveCommand() *cobra.Command {
	var o experiment.SaveOptions
	var asJSON bool
	c := &cobra.Command{
		Use: "save [targets...]", Short: "Keep the work tree as an experiment, without running anything",
		Example: "  ctrx exp save -n by-hand\n  ctrx exp save -I notes.txt",
		RunE: func(c *cobra.Command, targets []string) error {
			a.json = asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				o.Targets, o.Now, o.Rand, o.Tracking = targets, a.Now, a.Rand, a.trackOptions(p)
				saved, err := experiment.Save(c.Context(), p, o)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(map[string]string{"ref": saved.Commit})
				}
				p.Info("Experiment has been saved as: %s", saved.Name)
				if saved.Track != nil {
					p.Info("MLflow run %s of experiment '%s': ctrx runs show %s", saved.Track.RunID, saved.Track.Experiment, saved.Track.RunID[:8])
				}
				return nil
			})
		},
	}
	f := c.Flags()
	f.BoolVarP(&o.Recursive, "recursive", "R", false, "targets are folders")
	f.BoolVarP(&o.Overwrite, "force", "f", false, "replace an experiment of this name")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.StringVarP(&o.Name, "name", "n", "", "`name` of the experiment; one is made up without it")
	f.StringArrayVarP(&o.Untracked, "include-untracked", "I", nil, "keep this untracked `path` too; may be repeated")
	f.StringVarP(&o.Message, "message", "m", "", "message of the experiment commit")
	return c
}

func (a *app) expRenameCommand() *cobra.Command {
	var o experiment.RenameOptions
	c := &cobra.Command{
		Use: "rename EXPERIMENT NAME", Short: "Rename an experiment", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				if o.Old, o.New = args[0], args[1]; o.Old == o.New {
					p.Info("No experiments to rename.")
					return nil
				}
				if err := experiment.Rename(c.Context(), p, o); err != nil {
					return err
				}
				p.Info("Renamed experiments: %s", humanJoin(args[:1]))
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringVarP(&o.Remote, "git-remote", "g", "", "rename it at this Git `remote` too, a name or URL")
	f.BoolVarP(&o.Force, "force", "f", false, "replace an experiment of this name")
	return c
}

func (a *app) expCleanCommand() *cobra.Command {
	return &cobra.Command{
		Use: "clean", Short: "Remove what is kept to list experiments faster", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				p.Info("Cleaning up dvc-task messages...")
				if err := experiment.Clean(c.Context(), p); err != nil {
					return err
				}
				p.Info("Done!")
				return nil
			})
		},
	}
}
