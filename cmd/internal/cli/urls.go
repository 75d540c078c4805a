package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ctrx/internal/settings"
	"ctrx/pipeline"
	"ctrx/storage/remote"
)

// place gives the settings of the remote that a remote:// address names,
// with the address it stands for, and those of --fs-config.
func (a *app) place(url string, options []string) (remote.Place, error) {
	config, err := keyValues(options)
	if err != nil {
		return remote.Place{}, err
	}
	rest, named := strings.CutPrefix(url, "remote://")
	if !named {
		return remote.Place{URL: url, Config: config, Base: a.Dir}, nil
	}
	root, _ := pipeline.FindRoot(a.Dir)
	cfg, err := settings.LoadDVC(root, a.env)
	if err != nil {
		return remote.Place{}, err
	}
	name, below, _ := strings.Cut(rest, "/")
	set, err := cfg.Remote(name)
	if err != nil {
		return remote.Place{}, err
	}
	merged := map[string]string{}
	for _, m := range []map[string]string{set, config} {
		for k, v := range m {
			merged[k] = v
		}
	}
	return remote.At(name, merged, filepath.Join(root, ".dvc"), below), nil
}

func (a *app) getURLCommand() *cobra.Command {
	var o pipeline.ImportOptions
	var options []string
	c := &cobra.Command{
		Use: "get-url URL [OUT]", Short: "Copy a file or folder from a folder, bucket, remote or web address, without tracking it", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.place(args[0], options)
			if err != nil {
				return err
			}
			if len(args) > 1 {
				o.Out = args[1]
			}
			return pipeline.GetURL(c.Context(), p, o, a.access(), a.Dir)
		},
	}
	c.Flags().IntVarP(&o.Jobs, "jobs", "j", 0, "number of transfers at a time")
	c.Flags().BoolVarP(&o.Force, "force", "f", false, "overwrite what is there")
	c.Flags().StringArrayVar(&options, "fs-config", nil, "`options` of the place: NAME=VALUE...")
	return c
}

func (a *app) listURLCommand() *cobra.Command {
	var options []string
	var recursive, tree, size bool
	var level int
	c := &cobra.Command{
		Use: "list-url URL", Aliases: []string{"ls-url"}, Short: "List a folder, bucket or remote; of a web server single addresses", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.place(args[0], options)
			if err != nil {
				return err
			}
			found, err := p.List(c.Context(), a.access(), recursive || tree, level)
			if err != nil {
				return err
			}
			if tree {
				a.printTree(pipeline.TreeOf(args[0], found), size, false)
				return nil
			}
			entries := make([]pipeline.ListEntry, len(found))
			for i, l := range found {
				entries[i] = pipeline.ListEntry{Path: l.Path, IsDir: l.IsDir, Size: l.Size}
			}
			a.printEntries(entries, size, false)
			return nil
		},
	}
	f := c.Flags()
	f.BoolVarP(&recursive, "recursive", "R", false, "all files below")
	f.BoolVarP(&tree, "tree", "T", false, "draw a tree")
	f.IntVarP(&level, "level", "L", 0, "how deep")
	f.BoolVar(&size, "size", false, "show sizes")
	f.StringArrayVar(&options, "fs-config", nil, "`options` of the place: NAME=VALUE...")
	return c
}
