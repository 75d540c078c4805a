package experiment

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/interrupt"
	"ctrx/pipeline"
	"ctrx/tracking"
)

// TrackOptions says whether and where a run is recorded in MLflow.
type TrackOptions struct {
	Off     bool
	Config  tracking.Config // URI, experiment name, project folder, environment
	User    string
	Version string         // of ctrx, for the tag ctrx.version
	Tags    []tracking.Tag // more tags for the run
}

// TrackedRun is what became of the MLflow run.
type TrackedRun struct {
	RunID        string
	ExperimentID string
	Experiment   string // its name
	URI          string // tracking URI without secrets
	URL          string // page of the run in the server's UI; "" for the embedded store
	Status       tracking.Status
	Spooled      bool // kept on disk because the server was down
}

// runDescription names a run before it starts.
type runDescription struct {
	Name  string            // run name
	Head  gitops.Head       // zero without Git
	Dirty bool              // the work tree differed from Head
	Ref   string            // experiment ref, "" for repro
	Entry string            // "exp run", "repro"
	Home  *pipeline.Project // the user's project, where that is another than the one that runs
	Steps []pipeline.Step   // of the plan
	Ended bool              // nothing will be run
}

// tracker is the MLflow side of one run. With tracking off its methods do
// nothing.
type tracker struct {
	project *pipeline.Project
	index   *pipeline.Index
	options TrackOptions
	client  *tracking.Client
	run     *tracking.Run
	stop    func() error
	env     []string
	earlier *earlierRuns // nil while the run itself is spooled
	points  *points
	live    *live // nil where nothing is logged while stages run

	description runDescription
	seen        seen     // as it was logged last
	files       []string // that were logged as artifacts under their own paths
}

// cleanUpTime bounds what is still sent after the run's context has ended.
const cleanUpTime = 30 * time.Second

// outlasting gives a context for the end of a run, which is recorded also when ctx
// ends, before or meanwhile: it goes on for cleanUpTime after that, or until a
// second signal comes.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	after, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(cleanUpTime)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-interrupt.Again(ctx):
		case <-after.Done():
		}
		cancel(context.Cause(ctx))
	})
	return after, func() {
		stop()
		cancel(nil)
	}
}

// startTracking opens the MLflow run and logs the parameters as they are now,
// with the overrides applied.
func startTracking(ctx context.Context, p *pipeline.Project, ix *pipeline.Index, d runDescription, o TrackOptions) (*tracker, error) {
	t := &tracker{project: p, index: ix, options: o, stop: func() error { return nil }, description: d, points: newPoints()}
	if o.Off {
		return t, nil
	}
	liveOptions, err := readLiveOptions(p.Ctrx.Tracking, o.Config.Env)
	if err != nil {
		return nil, err
	}
	client, err := tracking.Open(ctx, o.Config)
	if err != nil {
		return nil, fmt.Errorf("open tracking: %w", err)
	}
	t.client = client
	if err := hideStore(cmp.Or(d.Home, p), client); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	if t.run, err = client.StartRun(ctx, tracking.RunSpec{Name: d.Name, User: o.User, Tags: t.startTags(d), StartTime: o.Config.Now()}); err != nil {
		return nil, errors.Join(fmt.Errorf("start the MLflow run: %w", err), client.Close())
	}
	if !t.run.Spooled() {
		t.earlier = settleEarlier(ctx, cmp.Or(d.Home, p), o.Config)
	}
	params, err := t.params(ctx)
	if err == nil {
		err = t.run.LogParams(ctx, params)
	}
	if err == nil && !d.Ended {
		err = t.logStart(ctx)
	}
	if err == nil && !d.Ended {
		err = t.exposeToStages(ctx)
	}
	if err != nil {
		t.abandon(ctx)
		return nil, fmt.Errorf("log parameters to MLflow: %w", err)
	}
	t.live = t.startLive(ctx, liveOptions)
	if liveOptions.usage { // else an MLflow client in a stage would log the same once more
		t.env = append(t.env, "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING=false")
	}
	return t, nil
}

// hideStore keeps the embedded store out of Git. The entry goes into
// .git/info/exclude, so that recording a run does not itself change a tracked
// file; DVC, which skips what Git ignores, does not take the dvc.yaml files
// among the artifacts for stages.
func hideStore(p *pipeline.Project, client *tracking.Client) error {
	if !client.Embedded() || p.Git == nil {
		return nil
	}
	for _, name := range []string{"mlflow.db", "mlflow.db-wal", "mlflow.db-shm", "mlartifacts"} {
		if p.GitIgnored(name, name == "mlartifacts") {
			continue
		}
		if err := p.Git.Exclude("/" + p.GitPath(name)); err != nil {
			return fmt.Errorf("keep the embedded MLflow store out of Git: %w", err)
		}
	}
	return nil
}

// abandon ends a run that never got to its stages.
func (t *tracker) abandon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	_ = t.run.Finish(ctx, tracking.Failed, t.options.Config.Now())
	t.close(ctx)
}

// exposeToStages makes mlflow.log_metric in training code land in this run.
// A spooled run has no server to log to, so nothing is set for it.
func (t *tracker) exposeToStages(ctx context.Context) error {
	if t.run.Spooled() {
		return nil
	}
	uri, stop, err := t.client.Serve(ctx)
	if err != nil {
		return err
	}
	t.stop = stop
	t.env = []string{"MLFLOW_TRACKING_URI=" + uri, "MLFLOW_EXPERIMENT_ID=" + t.run.ExperimentID(), "MLFLOW_RUN_ID=" + t.run.ID()}
	return nil
}

// Environ is what stage commands see of the run.
func (t *tracker) Environ() []string { return t.env }

// observer is told of the commands of stages.
func (t *tracker) observer() pipeline.Observer {
	if t.live == nil {
		return nil
	}
	return t.live
}

func (t *tracker) close(ctx context.Context) {
	if t.client == nil {
		return
	}
	if t.live != nil { // the run never came to its results
		t.live.abandon()
		t.live = nil
	}
	t.earlier.end(ctx)
	if err := errors.Join(t.stop(), t.client.Close()); err != nil {
		t.project.Warn("close tracking: %v", err)
	}
	t.client = nil
}

// startTags are the tags of every run.
func (o TrackOptions) startTags(entry string) []tracking.Tag {
	return []tracking.Tag{
		{Key: "mlflow.user", Value: o.User}, // where MLflow's UI and client look for it
		{Key: "mlflow.source.type", Value: "LOCAL"},
		{Key: "mlflow.source.name", Value: "dvc.yaml"},
		{Key: "mlflow.project.entryPoint", Value: entry},
		{Key: "ctrx.version", Value: o.Version},
	}
}

// startTags are the tags known before the first stage runs.
func (t *tracker) startTags(d runDescription) []tracking.Tag {
	tags := append(t.options.startTags(d.Entry), t.options.Tags...)
	if d.Ref != "" {
		tags = append(tags, tracking.Tag{Key: "ctrx.experiment", Value: d.Name}, tracking.Tag{Key: refTag, Value: d.Ref})
	}
	if d.Head.Commit == "" {
		return tags
	}
	tags = append(tags, tracking.Tag{Key: baseTag, Value: d.Head.Commit})
	if d.Head.Branch != "" {
		tags = append(tags, tracking.Tag{Key: "mlflow.source.git.branch", Value: d.Head.Branch})
	}
	if url, ok := t.project.Git.RemoteURL("origin"); ok {
		tags = append(tags, tracking.Tag{Key: "mlflow.source.git.repoURL", Value: redactGit(url)})
	}
	return append(tags, tracking.Tag{Key: "mlflow.source.git.dirty", Value: fmt.Sprint(d.Dirty)})
}

// finish logs the results and ends the run. The run's own error wins over one
// of the tracking server, which is only warned about unless tracking.on_error
// says that it fails the run.
func (t *tracker) finish(ctx context.Context, outcome *Outcome, runErr error) (*TrackedRun, error) {
	if t.client == nil {
		return nil, runErr
	}
	status := tracking.Finished
	switch kind := errs.KindOf(runErr); {
	case runErr == nil:
	case kind == errs.Interrupted || kind == errs.Terminated:
		status = tracking.Killed
	default:
		status = tracking.Failed
	}
	ctx, cancel := outlasting(ctx)
	defer cancel()
	err := t.live.stop(ctx)
	t.live = nil
	err = errors.Join(err, t.logResults(ctx, outcome, status))
	err = errors.Join(err, t.run.Finish(ctx, status, t.options.Config.Now()))
	tracked := &TrackedRun{
		RunID: t.run.ID(), ExperimentID: t.run.ExperimentID(), Experiment: t.options.Config.ExperimentName,
		URI: t.client.URI(), URL: t.run.URL(), Status: status, Spooled: t.run.Spooled(),
	}
	if runErr != nil {
		if err != nil {
			t.project.Warn("the MLflow run is incomplete: %v", err)
		}
		return tracked, runErr
	}
	if err != nil {
		return tracked, fmt.Errorf("record the results in MLflow: %w", err)
	}
	return tracked, nil
}

// logResults sends metrics, their histories, late tags, inputs and artifacts.
func (t *tracker) logResults(ctx context.Context, outcome *Outcome, status tracking.Status) error {
	now := t.options.Config.Now()
	results := t.index
	if status != tracking.Finished { // what other stages left are results of an earlier run
		results = t.index.Only(nil)
		if outcome.Result != nil {
			results = t.index.Only(outcome.Result.Settled)
		}
	}
	metrics, err := t.metrics(ctx, results, now)
	if err != nil {
		return err
	}
	var tags []tracking.Tag
	if outcome.Commit != "" {
		tags = append(tags, tracking.Tag{Key: commitTag, Value: outcome.Commit})
	}
	if digest := lockDigest(t.project); digest != "" {
		tags = append(tags, tracking.Tag{Key: lockTag, Value: digest})
	}
	var done []pipeline.StageDone
	if outcome.Result != nil {
		done = outcome.Result.Done
	}
	return errors.Join(
		t.logStageLogs(ctx, done),
		t.run.LogMetrics(ctx, metrics),
		t.run.SetTags(ctx, tags),
		t.run.LogInputs(ctx, t.inputs(results.Stages)),
		t.logArtifacts(ctx),
		t.logProvenance(ctx, outcome, results.Stages),
	)
}

// lockDigest is the MD5 of the dvc.lock where the user stands, or of the root.
func lockDigest(p *pipeline.Project) string {
	return cmp.Or(fileMD5(p.Abs(path.Join(p.Dir, "dvc.lock"))), fileMD5(p.Abs("dvc.lock")))
}

// fileMD5 is "" where there is no such file.
func fileMD5(name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

func (t *tracker) logArtifacts(ctx context.Context) error {
	var all error
	files, err := t.artifactFiles(ctx)
	if err != nil {
		return err
	}
	for _, rel := range files {
		if err := t.run.LogFile(ctx, artifactPath(rel), t.project.Abs(rel)); err != nil {
			all = errors.Join(all, fmt.Errorf("log artifact %s: %w", rel, err))
		} else if artifactPath(rel) == rel {
			t.files = append(t.files, rel)
		}
	}
	return all
}

// artifactPath keeps a file's place in the project; what lies outside it goes
// by its base name.
func artifactPath(rel string) string {
	if filepath.IsAbs(rel) || strings.HasPrefix(rel, "../") {
		return path.Base(rel)
	}
	return rel
}

// DefaultExperimentName names the MLflow experiment after the repository.
func DefaultExperimentName(p *pipeline.Project) string {
	if p.Git != nil {
		if url, ok := p.Git.RemoteURL("origin"); ok {
			url = strings.TrimSuffix(strings.TrimRight(url, "/"), ".git")
			if name := url[strings.LastIndexAny(url, "/:")+1:]; strings.Trim(name, ".") != "" {
				return name
			}
		}
	}
	return filepath.Base(p.Root)
}
