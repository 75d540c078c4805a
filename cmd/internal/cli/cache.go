package cli

import (
	"path/filepath"

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
	c.AddCommand(dir)
	return c
}
