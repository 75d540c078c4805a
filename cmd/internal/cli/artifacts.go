package cli

import (
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"ctrx/pipeline"
)

func (a *app) artifactsCommand() *cobra.Command {
	c := &cobra.Command{Use: "artifacts", Short: "Models and other artifacts that a repository registers by tags"}
	c.AddCommand(a.artifactsGetCommand())
	return c
}

func (a *app) artifactsGetCommand() *cobra.Command {
	var f pipeline.ForeignOptions
	var o pipeline.GetOptions
	var artifact pipeline.ArtifactOptions
	var options []string
	var showURL bool
	c := &cobra.Command{
		Use: "get REPOSITORY NAME", Short: "Copy an artifact out of a repository, at a version or from a stage", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) (err error) {
			artifact.Name, artifact.Version = args[1], f.Rev // what others call a revision
			if f, err = a.foreignOptions(args[0], f, options); err != nil {
				return err
			}
			r, path, err := pipeline.OpenArtifact(c.Context(), f, artifact)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, r.Close()) }()
			if showURL {
				url, err := r.ObjectURL(c.Context(), path)
				if err == nil {
					a.printf("%s\n", url)
				}
				return err
			}
			o.Path = path
			to, files, err := r.Get(c.Context(), o)
			if err != nil {
				return err
			}
			if rel, err := filepath.Rel(a.Dir, to); err == nil {
				to = rel
			}
			a.printf("Downloaded %d file(s) to '%s'\n", files, to)
			return nil
		},
	}
	foreignFlags(c.Flags(), &f, &options)
	c.Flags().Lookup("rev").Usage = "the artifact's `version`, v1.2.3; the highest without it"
	c.Flags().StringVar(&artifact.Stage, "stage", "", "the version that is in a `stage`")
	c.Flags().StringVarP(&o.Out, "out", "o", "", "`path` of the copy")
	c.Flags().BoolVarP(&o.Force, "force", "f", false, "overwrite what is there")
	c.Flags().IntVarP(&o.Jobs, "jobs", "j", 0, "number of transfers at a time")
	c.Flags().BoolVar(&showURL, "show-url", false, "print where the data lies on the remote, copy nothing")
	return c
}
