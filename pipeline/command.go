package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/interrupt"
)

// killGrace is how long a command may take to end after SIGTERM before its
// process group is killed.
const killGrace = 10 * time.Second

// outputGrace is how long a command's output is read on after the command
// itself has ended, when a process it left behind still holds the pipe.
const outputGrace = 2 * time.Second

// Stdio is where a stage's commands read and write.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
	Terminal bool // Out is a terminal: a command that has it for itself gets it as it is
}

// shellCommand is one shell invocation of a stage.
type shellCommand struct {
	text string
	dir  string // absolute
	env  []string
	io   Stdio
	// began is told of the process and of a time just before it was started, and
	// gives what is called at its end; may be nil.
	began func(pid int, at time.Time) (ended func())
}

// timeoutCode is the exit code of a command that took too long, as timeout(1)
// has it.
const timeoutCode = 124

// CommandError says that a stage's command did not succeed.
type CommandError struct {
	Cmd  string
	Code int    // exit code, or 128+signal
	Why  string // "exited with 3", "was killed by signal: killed"
}

func (e *CommandError) Error() string { return fmt.Sprintf("failed to run: %s, %s", e.Cmd, e.Why) }

// Kind makes the command's failure a failure of the run.
func (e *CommandError) Kind() errs.Kind { return errs.Failed }

// run executes the command in a process group of its own and waits for it.
// When ctx ends the group gets SIGTERM, after a grace period or a second signal
// SIGKILL, and the error is of the kind Interrupted. Processes that the command left behind in
// its group are killed when it ends, so that nothing writes to outputs while
// they are hashed.
func (c shellCommand) run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return interrupted(ctx, c.text)
	}
	name, args := shellArgs(os.Getenv("SHELL"), c.text)
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.io.In, c.io.Out, c.io.Err
	cmd.WaitDelay = outputGrace
	group := newProcessGroup(cmd)
	before := time.Now() // what the command writes is later, also when this process is not let run meanwhile
	if err := cmd.Start(); err != nil {
		if info, statErr := os.Stat(c.dir); statErr != nil || !info.IsDir() {
			return errs.Hint(errs.New(errs.NotFound, "the working folder %s of the command does not exist", c.dir), "create it, or correct the stage's wdir")
		}
		return fmt.Errorf("start %q in %s: %w", c.text, c.dir, err)
	}
	if c.began != nil {
		defer c.began(cmd.Process.Pid, before)()
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		group.terminate()
		select {
		case <-ended:
		case <-interrupt.Again(ctx):
			group.kill()
			<-ended
		case <-time.After(killGrace):
			group.kill()
			<-ended
		}
	}
	group.kill()
	group.restoreTerminal()
	if ctx.Err() != nil || group.interruptedByUser(err) {
		return interrupted(ctx, c.text)
	}
	return commandError(c.text, err)
}

// interrupted says why ctx ended a command: it took too long, or ctrx was told
// to stop.
func interrupted(ctx context.Context, text string) error {
	cause := context.Cause(ctx)
	var timeout *CommandError
	if errors.As(cause, &timeout) {
		return &CommandError{Cmd: text, Code: timeout.Code, Why: timeout.Why}
	}
	if cause == nil {
		cause = context.Canceled
	}
	kind := errs.KindOf(cause)
	if kind != errs.Terminated {
		kind = errs.Interrupted
	}
	return errs.New(kind, "interrupted while running: %s", text)
}

func commandError(text string, err error) error {
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("run %q: %w", text, err)
	}
	if code := exit.ExitCode(); code >= 0 {
		return &CommandError{Cmd: text, Code: code, Why: fmt.Sprintf("exited with %d", code)}
	}
	return &CommandError{Cmd: text, Code: exitSignal(exit), Why: "was killed by " + exit.String()}
}

// shellArgs gives the program and arguments that run text as DVC does: with
// the user's shell where it is set, without its start-up files.
func shellArgs(shell, text string) (string, []string) {
	if runtime.GOOS == "windows" {
		return "cmd", []string{"/c", text}
	}
	if shell == "" {
		shell = "/bin/sh"
	}
	var options []string
	switch strings.ToLower(filepath.Base(shell)) {
	case "zsh":
		options = []string{"--no-rcs"}
	case "bash":
		options = []string{"--noprofile", "--norc"}
	case "fish":
		options = []string{"--no-config"}
	}
	return shell, append(options, "-c", text)
}
