package cli

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/internal/errs"
	"ctrx/pipeline"
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

// foreignOptions completes the options of a repository.
func (a *app) foreignOptions(url string, o pipeline.ForeignOptions, options []string) (_ pipeline.ForeignOptions, err error) {
	o.RemoteConfig, err = keyValues(options)
	o.OpenOptions = pipeline.OpenOptions{Dir: a.Dir, Args: a.args, Env: a.Env, Sink: a.printer, Now: a.Now, Ask: a.ask()}
	o.URL, o.CloneDir = url, a.cloneDir()
	return o, err
}

// foreign opens a repository and runs f with it.
func (a *app) foreign(ctx context.Context, url string, o pipeline.ForeignOptions, options []string, f func(*pipeline.Foreign) error) (err error) {
	if o, err = a.foreignOptions(url, o, options); err != nil {
		return err
	}
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
				_, _, err := r.Get(c.Context(), o)
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
