package cli

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/experiment"
	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/pipeline"
	"ctrx/tracking/ui"
)

// serverFlags are those of `mlflow server`, with --token.
func (a *app) serverFlags(f *pflag.FlagSet, o *experiment.TrackingServerOptions) {
	f.StringVar(&o.Host, "host", "127.0.0.1", "`address` to listen on; other machines' needs --token")
	f.IntVarP(&o.Port, "port", "p", 5000, "`port` to listen on; 0 takes a free one")
	f.StringVar(&o.Backend, "backend-store-uri", "", "sqlite:///`FILE` of the runs; mlflow.db of the project without it")
	f.StringVar(&o.Artifacts, "artifacts-destination", "", "`folder` or s3://BUCKET/PREFIX for artifacts; mlartifacts beside the runs without it")
	f.StringVar(&o.Token, "token", "", "`secret` that every request must bring; better in CTRX_SERVER_TOKEN, which no process list shows")
	f.StringSliceVar(&o.AllowedHosts, "allowed-hosts", nil, "`hosts` by whose names the server may be called, besides localhost and private addresses; * for all")
	f.StringSliceVar(&o.AllowedOrigins, "cors-allowed-origins", nil, "`origins` whose pages may write, besides this machine's; * for all")
	f.StringVar(&o.MaxUpload, "max-upload", "", "largest artifact that is taken: a `size` such as 500M or 20G; no limit without it")
	f.DurationVar(&o.Stall, "stall-timeout", time.Minute, "`time` after which a connection is cut on which nothing moves")
	f.StringVar((*string)(&o.UI), "ui", string(ui.Auto), "`interface` for browsers: mlflow, builtin, or auto: MLflow's where Python has it, else the built-in page")
	f.BoolVar(&o.AllowLocalRoots, "allow-local-roots", false, "let clients name folders as artifact roots of experiments")
}

func (a *app) serverCommand() *cobra.Command {
	var o experiment.TrackingServerOptions
	c := &cobra.Command{
		Use: "server", Short: "Serve the runs of this project as an MLflow tracking server", Args: cobra.NoArgs,
		Long: "Answers MLflow's REST API on the files that ctrx and MLflow share: mlflow.db and\nmlartifacts of the project, or those that the flags name. Ends with Ctrl-C.",
		Example: "  ctrx server --port 5000\n" +
			"  MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python train.py",
		RunE: func(c *cobra.Command, _ []string) error { return a.serve(c.Context(), o, false) },
	}
	a.serverFlags(c.Flags(), &o)
	return c
}

func (a *app) uiCommand() *cobra.Command {
	var o experiment.TrackingServerOptions
	var noBrowser bool
	c := &cobra.Command{
		Use: "ui", Short: "Look at the runs of this project in a browser", Args: cobra.NoArgs,
		Long: "Serves the runs as `ctrx server` does and opens the page. Where a server of this\nproject runs already, its page is opened. Ends with Ctrl-C.\n\n" +
			"The page is MLflow's own interface where a Python environment has MLflow or\n`ctrx ui install` fetched it, else a page that is part of ctrx.",
		Example: "  ctrx ui\n  ctrx ui --ui builtin --port 0",
		RunE: func(c *cobra.Command, _ []string) error {
			open := !noBrowser && isTerminal(a.Out)
			if !asksForOwnServer(c.Flags()) {
				if url, err := a.runningServer(c.Context()); err != nil || url != "" {
					return a.showRunning(c.Context(), url, open, err)
				}
			}
			return a.serve(c.Context(), o, open)
		},
	}
	a.serverFlags(c.Flags(), &o)
	c.AddCommand(a.uiInstallCommand())
	c.Flags().BoolVar(&noBrowser, "no-browser", false, "only print the address; without a terminal no browser is opened in any case")
	return c
}

func (a *app) uiInstallCommand() *cobra.Command {
	var o ui.InstallOptions
	c := &cobra.Command{
		Use: "install", Short: "Fetch MLflow's interface, without MLflow", Args: cobra.NoArgs,
		Long: "Fetches MLflow's wheel from the index that pip would ask (PIP_INDEX_URL, pip.conf),\nchecks its digest and keeps the interface alone in the user's cache. No Python is\nneeded.",
		RunE: func(c *cobra.Command, _ []string) error {
			o.Cache, o.Env, o.Sink = ui.CacheDir(a.env), a.env, a.printer
			if o.Wheel != "" {
				o.Wheel = a.path(o.Wheel)
			}
			in, err := ui.Install(c.Context(), o)
			if err != nil {
				return err
			}
			what := "Installed"
			if in.Already {
				what = "Already there:"
			}
			a.printf("%s MLflow %s's interface in %s\n", what, in.Version, in.Dir)
			if !in.Tested {
				a.printf("This version was not tried with this server: ctrx ui --ui mlflow takes it all the same\n")
			}
			return nil
		},
	}
	c.Flags().StringVar(&o.Version, "version", "", "`version` of MLflow (default "+ui.Version+")")
	c.Flags().StringVar(&o.Wheel, "from-wheel", "", "take it from this wheel `file`")
	c.MarkFlagsMutuallyExclusive("version", "from-wheel")
	return c
}

// asksForOwnServer tells whether a flag says how the server is to be.
func asksForOwnServer(f *pflag.FlagSet) bool {
	own := false
	f.Visit(func(flag *pflag.Flag) {
		own = own || !slices.Contains([]string{"no-browser", "cd", "quiet", "verbose"}, flag.Name)
	})
	return own
}

// runningServer is the address of a server of this project; "" where there is
// none.
func (a *app) runningServer(ctx context.Context) (string, error) {
	root, err := pipeline.FindRoot(a.Dir)
	if err != nil {
		return "", nil // not in a project: none is known
	}
	return experiment.RunningTracking(ctx, root)
}

func (a *app) showRunning(ctx context.Context, url string, open bool, err error) error {
	if err != nil {
		return err
	}
	a.printf("Already served at %s\n", url)
	if !open {
		return nil
	}
	return a.openBrowser(ctx, url)
}

// serve listens, tells where, opens the page if wanted, and serves until the
// command is interrupted, which is how a server ends: it is no failure.
func (a *app) serve(ctx context.Context, o experiment.TrackingServerOptions, open bool) error {
	o.Dir, o.Env, o.Now = a.Dir, a.env, a.Now
	elsewhere, err := a.serverProject(ctx, &o)
	if err != nil {
		return err
	}
	if o.Token == "" {
		o.Token = a.env("CTRX_SERVER_TOKEN")
	}
	s, err := experiment.ListenTracking(ctx, o)
	if err != nil {
		return err
	}
	a.printf("Runs:      %s\nArtifacts: %s\nPage:      %s\n", s.Database, s.Artifacts, s.UI.Name)
	if s.UI.Why != "" {
		a.printf("           (%s)\n", s.UI.Why)
	}
	if elsewhere != "" {
		a.printf("Note: new runs of this project are recorded at %s, not here\n", elsewhere)
	}
	a.printf("Listening at %s (Ctrl-C ends it)\n", s.URL())
	page := s.URL()
	if s.Login != "" {
		page = s.Login
		a.printf("Log in at    %s\n             (works once, for ten minutes; else the browser asks: any user, the token as password)\n", page)
	}
	if !open {
		return s.Serve(ctx)
	}
	return s.ServeAnd(ctx, func(ctx context.Context) {
		if err := a.openBrowser(ctx, page); err != nil && ctx.Err() == nil {
			// The page is served all the same.
			a.printer.Send(event.Event{Type: event.Warn, Text: err.Error() + ": " + errs.HintOf(err)})
		}
	})
}

// serverProject fills in what the project says, where there is one. It gives the
// server that the project's runs go to, if that is another one.
func (a *app) serverProject(ctx context.Context, o *experiment.TrackingServerOptions) (elsewhere string, err error) {
	if _, err := pipeline.FindRoot(a.Dir); err != nil {
		return "", nil
	}
	err = a.project(ctx, func(p *pipeline.Project) error {
		cfg := a.trackOptions(p).Config
		o.Root, o.Project, o.Experiment = p.Root, true, cfg.ExperimentName
		if u, err := url.Parse(cfg.URI); err == nil && strings.HasPrefix(u.Scheme, "http") {
			elsewhere = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
		}
		return nil
	})
	return elsewhere, err
}
