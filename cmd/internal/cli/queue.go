package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/experiment/queue"
	"ctrx/internal/errs"
	"ctrx/pipeline"
)

func (a *app) queueCommand() *cobra.Command {
	c := &cobra.Command{Use: "queue", Short: "Run queued experiments, and look after them"}
	c.AddCommand(a.queueStartCommand(), a.queueStopCommand(), a.queueStatusCommand(), a.queueLogsCommand(), a.queueRemoveCommand(),
		a.queueKillCommand(), a.queueRetryCommand(), a.queuePauseCommand(), a.queueResumeCommand(), a.queueWorkerCommand(), a.queueRunCommand())
	return c
}

// queue opens the project's queue and runs f with it.
func (a *app) queue(ctx context.Context, f func(*pipeline.Project, *queue.Queue) error) error {
	return a.project(ctx, func(p *pipeline.Project) error {
		q, err := queue.Open(p, a.Now)
		if err != nil {
			return err
		}
		err = f(p, q)
		if err == nil && a.settles {
			err = q.SettleGrids(ctx, a.trackOptions(p))
		}
		return err
	})
}

func workerFlags(f *pflag.FlagSet, attempts *int, failFast *bool) {
	f.IntVar(attempts, "max-attempts", queue.DefaultMaxAttempts, "how often an experiment is tried whose worker dies")
	f.BoolVar(failFast, "fail-fast", false, "after a failed experiment start no other one")
}

func (a *app) enqueue(ctx context.Context, p *pipeline.Project, o *expRun) error {
	q, err := queue.Open(p, a.Now)
	if err != nil {
		return err
	}
	added, err := q.Put(ctx, o.put())
	if err != nil {
		return err
	}
	for _, e := range added {
		if len(e.Overrides) > 0 {
			p.Info("Queueing with overrides '%s'.", overridesText(e.Overrides))
		}
		p.Info("Queued experiment '%s' for future execution.", e.Name)
	}
	return nil
}

func (a *app) runTemp(ctx context.Context, p *pipeline.Project, o *expRun) error {
	q, err := queue.Open(p, a.Now)
	if err != nil {
		return err
	}
	outcome, err := q.RunTemp(ctx, o.put(), queue.RunOptions{
		Args: a.args, Env: a.Env, Sink: a.printer, Stdio: o.Stdio, Jobs: o.Jobs, GPUs: o.GPUs, Tracking: o.Tracking, Push: o.Push,
	})
	if err != nil || a.quiet {
		return err
	}
	a.howToApply([]string{outcome.Name})
	a.printf("\n")
	a.printResults(p, outcome)
	return nil
}

func (a *app) runAll(ctx context.Context, p *pipeline.Project, o *expRun) error {
	q, err := queue.Open(p, a.Now)
	if err != nil {
		return err
	}
	start, err := a.startOptions(o.Jobs, o.attempts, o.failFast, o.GPUs)
	if err != nil {
		return err
	}
	p.Info("Following logs for all queued experiments. Use Ctrl+C to stop following logs (experiment execution will continue).\n")
	logs := a.Out
	if a.quiet {
		logs = io.Discard
	}
	tasks, err := q.RunAll(ctx, start, logs)
	if err == nil { // the last run may not have come to it
		err = q.SettleGrids(ctx, o.Tracking)
	}
	if err != nil {
		return err
	}
	var ran, failed []string
	for _, t := range tasks {
		switch t.State {
		case queue.Success:
			ran = append(ran, t.Name)
		case queue.Failed:
			failed = append(failed, t.Name)
		}
	}
	if len(failed) > 0 {
		fmt.Fprintf(a.Err, "ERROR: %s\n", failedText(failed))
	}
	if !a.quiet {
		a.howToApply(ran)
	}
	return nil
}

func (a *app) startOptions(jobs, attempts int, failFast bool, gpus []string) (queue.StartOptions, error) {
	var o queue.StartOptions
	if len(a.Program) == 0 {
		return o, errs.New(errs.Failed, "workers cannot be started: the path of this program is unknown")
	}
	if jobs < 1 || attempts < 1 {
		return o, errs.New(errs.Usage, "the number of workers and of attempts begins with 1")
	}
	gpus, err := queue.ParseGPUs(gpus)
	return queue.StartOptions{Jobs: jobs, Program: a.Program, Env: a.Env, MaxAttempts: attempts, FailFast: failFast, GPUs: gpus}, err
}

func (a *app) queueStartCommand() *cobra.Command {
	var jobs, slots, attempts, stages int
	var failFast bool
	var gpus []string
	c := &cobra.Command{
		Use: "start", Short: "Start workers that run what is queued", Args: cobra.NoArgs,
		Long: "Start workers that run what is queued.\n\nThey live on when the terminal is closed, and end when nothing waits and nothing runs. A run whose\n" +
			"worker dies goes back into the queue, and the next worker takes it.",
		Example: "  ctrx queue start -j 2\n  ctrx queue start --gpus 0-3 --slots 2     # two at a time, each with two GPUs",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.queue(c.Context(), func(p *pipeline.Project, q *queue.Queue) error {
				if slots > 0 {
					jobs = slots
				}
				o, err := a.startOptions(jobs, attempts, failFast, gpus)
				if err != nil {
					return err
				}
				o.StageJobs = stages
				n, err := q.Start(c.Context(), o)
				if err != nil {
					return err
				}
				plural := ""
				if n > 1 {
					plural = "s"
				}
				a.printf("Started '%d' new experiments task queue worker%s.\n", n, plural)
				if q.Paused() {
					p.Warn("The queue is paused: workers wait for `ctrx queue resume`")
				}
				return nil
			})
		},
	}
	f := c.Flags()
	f.IntVarP(&jobs, "jobs", "j", 1, "number of workers, those that are there included")
	f.IntVar(&slots, "slots", 0, "the same; reads better with --gpus")
	f.IntVar(&stages, "stage-jobs", 1, "number of stages that run at the same time within an experiment")
	f.StringSliceVar(&gpus, "gpus", nil, "`GPUs` to share out among the workers, as in 0-3 or 0,2")
	workerFlags(f, &attempts, &failFast)
	c.MarkFlagsMutuallyExclusive("jobs", "slots")
	return c
}

func (a *app) queueStopCommand() *cobra.Command {
	var kill bool
	c := &cobra.Command{
		Use: "stop", Short: "Let workers end after what they run", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.queue(c.Context(), func(_ *pipeline.Project, q *queue.Queue) error {
				if _, err := q.Stop(c.Context(), kill); err != nil {
					return err
				}
				if kill {
					a.printf("All running tasks in the queue have been killed. Queue workers are stopping.\n")
				} else {
					a.printf("Queue workers will stop after running tasks finish.\n")
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&kill, "kill", false, "end what runs now")
	return c
}

func (a *app) queueStatusCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "status", Short: "Show what waits, runs and has ended, and the workers", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a.json = asJSON
			return a.queue(c.Context(), func(_ *pipeline.Project, q *queue.Queue) error {
				tasks, err := q.Tasks(c.Context())
				if err != nil {
					return err
				}
				workers, err := q.Workers()
				if err != nil {
					return err
				}
				tasks = slices.DeleteFunc(tasks, func(t queue.Task) bool { return t.ID == "" })
				if asJSON {
					return a.printJSON(queueJSON(tasks, workers, q.Paused()))
				}
				a.printQueue(tasks, workers, q.Paused())
				return nil
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// printQueue prints DVC's table, with a column for what there is to say besides.
func (a *app) printQueue(tasks []queue.Task, workers []queue.Worker, paused bool) {
	if len(tasks) == 0 {
		a.printf("No experiment tasks in the queue.\n")
	} else {
		rows := [][]string{{"Task", "Name", "Created", "Status"}}
		notes := slices.ContainsFunc(tasks, func(t queue.Task) bool { return t.Note != "" })
		if notes {
			rows[0] = append(rows[0], "Note")
		}
		for _, t := range tasks {
			row := []string{t.Rev[:7], t.Name, a.created(t.Created), string(t.State)}
			if notes {
				row = append(row, t.Note)
			}
			rows = append(rows, row)
		}
		a.printf("%s", a.table(rows))
	}
	active := 0
	for _, w := range workers {
		if w.Task != "" {
			active++
		}
	}
	a.printf("\nWorker status: %d active, %d idle\n", active, len(workers)-active)
	if paused {
		a.printf("The queue is paused; to go on: ctrx queue resume\n")
	}
}

// created shows a time as DVC's tables do: of today the hour, else the day.
func (a *app) created(t time.Time) string {
	t, now := t.Local(), a.Now().Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("03:04 PM")
	}
	return t.Format("Jan 02, 2006")
}

func queueJSON(tasks []queue.Task, workers []queue.Worker, paused bool) any {
	type task struct {
		ID       string  `json:"id"`
		Rev      string  `json:"rev"`
		Name     string  `json:"name"`
		Baseline string  `json:"baseline"`
		State    string  `json:"state"`
		Created  string  `json:"created"`
		Executor string  `json:"executor"`
		Priority int     `json:"priority"`
		Attempt  int     `json:"attempt"`
		Ref      *string `json:"ref"`
		Root     *string `json:"root"`
		Log      *string `json:"log"`
		PID      *int    `json:"pid"`
		Code     *int    `json:"returncode"`
		Note     *string `json:"note"`
	}
	type worker struct {
		Slot int      `json:"slot"`
		PID  int      `json:"pid"`
		Task *string  `json:"task"`
		GPUs []string `json:"gpus"`
		Log  string   `json:"log"`
	}
	out := struct {
		Tasks   []task   `json:"tasks"`
		Workers []worker `json:"workers"`
		Paused  bool     `json:"paused"`
	}{[]task{}, []worker{}, paused}
	for _, t := range tasks {
		jt := task{
			t.ID, t.Rev, t.Name, t.Baseline, strings.ToLower(string(t.State)), t.Created.UTC().Format(time.RFC3339), t.Executor, t.Priority, t.Attempt,
			optional(t.Ref), optional(t.Root), optional(t.Log), optional(t.PID), t.ReturnCode, optional(t.Note),
		}
		out.Tasks = append(out.Tasks, jt)
	}
	for _, w := range workers {
		out.Workers = append(out.Workers, worker{w.Slot, w.PID, optional(w.Task), w.GPUs, w.Log})
	}
	return out
}

// optional turns what is empty into null.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func (a *app) queueLogsCommand() *cobra.Command {
	var o queue.LogOptions
	var encoding string
	c := &cobra.Command{
		Use: "logs TASK", Short: "Show the output of a run", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.queue(c.Context(), func(p *pipeline.Project, q *queue.Queue) error {
				w, err := queue.Decoder(a.Out, encoding)
				if err != nil {
					return err
				}
				if o.Follow {
					p.Info("Following logs for experiment '%s'. Use Ctrl+C to stop following logs (experiment execution will continue).\n", args[0])
				}
				return q.Logs(c.Context(), args[0], o, w)
			})
		},
	}
	f := c.Flags()
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on until the run ends")
	f.StringVarP(&encoding, "encoding", "e", "", "`encoding` of the output: utf-8 (default), ascii, latin-1 or utf-16")
	f.IntVar(&o.Attempt, "attempt", 0, "output of this attempt, not of the last one")
	return c
}

func (a *app) queueRemoveCommand() *cobra.Command {
	var sel queue.Selection
	var all bool
	c := &cobra.Command{
		Use: "remove [TASK...]", Aliases: []string{"rm"}, Short: "Take tasks out of the queue; experiments that they made stay",
		RunE: func(c *cobra.Command, names []string) error {
			if all {
				sel.Queued, sel.Failed, sel.Success = true, true, true
			}
			sel.Names = names
			if (len(names) > 0) == (sel.Queued || sel.Failed || sel.Success) {
				return errs.Hint(errs.New(errs.Usage, "name tasks, or use one of the flags --all, --queued, --failed, --success"), "ctrx queue status")
			}
			return a.queue(c.Context(), func(p *pipeline.Project, q *queue.Queue) error {
				removed, err := q.Remove(c.Context(), sel)
				if err != nil {
					return err
				}
				if len(removed) == 0 {
					p.Info("No tasks to remove.")
					return nil
				}
				p.Info("Removed tasks in queue: %s", strings.Join(taskNames(removed), ", "))
				return nil
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&all, "all", false, "all but those that run")
	f.BoolVar(&sel.Queued, "queued", false, "those that wait")
	f.BoolVar(&sel.Failed, "failed", false, "those that failed")
	f.BoolVar(&sel.Success, "success", false, "those that succeeded")
	return c
}

func taskNames(tasks []queue.Task) []string {
	names := make([]string, len(tasks))
	for i, t := range tasks {
		if names[i] = t.Name; t.Name == "" {
			names[i] = t.Rev[:7]
		}
	}
	return names
}

func (a *app) queueKillCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "kill TASK...", Short: "End runs, as Ctrl-C does", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			return a.queue(c.Context(), func(_ *pipeline.Project, q *queue.Queue) error {
				killed, err := q.Kill(c.Context(), names, force)
				for _, name := range taskNames(killed) {
					a.printf("%s has been killed.\n", name)
				}
				return err
			})
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "at once, without time to end in order")
	return c
}

func (a *app) queueRetryCommand() *cobra.Command {
	var failed bool
	c := &cobra.Command{
		Use: "retry [TASK...]", Short: "Queue failed runs again; stages that finished are not run again",
		RunE: func(c *cobra.Command, names []string) error {
			if failed == (len(names) > 0) {
				return errs.Hint(errs.New(errs.Usage, "name tasks, or use --failed for all that failed"), "ctrx queue status")
			}
			return a.queue(c.Context(), func(p *pipeline.Project, q *queue.Queue) error {
				again, err := q.Retry(c.Context(), names)
				if err != nil {
					return err
				}
				for _, name := range taskNames(again) {
					p.Info("Queued experiment '%s' for future execution.", name)
				}
				if len(again) == 0 {
					p.Info("No failed tasks in the queue.")
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&failed, "failed", false, "all that failed")
	return c
}

func (a *app) queuePauseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pause", Short: "Let workers take no more tasks; what runs goes on", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.queue(c.Context(), func(p *pipeline.Project, q *queue.Queue) error {
				if err := q.Pause(); err != nil {
					return err
				}
				p.Info("The queue is paused; to go on: ctrx queue resume")
				return nil
			})
		},
	}
}

func (a *app) queueResumeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "resume", Short: "End a pause", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.queue(c.Context(), func(p *pipeline.Project, q *queue.Queue) error {
				was, err := q.Resume()
				if err != nil {
					return err
				}
				if !was {
					p.Info("The queue is not paused.")
					return nil
				}
				workers, err := q.Workers()
				if err != nil {
					return err
				}
				p.Info("The queue goes on with %d worker(s).", len(workers))
				return nil
			})
		},
	}
}
