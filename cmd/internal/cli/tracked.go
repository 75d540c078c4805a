package cli

import (
	"github.com/spf13/cobra"

	"ctrx/pipeline"
)

func (a *app) moveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "move FROM TO", Aliases: []string{"mv"}, Short: "Rename tracked data with its .dvc file", Args: cobra.ExactArgs(2),
		Long: "Rename tracked data with its .dvc file. A destination that is a folder, or ends with a slash, takes the data in; folders on the way are made.",
		RunE: func(c *cobra.Command, args []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				if err := p.Move(c.Context(), args[0], args[1]); err != nil {
					return err
				}
				return p.OfferToTrack(c.Context())
			})
		},
	}
}

func (a *app) removeCommand() *cobra.Command {
	var outs bool
	c := &cobra.Command{
		Use: "remove TARGET...", Aliases: []string{"rm"}, Short: "Take stages out of dvc.yaml, or stop tracking data; the data stays", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, targets []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error { return p.Remove(c.Context(), targets, outs) })
		},
	}
	c.Flags().BoolVar(&outs, "outs", false, "also delete the outputs in the work tree")
	return c
}

func (a *app) unprotectCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unprotect TARGET...", Short: "Make links into the cache writable files of their own", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, targets []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error { return p.Unprotect(c.Context(), targets) })
		},
	}
}
