package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ctrx/internal/settings"
	"ctrx/pipeline"
)

func (a *app) cacheCommand() *cobra.Command {
	c := &cobra.Command{Use: "cache", Short: "Look at and move the cache"}
	var l levels
	var unset bool
	dir := &cobra.Command{
		Use: "dir [PATH]", Short: "Print or set where the cache is", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := a.config()
			if err != nil {
				return err
			}
			name := settings.Name{Section: "cache", Key: "dir"}
			switch {
			case unset:
				return cfg.Unset(l.level(), name)
			case len(args) == 1:
				return cfg.Set(l.level(), name, args[0], a.Dir)
			}
			if dir, ok := cfg.Get("cache", "dir"); ok {
				a.printf("%s\n", dir)
				return nil
			}
			root, err := pipeline.FindRoot(a.Dir)
			if err == nil {
				a.printf("%s\n", filepath.Join(root, ".dvc", "cache"))
			}
			return err
		},
	}
	l.flags(dir)
	dir.Flags().BoolVarP(&unset, "unset", "u", false, "back to .dvc/cache")
	c.AddCommand(dir, a.cacheMigrateCommand())
	return c
}

func (a *app) cacheMigrateCommand() *cobra.Command {
	var files, dry bool
	c := &cobra.Command{
		Use: "migrate", Short: "Give what DVC 2 cached its place in the layout of DVC 3", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				n, err := p.MigrateCache(c.Context(), dry)
				if err != nil {
					return err
				}
				if dry {
					p.Info("%d files will be re-hashed and migrated to the DVC 3.0 cache location.", n)
				} else {
					p.Info("Migrated %d files to DVC 3.0 cache location.", n)
				}
				if !files {
					return nil
				}
				changed, err := p.MigrateFiles(c.Context(), dry)
				switch {
				case err != nil:
					return err
				case len(changed) == 0:
					p.Info("No DVC files in the repo to migrate to the 3.0 format.")
				case dry:
					p.Info("Entries in following DVC files will be migrated to the 3.0 format:\n\t%s", strings.Join(changed, "\n\t"))
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&files, "dvc-files", false, "also record anew what DVC 2 recorded, in .dvc files and dvc.lock")
	c.Flags().BoolVar(&dry, "dry", false, "say what would be done")
	return c
}
