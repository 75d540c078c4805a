package cli

import (
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"ctrx/experiment/queue"
	"ctrx/internal/errs"
	"ctrx/internal/process"
	"ctrx/pipeline"
)

// queueWorkerCommand is what `queue start` starts.
func (a *app) queueWorkerCommand() *cobra.Command {
	var o queue.WorkOptions
	var jobs int
	c := &cobra.Command{
		Use: "worker", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.queue(c.Context(), func(_ *pipeline.Project, q *queue.Queue) error {
				o.Env = a.Env
				o.Program = append(slices.Clone(a.Program), "queue", "run-task", "--jobs", fmt.Sprint(jobs))
				return q.Work(c.Context(), o)
			})
		},
	}
	f := c.Flags()
	f.IntVar(&o.Slot, "slot", 1, "")
	f.IntVar(&jobs, "jobs", 1, "")
	f.StringSliceVar(&o.GPUs, "gpus", nil, "")
	workerFlags(f, &o.MaxAttempts, &o.FailFast)
	return c
}

// queueRunCommand is what a worker starts for each run. The lease and the slot
// come as open files.
func (a *app) queueRunCommand() *cobra.Command {
	var file string
	var attempt, jobs int
	c := &cobra.Command{
		Use: "run-task", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var lease, slot *os.File
			if process.Inherits {
				lease, slot = process.Inherited(3, "lease"), process.Inherited(4, "slot")
				defer slot.Close()
			}
			return a.queue(c.Context(), func(p *pipeline.Project, q *queue.Queue) error {
				explained := false
				err := q.RunTask(c.Context(), file, attempt, lease, queue.RunOptions{
					Args: a.args, Env: a.Env, Sink: a.printer, Stdio: a.stdio(), Jobs: jobs, Tracking: a.trackOptions(p),
					Explain: func(err error) {
						explained = true
						a.printError(err)
					},
				})
				if explained {
					return statusCode(errs.KindOf(err).ExitCode())
				}
				return err
			})
		},
	}
	f := c.Flags()
	f.StringVar(&file, "message", "", "")
	f.IntVar(&attempt, "attempt", 0, "")
	f.IntVar(&jobs, "jobs", 1, "")
	return c
}
