package experiment

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/internal/settings"
	"ctrx/internal/usage"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/tracking"
)

// lookEvery is how often the files of the stages that run are looked at.
const lookEvery = 500 * time.Millisecond

// liveOptions say what is logged while stages run.
type liveOptions struct {
	metrics     bool
	usage       bool
	sampleEvery time.Duration // of usage
}

// readLiveOptions takes ctrx.yaml and, over it, the variables that MLflow has
// for its system metrics.
func readLiveOptions(s settings.TrackingSettings, env func(string) string) (liveOptions, error) {
	o := liveOptions{metrics: s.Live, usage: s.SystemMetrics, sampleEvery: 10 * time.Second}
	const enable, interval = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"
	switch v := strings.ToLower(strings.TrimSpace(env(enable))); v {
	case "":
	case "true", "1":
		o.usage = true
	case "false", "0":
		o.usage = false
	default:
		return o, errs.New(errs.Usage, "%s is %q: it must be true or false", enable, v)
	}
	if v := strings.TrimSpace(env(interval)); v != "" {
		seconds, err := strconv.ParseFloat(v, 64)
		if err != nil || seconds <= 0 || seconds > 1e6 {
			return o, errs.New(errs.Usage, "%s is %q: it must be a number of seconds above 0", interval, v)
		}
		o.sampleEvery = max(time.Duration(seconds*float64(time.Second)), 10*time.Millisecond)
	}
	return o, nil
}

// live logs what stages write and use while they run. It is the Observer of the
// run's commands.
type live struct {
	project *pipeline.Project
	index   *pipeline.Index
	run     *tracking.Run
	options liveOptions
	now     func() time.Time
	ending  chan struct{}      // closed when nothing more is to be looked at
	cancel  context.CancelFunc // of what is on its way
	group   errgroup.Group

	mu      sync.Mutex
	running []*runningCommand
	retried []tracking.Tag // of stages that began again, not logged yet

	// Of the goroutine that looks at files, and after its end of the tracker.
	points  *points
	tails   map[string]*tail
	metrics map[string]fs.FileInfo // metrics files as they were read last, by rel path
}

// runningCommand is a command of a stage.
type runningCommand struct {
	stage *pipeline.Stage
	pid   int
	began time.Time
	ended bool // looked at once more, and then forgotten
}

// startLive begins to log. It is nil where nothing is to be logged.
func (t *tracker) startLive(ctx context.Context, o liveOptions) *live {
	if !o.metrics && !o.usage {
		return nil
	}
	// What was taken from a file is not taken again: it is sent although the run ends meanwhile.
	ctx, cancel := outlasting(ctx)
	l := &live{project: t.project, index: t.index, run: t.run, options: o, now: t.options.Config.Now, ending: make(chan struct{}), cancel: cancel,
		points: t.points, tails: map[string]*tail{}, metrics: map[string]fs.FileInfo{}}
	if o.metrics {
		l.group.Go(func() error { return l.repeat(ctx, lookEvery, l.look) })
	}
	if o.usage {
		meter := usage.NewMeter(ctx, t.project.Root, runtime.NumCPU(), time.Now())
		var step int64
		l.group.Go(func() error {
			return l.repeat(ctx, o.sampleEvery, func(ctx context.Context) error {
				sent, err := l.sample(ctx, meter, step)
				if sent {
					step++
				}
				return err
			})
		})
	}
	return l
}

// repeat calls f at an interval until the run ends, or f fails.
func (l *live) repeat(ctx context.Context, every time.Duration, f func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-l.ending:
			return nil
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := f(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// Began implements pipeline.Observer.
func (l *live) Began(s *pipeline.Stage, pid int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = append(l.running, &runningCommand{stage: s, pid: pid, began: at})
}

// attemptTag and the stage's address is the tag of a stage that was tried again.
// MLflow cannot take points back: it tells from when on they are of the attempt
// that counted.
const attemptTag = "ctrx.attempt."

// Retrying implements pipeline.Observer.
func (l *live) Retrying(s *pipeline.Stage, attempt int) {
	tag := tracking.Tag{Key: attemptTag + s.Address("."), Value: fmt.Sprintf("%d since %s", attempt, l.now().UTC().Format("2006-01-02T15:04:05.000Z"))}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retried = append(l.retried, tag)
}

// logRetries logs which stages began again since the last look.
func (l *live) logRetries(ctx context.Context) error {
	l.mu.Lock()
	tags := l.retried
	l.retried = nil
	l.mu.Unlock()
	if len(tags) == 0 {
		return nil
	}
	return l.run.SetTags(ctx, tags)
}

// Ended implements pipeline.Observer.
func (l *live) Ended(_ *pipeline.Stage, pid int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.running {
		if c.pid == pid {
			c.ended = true
		}
	}
}

// commands gives what runs now.
func (l *live) commands() (all []runningCommand) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.running {
		all = append(all, *c)
	}
	return all
}

// forget drops commands that had ended when they were looked at.
func (l *live) forget(seen []runningCommand) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = slices.DeleteFunc(l.running, func(c *runningCommand) bool {
		return slices.ContainsFunc(seen, func(s runningCommand) bool { return s.pid == c.pid && s.began.Equal(c.began) && s.ended })
	})
}

// stop ends the logging, after a last look at what commands wrote.
func (l *live) stop(ctx context.Context) error {
	if l == nil {
		return nil
	}
	err := l.end()
	if err == nil && l.options.metrics {
		err = l.look(ctx)
	}
	return err
}

// end waits until what is on its way has arrived.
func (l *live) end() error {
	defer l.cancel()
	close(l.ending)
	return l.group.Wait()
}

// abandon ends the logging of a run that never came to its results.
func (l *live) abandon() {
	l.cancel()
	_ = l.end()
}

// sample logs what the commands use, if any run.
func (l *live) sample(ctx context.Context, meter *usage.Meter, step int64) (sent bool, err error) {
	var leaders []int
	all := l.commands()
	for _, c := range all {
		if !c.ended {
			leaders = append(leaders, c.pid)
		}
	}
	if !l.options.metrics { // nobody else does
		l.forget(all)
	}
	if len(leaders) == 0 {
		return false, nil
	}
	var points []tracking.Metric
	for _, v := range meter.Measure(ctx, leaders, time.Now()) {
		points = append(points, tracking.Metric{Key: v.Key, Value: v.Value, Step: step, Time: l.now()})
	}
	return true, l.run.LogMetrics(ctx, points)
}

// look logs what stages that run have written since the last look.
func (l *live) look(ctx context.Context) error {
	if err := l.logRetries(ctx); err != nil {
		return err
	}
	running := l.commands()
	if len(running) == 0 {
		return nil
	}
	stages, began := make([]*pipeline.Stage, len(running)), running[0].began
	for i, c := range running {
		stages[i] = c.stage
		if c.began.Before(began) {
			began = c.began
		}
	}
	now := l.now()
	found := l.values(ctx, stages, began, now)
	for _, rel := range l.tables(stages) {
		name := l.project.Abs(rel)
		if !writtenSince(name, began) {
			continue
		}
		t := l.tails[rel]
		if t == nil {
			t = &tail{name: name, rel: rel, comma: delimiter(name)}
			l.tails[rel] = t
		}
		found = append(found, t.look(l.points, now)...)
	}
	if len(found) > 0 {
		if err := l.run.LogMetrics(ctx, found); err != nil {
			return err
		}
	}
	l.forget(running)
	return nil
}

// writtenSince tells whether a file was written since the stages began: an older one is
// of the run before. File systems keep times that lag a little.
func writtenSince(name string, began time.Time) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.ModTime().After(began.Add(-20*time.Millisecond))
}

// values gives changed values of metrics files. All files are read when one has
// changed, because a key that two of them have is named after its file.
func (l *live) values(ctx context.Context, stages []*pipeline.Stage, began time.Time, now time.Time) []tracking.Metric {
	var changed []string
	for _, rel := range l.metricsFiles(stages) {
		info, err := os.Stat(l.project.Abs(rel))
		if err != nil || !writtenSince(l.project.Abs(rel), began) {
			continue
		}
		if old := l.metrics[rel]; old == nil || !os.SameFile(old, info) || old.Size() != info.Size() || !old.ModTime().Equal(info.ModTime()) {
			changed = append(changed, rel)
			l.metrics[rel] = info
		}
	}
	if len(changed) == 0 {
		return nil
	}
	files, err := l.project.Metrics(ctx, l.index, nil)
	if err != nil {
		return nil
	}
	for _, rel := range changed {
		if !slices.ContainsFunc(files, func(f pipeline.FileValues) bool { return f.Path == rel }) { // DVCLive's, not declared
			data, err := os.ReadFile(l.project.Abs(rel))
			if err != nil {
				continue
			}
			if v, err := dvcfile.ReadData(rel, data); err == nil {
				files = append(files, pipeline.FileValues{Path: rel, Values: v})
			}
		}
	}
	// A file that is half written, or broken, has its turn when it changes.
	files = slices.DeleteFunc(files, func(f pipeline.FileValues) bool { return f.Err != nil })
	kept := slices.Clone(files)
	for i, f := range kept {
		if !slices.Contains(changed, f.Path) { // only its keys count
			kept[i].Values = unvalued(f.Values)
		}
	}
	all, err := l.points.values(kept, now)
	if err != nil {
		return nil
	}
	return all
}

// unvalued keeps the keys of a metrics file and none of its numbers.
func unvalued(v dvcfile.Value) dvcfile.Value {
	out := &dvcfile.Map{}
	for _, key := range dvcfile.Flatten(v).Keys() {
		out.Set(key, "")
	}
	return out
}

// metricsFiles lists the metrics files that stages may write.
func (l *live) metricsFiles(stages []*pipeline.Stage) []string {
	var rels []string
	for _, s := range stages {
		for _, o := range s.Outs {
			if o.Kind == dvcfile.Metric {
				rels = append(rels, o.Rel)
			}
		}
		rels = append(rels, path.Join(s.WDir, "dvclive/metrics.json"))
	}
	for _, pl := range l.index.Pipelines {
		for _, m := range pl.Metrics {
			rels = append(rels, path.Join(path.Dir(pl.File), m))
		}
	}
	slices.Sort(rels)
	return slices.Compact(rels)
}

// mostTables bounds the files of one look.
const mostTables = 1000

// tables lists the tables that stages may write: plots files, also those in
// folders, and DVCLive's.
func (l *live) tables(stages []*pipeline.Stage) []string {
	roots := l.index.Only(stages).PlotRoots()
	roots = append(roots, (&pipeline.Index{Pipelines: l.index.Pipelines}).PlotRoots()...)
	for _, s := range stages {
		roots = append(roots, path.Join(s.WDir, "dvclive/plots/metrics"))
	}
	var rels []string
	for _, root := range roots {
		_ = filepath.WalkDir(l.project.Abs(root), func(name string, d fs.DirEntry, err error) error {
			if err != nil || len(rels) >= mostTables {
				return fs.SkipAll // it is not there yet
			}
			switch path.Ext(name) {
			case ".csv", ".tsv", ".json", ".yaml", ".yml":
			default:
				return nil
			}
			if below, err := filepath.Rel(l.project.Abs(root), name); err == nil && !d.IsDir() {
				rels = append(rels, path.Join(root, filepath.ToSlash(below)))
			}
			return nil
		})
	}
	slices.Sort(rels)
	return slices.Compact(rels)
}
