package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"ctrx/experiment/queue"
	"ctrx/pipeline"
	"ctrx/tracking"
)

func (a *app) trackingCommand() *cobra.Command {
	c := &cobra.Command{Use: "tracking", Short: "Look after the connection to MLflow, and move runs between servers"}
	c.AddCommand(a.trackingSyncCommand(), a.trackingMoveCommand("export", "Write experiments with their runs into a folder",
		"Written "), a.trackingMoveCommand("import", "Bring an export to the tracking server", "Brought "))
	return c
}

// syncJSON is what `tracking sync --json` prints (docs/json-output.md).
type syncJSON struct {
	Sent   []sentJSON   `json:"sent"`
	Reaped []reapedJSON `json:"ended"`
	Left   int          `json:"left"`
}

type sentJSON struct {
	Key string `json:"key"`
	ID  string `json:"run_id"`
	URI string `json:"uri"`
}

type reapedJSON struct {
	ID     string `json:"run_id"`
	URI    string `json:"uri"`
	Status string `json:"status"`
}

func (a *app) trackingSyncCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "sync", Short: "Send the runs that were kept on disk while the server was down", Args: cobra.NoArgs,
		Long: "Send the runs that were kept on disk while the server was down, and give runs\nwhose process was killed their end. The next run of an experiment does the same.",
		RunE: func(c *cobra.Command, _ []string) error {
			a.json = asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				o := a.trackOptions(p)
				r, err := tracking.Sync(c.Context(), o.Config)
				if err == nil {
					err = queue.SettleGrids(c.Context(), p, a.Now, o)
				}
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(syncedJSON(r))
				}
				for _, run := range r.Runs {
					p.Info("Sent run %s to %s", run.ID, run.URI)
				}
				if len(r.Runs) == 0 && r.Left == 0 {
					p.Info("Nothing to send.")
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func syncedJSON(r tracking.SyncResult) syncJSON {
	out := syncJSON{Sent: []sentJSON{}, Reaped: []reapedJSON{}, Left: r.Left}
	for _, run := range r.Runs {
		out.Sent = append(out.Sent, sentJSON{run.Key, run.ID, run.URI})
	}
	for _, run := range r.Reaped {
		out.Reaped = append(out.Reaped, reapedJSON{run.ID, run.URI, string(run.Status)})
	}
	return out
}

// movedJSON is what `tracking export|import --json` print (docs/json-output.md).
type movedJSON struct {
	Experiments int   `json:"experiments"`
	Runs        int   `json:"runs"`
	Unchanged   int   `json:"unchanged"`
	Artifacts   int   `json:"artifacts"`
	Bytes       int64 `json:"bytes"`

	LoggedModels     int            `json:"logged_models"`
	Traces           int            `json:"traces"`
	RegisteredModels int            `json:"registered_models"`
	ModelVersions    int            `json:"model_versions"`
	NotMoved         []notMovedJSON `json:"not_moved"`
}

type notMovedJSON struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

func moveJSON(m tracking.Moved) movedJSON {
	out := movedJSON{m.Experiments, m.Runs, m.Unchanged, m.Artifacts, m.Bytes, m.LoggedModels, m.Traces, m.RegisteredModels, m.ModelVersions, []notMovedJSON{}}
	for _, n := range m.NotMoved {
		out.NotMoved = append(out.NotMoved, notMovedJSON(n))
	}
	return out
}

func (a *app) trackingMoveCommand(name, short, done string) *cobra.Command {
	var o tracking.MoveOptions
	var asJSON bool
	c := &cobra.Command{
		Use: name + " DIR", Short: short, Args: cobra.ExactArgs(1),
		Long: short + ".\n\nParameters, tags, whole histories of metrics, dataset inputs and artifacts go along,\n" +
			"and children stay with their parents. It can be repeated, and goes on where it was\ncut off. The server is that of MLFLOW_TRACKING_URI, ctrx.yaml or the embedded one.",
		Example: "  ctrx tracking export runs\n  MLFLOW_TRACKING_URI=http://mlflow.example:5000 ctrx tracking import runs --experiment ctr",
		RunE: func(c *cobra.Command, args []string) error {
			a.json = asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				o.Dir = a.path(args[0])
				move := tracking.Export
				if name == "import" {
					move = tracking.Import
				}
				m, err := move(c.Context(), a.trackOptions(p).Config, o)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(moveJSON(m))
				}
				p.Info("%s", done+fmt.Sprintf("%d run(s) of %d experiment(s) with %d artifact(s); %d were there already", m.Runs, m.Experiments, m.Artifacts, m.Unchanged))
				if m.LoggedModels+m.Traces+m.RegisteredModels+m.ModelVersions > 0 {
					p.Info("%s", done+fmt.Sprintf("%d logged model(s), %d trace(s), %d registered model(s) with %d version(s)", m.LoggedModels, m.Traces, m.RegisteredModels, m.ModelVersions))
				}
				for _, n := range m.NotMoved {
					p.Warn("Not moved: %s: %s", n.What, n.Why)
				}
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringArrayVar(&o.Experiments, "experiment", nil, "only the experiment of this `name`; may be repeated")
	f.BoolVar(&o.Deleted, "deleted", false, "deleted experiments and runs, too")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
