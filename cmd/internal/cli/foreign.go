package cli

import (
	"bufio"
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/internal/errs"
	"ctrx/internal/settings"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage/remote"
)

// foreignFlags choose a repository's revision and where its data is read from.
func foreignFlags(f *pflag.FlagSet, o *pipeline.ForeignOptions, options *[]string) {
	f.StringVar(&o.Rev, "rev", "", "a `commit`, branch or tag of the repository")
	f.StringVar(&o.ConfigFile, "config", "", "a config `file` merged over the repository's own")
	f.StringVar(&o.Remote, "remote", "", "`name` of the repository's remote to read from")
	f.StringArrayVar(options, "remote-config", nil, "`options` over those of the remote: NAME=VALUE...")
}

// keyValues reads NAME=VALUE words.
func keyValues(words []string) (map[string]string, error) {
	m := map[string]string{}
	for _, w := range words {
		k, v, ok := strings.Cut(w, "=")
		if !ok || k == "" {
			return nil, errs.New(errs.Usage, "%q is not NAME=VALUE", w)
		}
		m[k] = v
	}
	return m, nil
}

// foreign opens a repository and runs f with it.
func (a *app) foreign(ctx context.Context, url string, o pipeline.ForeignOptions, options []string, f func(*pipeline.Foreign) error) (err error) {
	if o.RemoteConfig, err = keyValues(options); err != nil {
		return err
	}
	o.OpenOptions = pipeline.OpenOptions{Dir: a.Dir, Args: a.args, Env: a.Env, Sink: a.printer, Now: a.Now, Ask: a.ask()}
	o.URL, o.CloneDir = url, a.cloneDir()
	r, err := pipeline.OpenForeign(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(f(r), r.Close())
}

// cloneDir is where copies of other repositories are kept: in the project's own
// temporary folder, or the user's cache.
func (a *app) cloneDir() string {
	if root, err := pipeline.FindRoot(a.Dir); err == nil {
		return filepath.Join(root, ".dvc", "tmp", "ctrx", "clones")
	}
	for _, at := range []struct{ dir, below string }{{a.env("XDG_CACHE_HOME"), "ctrx"}, {a.env("LOCALAPPDATA"), "ctrx"}, {a.env("HOME"), filepath.Join(".cache", "ctrx")}} {
		if at.dir != "" {
			return filepath.Join(at.dir, at.below, "clones")
		}
	}
	return filepath.Join(a.Dir, ".ctrx-clones")
}

func (a *app) getCommand() *cobra.Command {
	var f pipeline.ForeignOptions
	var o pipeline.GetOptions
	var options []string
	var showURL bool
	c := &cobra.Command{
		Use: "get REPOSITORY PATH", Short: "Copy a file or folder out of another repository, without tracking it", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			o.Path = args[1]
			return a.foreign(c.Context(), args[0], f, options, func(r *pipeline.Foreign) error {
				if showURL {
					url, err := r.ObjectURL(c.Context(), o.Path)
					if err == nil {
						a.printf("%s\n", url)
					}
					return err
				}
				_, err := r.Get(c.Context(), o)
				return err
			})
		},
	}
	foreignFlags(c.Flags(), &f, &options)
	c.Flags().StringVarP(&o.Out, "out", "o", "", "`path` of the copy")
	c.Flags().BoolVarP(&o.Force, "force", "f", false, "overwrite what is there")
	c.Flags().IntVarP(&o.Jobs, "jobs", "j", 0, "number of transfers at a time")
	c.Flags().BoolVar(&showURL, "show-url", false, "print where the data lies on the remote, copy nothing")
	return c
}

func (a *app) listCommand() *cobra.Command {
	var f pipeline.ForeignOptions
	var o pipeline.ListOptions
	var options []string
	var asJSON, tree, size, hash bool
	c := &cobra.Command{
		Use: "list REPOSITORY [PATH]", Aliases: []string{"ls"}, Short: "List what a repository has, tracked by Git or DVC", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			a.json = asJSON
			if tree && asJSON {
				return errs.New(errs.Usage, "Cannot use --tree and --json options together.")
			}
			if len(args) > 1 {
				o.Path = args[1]
			}
			return a.foreign(c.Context(), args[0], f, options, func(r *pipeline.Foreign) error {
				if tree {
					rows, err := r.Tree(c.Context(), o)
					if err == nil {
						a.printTree(rows, size, hash)
					}
					return err
				}
				entries, err := r.List(c.Context(), o)
				if err != nil {
					return err
				}
				if asJSON {
					values := make([]dvcfile.Value, len(entries))
					for i, e := range entries {
						values[i] = e.Value()
					}
					a.printf("%s\n", dvcfile.JSON(values))
					return nil
				}
				a.printEntries(entries, size, hash)
				return nil
			})
		},
	}
	foreignFlags(c.Flags(), &f, &options)
	fl := c.Flags()
	fl.BoolVarP(&o.Recursive, "recursive", "R", false, "all files below")
	fl.BoolVarP(&tree, "tree", "T", false, "draw a tree")
	fl.IntVarP(&o.Level, "level", "L", 0, "how deep")
	fl.BoolVar(&o.DVCOnly, "dvc-only", false, "only what DVC tracks")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	fl.BoolVar(&size, "size", false, "show sizes")
	fl.BoolVar(&hash, "show-hash", false, "show hashes")
	return c
}

// cells are the columns of an entry: size, hash, name.
func cells(e pipeline.ListEntry, name string, size, hash bool) []string {
	var row []string
	if size {
		text := "-"
		if e.Size > 0 || e.Size == 0 && !e.IsDir {
			text = byteSize(e.Size)
		}
		row = append(row, text)
	}
	if hash {
		text := string(e.Digest)
		if text == "" {
			text = "-"
		}
		row = append(row, text)
	}
	return append(row, name)
}

func (a *app) printEntries(entries []pipeline.ListEntry, size, hash bool) {
	rows := make([][]string, len(entries))
	for i, e := range entries {
		rows[i] = cells(e, e.Path, size, hash)
	}
	a.printColumns(rows, size)
}

func (a *app) printTree(rows []pipeline.TreeRow, size, hash bool) {
	table := make([][]string, len(rows))
	for i, r := range rows {
		name := r.Path
		if r.Depth > 0 {
			branch := "├── "
			if r.Last[r.Depth-1] {
				branch = "└── "
			}
			name = branch + name
			for j := r.Depth - 2; j >= 0; j-- {
				if r.Last[j] {
					name = "    " + name
				} else {
					name = "│   " + name
				}
			}
		}
		table[i] = cells(r.ListEntry, name, size, hash)
	}
	a.printColumns(table, size)
}

// printColumns prints rows with two blanks between columns; the first one stands
// to the right where it is a number.
func (a *app) printColumns(rows [][]string, firstRight bool) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			blanks := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			switch {
			case i == len(row)-1:
				line.WriteString(cell)
			case i == 0 && firstRight:
				line.WriteString(blanks + cell + "  ")
			default:
				line.WriteString(cell + blanks + "  ")
			}
		}
		a.printf("%s\n", strings.TrimRight(line.String(), " "))
	}
}

func (a *app) duCommand() *cobra.Command {
	var f pipeline.ForeignOptions
	var options []string
	var summarize bool
	c := &cobra.Command{
		Use: "du REPOSITORY [PATH]", Short: "Say how large the files of a repository are", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			path := ""
			if len(args) > 1 {
				path = args[1]
			}
			return a.foreign(c.Context(), args[0], f, options, func(r *pipeline.Foreign) error {
				all, err := r.DiskUsage(c.Context(), path, summarize)
				if err != nil {
					return err
				}
				rows := make([][]string, len(all))
				for i, u := range all {
					rows[i] = []string{byteSize(u.Size), u.Path}
				}
				a.printColumns(rows, true)
				return nil
			})
		},
	}
	foreignFlags(c.Flags(), &f, &options)
	c.Flags().BoolVarP(&summarize, "summarize", "s", false, "one size for all")
	return c
}

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
		Use: "list-url URL", Aliases: []string{"ls-url"}, Short: "List a folder, bucket or remote", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := a.place(args[0], options)
			if err != nil {
				return err
			}
			found, err := p.List(c.Context(), a.access(), recursive || tree, level)
			if err != nil {
				return err
			}
			entries := make([]pipeline.ListEntry, len(found))
			for i, l := range found {
				entries[i] = pipeline.ListEntry{Path: l.Path, IsDir: l.IsDir, Size: l.Size}
			}
			if tree {
				a.printTree(pipeline.TreeOf(args[0], entries), size, false)
			} else {
				a.printEntries(entries, size, false)
			}
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
					matched = matched || m.Ignored
					switch {
					case details && m.Rule != "" && (m.Ignored || all):
						a.printf("%s\t%s\n", m.Rule, t)
					case details && nonMatching && !m.Ignored:
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
	f.BoolVarP(&all, "all", "a", false, "with --details: also patterns that take a path in again")
	f.BoolVarP(&nonMatching, "non-matching", "n", false, "with --details: also paths that no pattern matches")
	f.BoolVar(&stdin, "stdin", false, "read paths from standard input, one a line")
	return c
}

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
