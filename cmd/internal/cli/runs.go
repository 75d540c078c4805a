package cli

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ctrx/experiment"
	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/report"
	"ctrx/tracking"
)

// trackOptions says where the runs of a project go: MLflow's own environment
// variables win over ctrx.yaml; without either the embedded store is used.
func (a *app) trackOptions(p *pipeline.Project) experiment.TrackOptions {
	cfg := tracking.Config{
		URI: a.env("MLFLOW_TRACKING_URI"), ExperimentName: a.env("MLFLOW_EXPERIMENT_NAME"), Dir: p.Root,
		OnError: tracking.OnError(p.Ctrx.Tracking.OnError), Env: a.env, Now: a.Now, Sink: a.printer,
		UserAgent: "ctrx/" + Version, ObjectStore: experiment.ObjectStore(a.env),
	}
	if cfg.URI == "" {
		cfg.URI = p.Ctrx.Tracking.URI
	}
	if cfg.ExperimentName == "" {
		cfg.ExperimentName = p.Ctrx.Tracking.Experiment
	}
	if cfg.ExperimentName == "" {
		cfg.ExperimentName = experiment.DefaultExperimentName(p)
	}
	return experiment.TrackOptions{Config: cfg, User: a.userName(), Version: Version}
}

func (a *app) userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return a.env("USER")
}

// tracked opens the project's tracking store and runs f with it.
func (a *app) tracked(ctx context.Context, f func(runStore) error) error {
	return a.project(ctx, func(p *pipeline.Project) error {
		cfg := a.trackOptions(p).Config
		client, err := tracking.Open(ctx, cfg)
		if err != nil {
			return err
		}
		return errors.Join(f(runStore{client, cfg.ExperimentName}), client.Close())
	})
}

// runStore is a tracking store with the name of the project's experiment.
type runStore struct {
	*tracking.Client
	experiment string
}

func (a *app) runsCommand() *cobra.Command {
	c := &cobra.Command{Use: "runs", Short: "Look at the MLflow runs of this project, and bring back what they saw"}
	c.AddCommand(a.runsListCommand(), a.runsShowCommand(), a.runsCompareCommand(), a.runsDiffCommand(), a.runsCheckoutCommand(), a.runsRerunCommand())
	return c
}

func (a *app) runsListCommand() *cobra.Command {
	var q tracking.RunQuery
	var asJSON, md bool
	c := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List runs, newest first", Args: cobra.NoArgs,
		Example: "  ctrx runs list --filter \"metrics.auc > 0.7\" --order-by \"metrics.auc DESC\"",
		RunE: func(c *cobra.Command, _ []string) error {
			a.json = asJSON
			return a.tracked(c.Context(), func(client runStore) error {
				runs, err := runsOf(c.Context(), client, q)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(runsJSON(runs))
				}
				if len(runs) == 0 && q.Filter != "" {
					a.printf("No run matches the filter.\n")
					return nil
				}
				a.printRuns(runs, md)
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringVar(&q.Filter, "filter", "", "MLflow search `expression`")
	f.StringArrayVar(&q.OrderBy, "order-by", nil, "MLflow order `clause`; may be repeated")
	f.IntVarP(&q.Max, "max", "n", 50, "number of runs at the most")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&md, "md", false, "print a Markdown table")
	c.MarkFlagsMutuallyExclusive("json", "md")
	return c
}

// runsOf searches the runs of the project's experiment; none of it yet is an
// empty list.
func runsOf(ctx context.Context, client runStore, q tracking.RunQuery) ([]tracking.RunRecord, error) {
	exp, err := client.ExperimentByName(ctx, client.experiment)
	if errs.KindOf(err) == errs.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	q.Experiments = []string{exp.ID}
	page, err := client.SearchRuns(ctx, q)
	return page.Runs, err
}

func (a *app) printRuns(runs []tracking.RunRecord, md bool) {
	rows := [][]string{{"Run", "Name", "Status", "Started", "Duration", "Metrics"}}
	for _, r := range runs {
		rows = append(rows, []string{r.ID[:8], cell(r.Name, md), string(r.Status), startOf(r, "2006-01-02 15:04"), durationOf(r), cell(metricsText(r), md)})
	}
	if len(runs) == 0 {
		a.printf("No runs yet. Make one: ctrx exp run\n")
		return
	}
	if md {
		a.printTable(report.Table{Header: rows[0], Rows: rows[1:]}, true)
		return
	}
	a.printf("%s", a.table(rows))
}

// startOf is when a run began; other programs may not have said it.
func startOf(r tracking.RunRecord, layout string) string {
	if r.StartTime.IsZero() {
		return "-"
	}
	return r.StartTime.Local().Format(layout)
}

func durationOf(r tracking.RunRecord) string {
	if r.StartTime.IsZero() || r.EndTime.IsZero() {
		return "-"
	}
	return r.EndTime.Sub(r.StartTime).Round(100 * time.Millisecond).String()
}

func metricsText(r tracking.RunRecord) string {
	var parts []string
	for _, m := range r.Metrics {
		parts = append(parts, m.Key+"="+formatNumber(m.Value))
	}
	slices.Sort(parts)
	const most = 4
	if len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("+%d", len(parts)-most))
	}
	return strings.Join(parts, " ")
}

func formatNumber(f float64) string { return strconv.FormatFloat(f, 'g', 6, 64) }

func (a *app) runsShowCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show RUN", Short: "Show a run: id, the start of one, a name, or an address", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			a.json = asJSON
			return a.onRun(c.Context(), args[0], func(_ *pipeline.Project, _ runStore, run tracking.RunRecord) error {
				if asJSON {
					return a.printJSON(runsJSON([]tracking.RunRecord{run})[0])
				}
				a.printRunRecord(run)
				return nil
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// onRun finds a run by what the user calls it and runs f with it. An address
// chooses the server too: credentials of the environment go only to the server
// that the project uses.
func (a *app) onRun(ctx context.Context, name string, f func(*pipeline.Project, runStore, tracking.RunRecord) error) error {
	return a.onRuns(ctx, []string{name}, func(p *pipeline.Project, client runStore, runs []tracking.RunRecord) error {
		return f(p, client, runs[0])
	})
}

// onRuns is onRun for several runs of one server.
func (a *app) onRuns(ctx context.Context, names []string, f func(*pipeline.Project, runStore, []tracking.RunRecord) error) error {
	refs := make([]tracking.RunRef, len(names))
	for i, name := range names {
		var err error
		if refs[i], err = tracking.ParseRunRef(name); err != nil {
			return err
		}
	}
	return a.project(ctx, func(p *pipeline.Project) error {
		cfg := a.trackOptions(p).Config.For(refs...)
		client, err := tracking.Open(ctx, cfg)
		if err != nil {
			return err
		}
		runs := make([]tracking.RunRecord, len(refs))
		for i, ref := range refs {
			if runs[i], err = client.FindRun(ctx, cfg.ExperimentName, ref); err != nil {
				return errors.Join(err, client.Close())
			}
		}
		return errors.Join(f(p, runStore{client, cfg.ExperimentName}, runs), client.Close())
	})
}

func (a *app) printRunRecord(r tracking.RunRecord) {
	rows := [][]string{
		{"Run", r.ID}, {"Name", r.Name}, {"Status", string(r.Status)}, {"User", r.User},
		{"Started", startOf(r, time.DateTime)}, {"Duration", durationOf(r)}, {"Artifacts", r.ArtifactURI},
	}
	a.printf("%s", a.table(rows))
	section := func(title string, pairs [][]string) {
		if len(pairs) == 0 {
			return
		}
		slices.SortFunc(pairs, func(x, y []string) int { return strings.Compare(x[0], y[0]) })
		a.printf("\n%s\n%s", title, a.table(pairs))
	}
	var params, metrics, tags, data [][]string
	for _, p := range r.Params {
		params = append(params, []string{"  " + p.Key, shorten(p.Value)})
	}
	for _, m := range r.Metrics {
		metrics = append(metrics, []string{"  " + m.Key, formatNumber(m.Value), "step " + strconv.FormatInt(m.Step, 10)})
	}
	for _, t := range r.Tags {
		tags = append(tags, []string{"  " + t.Key, shorten(t.Value)})
	}
	for _, d := range r.Datasets {
		data = append(data, []string{"  " + d.Name, d.Digest})
	}
	section("Metrics", metrics)
	section("Parameters", params)
	section("Data", data)
	section("Tags", tags)
}

// shorten keeps a table readable; --json has the whole value.
func shorten(s string) string {
	s = oneLine(s)
	if r := []rune(s); len(r) > 80 {
		return string(r[:77]) + "..."
	}
	return s
}

// runJSON is a run as --json prints it (docs/json-output.md).
type runJSON struct {
	ID         string            `json:"run_id"`
	Experiment string            `json:"experiment_id"`
	Name       string            `json:"name"`
	Status     string            `json:"status"`
	User       string            `json:"user"`
	Start      *time.Time        `json:"start_time"`
	End        *time.Time        `json:"end_time"`
	Artifacts  string            `json:"artifact_uri"`
	Metrics    map[string]any    `json:"metrics"`
	Params     map[string]string `json:"params"`
	Tags       map[string]string `json:"tags"`
	Data       []datasetJSON     `json:"datasets"`
}

type datasetJSON struct {
	Name       string `json:"name"`
	Digest     string `json:"digest"`
	SourceType string `json:"source_type"`
	Source     string `json:"source"`
	Context    string `json:"context"`
}

func runsJSON(runs []tracking.RunRecord) []runJSON {
	out := []runJSON{}
	for _, r := range runs {
		j := runJSON{
			ID: r.ID, Experiment: r.ExperimentID, Name: r.Name, Status: string(r.Status), User: r.User,
			Artifacts: r.ArtifactURI, Metrics: map[string]any{}, Params: map[string]string{}, Tags: map[string]string{}, Data: []datasetJSON{},
		}
		for _, d := range r.Datasets {
			j.Data = append(j.Data, datasetJSON{d.Name, d.Digest, d.SourceType, d.Source, d.Context})
		}
		if !r.StartTime.IsZero() {
			j.Start = &r.StartTime
		}
		if !r.EndTime.IsZero() {
			j.End = &r.EndTime
		}
		for _, m := range r.Metrics {
			j.Metrics[m.Key] = jsonNumber(m.Value)
		}
		for _, p := range r.Params {
			j.Params[p.Key] = p.Value
		}
		for _, t := range r.Tags {
			j.Tags[t.Key] = t.Value
		}
		out = append(out, j)
	}
	return out
}

// jsonNumber writes what JSON has no number for as MLflow does: as a text.
func jsonNumber(f float64) any {
	if f != f || f-f != 0 {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return f
}
