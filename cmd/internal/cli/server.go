package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/experiment"
	"ctrx/pipeline"
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
	f.BoolVar(&o.AllowLocalRoots, "allow-local-roots", false, "let clients name folders as artifact roots of experiments")
}

func (a *app) serverCommand() *cobra.Command {
	var o experiment.TrackingServerOptions
	c := &cobra.Command{
		Use: "server", Short: "Serve the runs of this project as an MLflow tracking server", Args: cobra.NoArgs,
		Long: "Answers MLflow's REST API on the files that ctrx and MLflow share: mlflow.db and\nmlartifacts of the project, or those that the flags name. Ends with Ctrl-C.",
		Example: "  ctrx server --port 5000\n" +
			"  MLFLOW_TRACKING_URI=http://127.0.0.1:5000 python train.py",
		RunE: func(c *cobra.Command, _ []string) error { return a.serve(c.Context(), o) },
	}
	a.serverFlags(c.Flags(), &o)
	return c
}

// serve listens, tells where, and serves until the command is interrupted,
// which is how a server ends: it is no failure.
func (a *app) serve(ctx context.Context, o experiment.TrackingServerOptions) error {
	o.Dir, o.Env, o.Now = a.Dir, a.env, a.Now
	if root, err := pipeline.FindRoot(a.Dir); err == nil {
		o.Root = root
	}
	if o.Token == "" {
		o.Token = a.env("CTRX_SERVER_TOKEN")
	}
	s, err := experiment.ListenTracking(ctx, o)
	if err != nil {
		return err
	}
	a.printf("Runs:      %s\nArtifacts: %s\nListening at %s (Ctrl-C ends it)\n", s.Database, s.Artifacts, s.URL())
	return s.Serve(ctx)
}
