package cli

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/internal/errs"
	"ctrx/pipeline"
)

func (a *app) importCommand() *cobra.Command {
	var o pipeline.ImportOptions
	var options []string
	c := &cobra.Command{
		Use: "import REPOSITORY PATH", Short: "Track a file or folder of another repository", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) (err error) {
			o.URL, o.Path = args[0], args[1]
			if o.RemoteConfig, err = keyValues(options); err != nil {
				return err
			}
			return a.project(c.Context(), func(p *pipeline.Project) error {
				if _, err := p.Import(c.Context(), o); err != nil {
					return err
				}
				return p.OfferToTrack(c.Context())
			})
		},
	}
	f := c.Flags()
	importFlags(f, &o)
	f.StringVarP(&o.Out, "out", "o", "", "`path` of the data here")
	f.StringVar(&o.Rev, "rev", "", "a `commit`, branch or tag of the repository")
	f.StringVar(&o.ConfigFile, "config", "", "a config `file` merged over the repository's own")
	f.StringVar(&o.Remote, "remote", "", "`name` of the repository's remote to read from")
	f.StringArrayVar(&options, "remote-config", nil, "`options` over those of the remote: NAME=VALUE...")
	return c
}

func importFlags(f *pflag.FlagSet, o *pipeline.ImportOptions) {
	f.BoolVarP(&o.Force, "force", "f", false, "overwrite what is there")
	f.BoolVar(&o.NoExec, "no-exec", false, "write the .dvc file only")
	f.BoolVar(&o.NoDownload, "no-download", false, "record what there is, download nothing")
	f.IntVarP(&o.Jobs, "jobs", "j", 0, "number of transfers at a time")
}

func (a *app) importURLCommand() *cobra.Command {
	var o pipeline.ImportOptions
	var options []string
	var versionAware bool
	c := &cobra.Command{
		Use: "import-url URL [OUT]", Short: "Track a file or folder of a folder, bucket, remote or web address", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) (err error) {
			o.URL = args[0]
			if len(args) > 1 {
				o.Out = args[1]
			}
			if versionAware {
				return errs.Hint(errs.New(errs.Usage, "--version-aware is not supported: the buckets that ctrx is for keep no versions"), "use dvc for this import")
			}
			if o.FSConfig, err = keyValues(options); err != nil {
				return err
			}
			return a.project(c.Context(), func(p *pipeline.Project) error {
				if _, err := p.ImportURL(c.Context(), o); err != nil {
					return err
				}
				return p.OfferToTrack(c.Context())
			})
		},
	}
	f := c.Flags()
	importFlags(f, &o)
	f.BoolVar(&o.ToRemote, "to-remote", false, "send the data straight to the remote, not to the work tree")
	f.StringVarP(&o.Remote, "remote", "r", "", "`name` of the remote for --to-remote")
	f.BoolVar(&versionAware, "version-aware", false, "not supported")
	f.StringArrayVar(&options, "fs-config", nil, "`options` of the place: NAME=VALUE...")
	return c
}

func (a *app) updateCommand() *cobra.Command {
	var o pipeline.UpdateOptions
	c := &cobra.Command{
		Use: "update [targets...]", Short: "Bring imports to the present state of their sources",
		RunE: func(c *cobra.Command, targets []string) error {
			o.Targets = targets
			return a.project(c.Context(), func(p *pipeline.Project) error { return p.Update(c.Context(), o) })
		},
	}
	f := c.Flags()
	f.StringVar(&o.Rev, "rev", "", "follow this `revision` of the repository from now on")
	f.BoolVarP(&o.Recursive, "recursive", "R", false, "targets are folders: every import below them")
	f.BoolVar(&o.NoDownload, "no-download", false, "record what there is, download nothing")
	f.BoolVar(&o.ToRemote, "to-remote", false, "send the data straight to the remote")
	f.StringVarP(&o.Remote, "remote", "r", "", "`name` of the remote for --to-remote")
	f.IntVarP(&o.Jobs, "jobs", "j", 0, "number of transfers at a time")
	return c
}
