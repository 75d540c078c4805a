package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/process"
)

// Engine is where runs of the queue take place. It decides where and when; what
// runs is the same everywhere: this program, told which attempt of which task
// it is. An engine is asked by the worker that has claimed the task.
type Engine interface {
	// Submit starts an attempt. Asked twice for the same attempt it starts one.
	Submit(ctx context.Context, s Spec) (Handle, error)
	// Status tells how attempts stand, by run. An error is no verdict about any.
	Status(ctx context.Context, handles []Handle) (map[string]EngineState, error)
	// Logs reads the output of an attempt from a byte on.
	Logs(ctx context.Context, h Handle, from int64) (io.ReadCloser, error)
	// Cancel ends an attempt: in order, and by force after the grace.
	Cancel(ctx context.Context, h Handle, grace time.Duration) error
}

// Spec is an attempt to be started. Code reaches it as Commit, fetched from
// Source where the engine's machines do not have the project's folder, and data
// through the cache or the default remote by content hash; nothing else of the
// project is needed.
type Spec struct {
	Run       string   // id of the task
	Attempt   int      // fencing token
	Commit    string   // stash commit with code, parameters and arguments
	Source    string   // Git URL that Commit and its parents can be fetched from
	Project   string   // folder of the project, for engines that share it
	Message   string   // name of the message file
	Log       string   // file that the output goes to, from the first byte on
	Env       []string // added to the environment; no secrets, engines keep it in their records
	Resources Resources
}

// Resources are what an attempt asks of an engine that shares machines out.
type Resources struct {
	GPUs []string // of this machine; nil leaves CUDA_VISIBLE_DEVICES as it is
}

// Handle names a started attempt.
type Handle struct {
	Engine    string
	ID        string // the engine's own; may be given out again
	Run       string
	Attempt   int
	Submitted time.Time
	Log       string
}

// EngineState is how an attempt stands. EngineUnknown is not a failure: the
// engine has no trace of it.
type EngineState string

// The states of an attempt in an engine.
const (
	EngineRunning EngineState = "running"
	EngineEnded   EngineState = "ended"
	EngineUnknown EngineState = "unknown"
)

// localEngine runs attempts as processes of this machine, each in a session of
// its own: when its worker is killed an attempt runs on to its end.
type localEngine struct {
	program []string // this program with the arguments that make it run a task
	env     []string
	files   []*os.File // handed on: as long as the attempt lives, their locks are held
	now     func() time.Time
	running map[string]*localRun // by run
}

type localRun struct {
	handle Handle
	cmd    *exec.Cmd
	ended  chan struct{}
	err    error // of the process, once ended is closed
}

var _ Engine = (*localEngine)(nil)

// Submit starts a process.
func (e *localEngine) Submit(ctx context.Context, s Spec) (Handle, error) {
	if r := e.running[s.Run]; r != nil && r.handle.Attempt == s.Attempt {
		return r.handle, nil
	}
	if err := keepOldLog(s.Log, s.Attempt); err != nil {
		return Handle{}, err
	}
	log, err := os.OpenFile(s.Log, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o666)
	if err != nil {
		return Handle{}, fmt.Errorf("open the log of the run: %w", err)
	}
	defer log.Close()
	args := append(e.program[1:len(e.program):len(e.program)], "--message", s.Message, "--attempt", fmt.Sprint(s.Attempt))
	cmd := exec.Command(e.program[0], args...) // not bound to ctx: it outlives the worker
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Project, log, log
	cmd.Env = append(append([]string{}, e.env...), s.Env...)
	if s.Resources.GPUs != nil {
		cmd.Env = append(cmd.Env, "CUDA_VISIBLE_DEVICES="+strings.Join(s.Resources.GPUs, ","))
	}
	if process.Inherits {
		cmd.ExtraFiles = e.files
	}
	process.Detach(cmd)
	if err := ctx.Err(); err != nil {
		return Handle{}, context.Cause(ctx)
	}
	if err := cmd.Start(); err != nil {
		return Handle{}, fmt.Errorf("start the run: %w", err)
	}
	r := &localRun{cmd: cmd, ended: make(chan struct{}), handle: Handle{
		Engine: "local", ID: fmt.Sprint(cmd.Process.Pid), Run: s.Run, Attempt: s.Attempt, Submitted: e.now(), Log: s.Log,
	}}
	e.running[s.Run] = r
	go func() {
		defer close(r.ended)
		r.err = cmd.Wait()
	}()
	return r.handle, nil
}

// keepOldLog puts the log of the attempt before aside: LOG.1, LOG.2, ...
func keepOldLog(log string, attempt int) error {
	if err := os.MkdirAll(filepath.Dir(log), 0o777); err != nil {
		return err
	}
	if attempt < 2 {
		return nil
	}
	err := os.Rename(log, attemptLog(log, attempt-1))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keep the log of the attempt before: %w", err)
	}
	return nil
}

func attemptLog(log string, attempt int) string { return fmt.Sprintf("%s.%d", log, attempt) }

// Status tells whether the processes run.
func (e *localEngine) Status(_ context.Context, handles []Handle) (map[string]EngineState, error) {
	states := map[string]EngineState{}
	for _, h := range handles {
		r := e.running[h.Run]
		if r == nil || r.handle.Attempt != h.Attempt {
			states[h.Run] = EngineUnknown
			continue
		}
		select {
		case <-r.ended:
			states[h.Run] = EngineEnded
		default:
			states[h.Run] = EngineRunning
		}
	}
	return states, nil
}

// Logs opens the log file.
func (e *localEngine) Logs(_ context.Context, h Handle, from int64) (io.ReadCloser, error) {
	f, err := os.Open(h.Log)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Cancel interrupts the process, and kills it with all that it started after
// the grace.
func (e *localEngine) Cancel(ctx context.Context, h Handle, grace time.Duration) error {
	r := e.running[h.Run]
	if r == nil {
		return errs.New(errs.NotFound, "run %s is not one of this worker", h.Run)
	}
	pid := r.cmd.Process.Pid
	_ = process.Terminate(pid) // it may have ended just now
	select {
	case <-r.ended:
	case <-ctx.Done():
	case <-time.After(grace):
	}
	select {
	case <-r.ended:
	default:
		_ = process.Kill(pid)
		<-r.ended
	}
	process.KillSession(pid)
	return nil
}

// wait waits for an attempt's end.
func (e *localEngine) wait(ctx context.Context, h Handle) bool {
	r := e.running[h.Run]
	if r == nil {
		return true
	}
	select {
	case <-r.ended:
		delete(e.running, h.Run)
		return true
	case <-ctx.Done():
		return false
	}
}
