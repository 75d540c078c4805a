package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ctrx/internal/errs"
	"ctrx/internal/settings"
	"ctrx/pipeline"
)

// levels are the flags that choose a config file.
type levels struct{ system, global, project, local bool }

func (l *levels) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&l.system, "system", false, "the machine's config")
	f.BoolVar(&l.global, "global", false, "the user's config")
	f.BoolVar(&l.project, "project", false, "the project's .dvc/config (the default for writing)")
	f.BoolVar(&l.local, "local", false, "the project's .dvc/config.local, which Git ignores: the place for secrets")
	c.MarkFlagsMutuallyExclusive("system", "global", "project", "local")
}

func (l *levels) level() settings.Level {
	switch {
	case l.system:
		return settings.System
	case l.global:
		return settings.Global
	case l.project:
		return settings.Repo
	case l.local:
		return settings.Local
	}
	return settings.Merged
}

// config reads the configuration without the checks that other commands make,
// so that these commands can repair it.
func (a *app) config() (*settings.DVC, error) {
	root, err := pipeline.FindRoot(a.Dir)
	if err != nil {
		root = "" // the user's and the machine's settings are there without a project
	}
	return settings.ReadDVC(settings.Options{Root: root, Env: a.env})
}

// env looks a variable up.
func (a *app) env(key string) string {
	for i := len(a.Env) - 1; i >= 0; i-- {
		if k, v, _ := strings.Cut(a.Env[i], "="); k == key {
			return v
		}
	}
	return ""
}

func (a *app) configCommand() *cobra.Command {
	var l levels
	var unset, list, origin bool
	c := &cobra.Command{
		Use: "config [NAME [VALUE]]", Short: "Read or change an option of .dvc/config", Args: cobra.MaximumNArgs(2),
		Example: "  ctrx config core.autostage true\n  ctrx config remote.vk.region\n  ctrx config --list",
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case list && (unset || len(args) > 0):
				return errs.Hint(errs.New(errs.Usage, "--list shows all options and cannot be used with --unset or the name of one"), "ctrx config --list")
			case origin && (unset || len(args) == 2):
				return errs.Hint(errs.New(errs.Usage, "--show-origin only shows and cannot be used with --unset or a value"), "ctrx config --list --show-origin")
			}
			cfg, err := a.config()
			if err != nil {
				return err
			}
			if list {
				return a.listConfig(cfg, l.level(), origin)
			}
			if len(args) == 0 {
				return errs.Hint(errs.New(errs.Usage, "no option was named"), "ctrx config --list")
			}
			name, err := settings.ParseName(args[0])
			if err != nil {
				return err
			}
			switch {
			case unset:
				return cfg.Unset(l.level(), name)
			case len(args) == 2:
				return cfg.Set(l.level(), name, args[1], a.Dir)
			}
			return a.showConfig(cfg, l.level(), name, origin)
		},
	}
	l.flags(c)
	f := c.Flags()
	f.BoolVarP(&unset, "unset", "u", false, "remove the option")
	f.BoolVarP(&list, "list", "l", false, "print all options")
	f.BoolVar(&origin, "show-origin", false, "print the file that sets each option")
	return c
}

func (a *app) listConfig(cfg *settings.DVC, l settings.Level, origin bool) error {
	for _, o := range cfg.Lines(l) {
		a.printf("%s%s=%s\n", a.originOf(o, origin), o.Name, o.Text())
	}
	return nil
}

// originOf is the file of an option: that of the project as seen from here.
func (a *app) originOf(o settings.Option, show bool) string {
	if !show {
		return ""
	}
	file := o.Pos.File
	if o.Level == settings.Repo || o.Level == settings.Local {
		if rel, err := filepath.Rel(a.Dir, file); err == nil {
			file = rel
		}
	}
	return file + "\t"
}

func (a *app) showConfig(cfg *settings.DVC, l settings.Level, n settings.Name, origin bool) error {
	o, ok := cfg.Find(l, n)
	if !ok && l == settings.Merged { // as in DVC, whose editor plugin asks so
		return nil
	}
	if !ok {
		return errs.Hint(errs.New(errs.NotFound, "option '%s' is not set", n), "ctrx config %s VALUE", n)
	}
	a.printf("%s%s\n", a.originOf(o, origin), o.Text())
	return nil
}

func (a *app) remoteCommand() *cobra.Command {
	c := &cobra.Command{Use: "remote", Short: "Define the places that data is pushed to"}
	c.AddCommand(a.remoteAddCommand(), a.remoteModifyCommand(), a.remoteListCommand(), a.remoteDefaultCommand(), a.remoteRemoveCommand(), a.remoteRenameCommand())
	return c
}

// remoteSub makes a sub-command that changes the configuration.
func (a *app) remoteSub(use, short string, args cobra.PositionalArgs, run func(cfg *settings.DVC, l settings.Level, args []string) error) *cobra.Command {
	var l levels
	c := &cobra.Command{Use: use, Short: short, Args: args, RunE: func(_ *cobra.Command, args []string) error {
		cfg, err := a.config()
		if err != nil {
			return err
		}
		return run(cfg, l.level(), args)
	}}
	l.flags(c)
	return c
}

func (a *app) remoteAddCommand() *cobra.Command {
	var asDefault, force bool
	c := a.remoteSub("add NAME URL", "Define a remote: a folder or s3://bucket/prefix", cobra.ExactArgs(2),
		func(cfg *settings.DVC, l settings.Level, args []string) error {
			if asDefault && !a.quiet {
				a.printf("Setting '%s' as a default remote.\n", args[0])
			}
			return cfg.RemoteAdd(l, args[0], args[1], a.Dir, asDefault, force)
		})
	c.Flags().BoolVarP(&asDefault, "default", "d", false, "make it the default remote")
	c.Flags().BoolVarP(&force, "force", "f", false, "replace a remote of this name")
	return c
}

func (a *app) remoteModifyCommand() *cobra.Command {
	var unset bool
	c := a.remoteSub("modify NAME OPTION [VALUE]", "Set an option of a remote", cobra.RangeArgs(2, 3),
		func(cfg *settings.DVC, l settings.Level, args []string) error {
			if unset {
				return cfg.RemoteUnset(l, args[0], args[1])
			}
			if len(args) < 3 {
				return errs.Hint(errs.New(errs.Usage, "no value for option '%s'", args[1]), "ctrx remote modify %s %s VALUE, or --unset", args[0], args[1])
			}
			return cfg.RemoteModify(l, args[0], args[1], args[2], a.Dir)
		})
	c.Flags().BoolVarP(&unset, "unset", "u", false, "remove the option")
	return c
}

func (a *app) remoteListCommand() *cobra.Command {
	return a.remoteSub("list", "List remotes", cobra.NoArgs, func(cfg *settings.DVC, l settings.Level, _ []string) error {
		std, _ := cfg.DefaultRemote()
		for _, name := range cfg.Remotes() {
			o, ok := cfg.Find(l, settings.Name{Kind: "remote", Section: name, Key: "url"})
			if !ok {
				continue
			}
			mark := ""
			if name == std {
				mark = "\t(default)"
			}
			a.printf("%s\t%s%s\n", name, o.Text(), mark)
		}
		return nil
	})
}

func (a *app) remoteDefaultCommand() *cobra.Command {
	var unset bool
	c := a.remoteSub("default [NAME]", "Show or set the default remote", cobra.MaximumNArgs(1),
		func(cfg *settings.DVC, l settings.Level, args []string) error {
			switch {
			case unset:
				return cfg.UnsetDefaultRemote(l)
			case len(args) == 1:
				return cfg.SetDefaultRemote(l, args[0])
			}
			name, ok := cfg.DefaultRemote()
			if !ok {
				return errs.Hint(errs.New(errs.NotFound, "No default remote set"), "ctrx remote default NAME")
			}
			a.printf("%s\n", name)
			return nil
		})
	c.Flags().BoolVarP(&unset, "unset", "u", false, "have no default remote")
	return c
}

func (a *app) remoteRemoveCommand() *cobra.Command {
	return a.remoteSub("remove NAME", "Remove a remote's definition; its data stays", cobra.ExactArgs(1),
		func(cfg *settings.DVC, l settings.Level, args []string) error { return cfg.RemoteRemove(l, args[0]) })
}

func (a *app) remoteRenameCommand() *cobra.Command {
	return a.remoteSub("rename NAME NEW", "Rename a remote", cobra.ExactArgs(2),
		func(cfg *settings.DVC, l settings.Level, args []string) error {
			return cfg.RemoteRename(l, args[0], args[1])
		})
}
