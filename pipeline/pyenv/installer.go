package pyenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
)

// step is one command of an installation.
type step struct {
	argv         []string
	env          []string // beside the installer's environment
	requirements []string // lines of the file that the last argument names; written before
}

// killGrace is how long an installer may take to end after SIGTERM.
const killGrace = 5 * time.Second

// run runs the step in a process group of its own and turns its output into
// progress. When ctx ends the whole group is ended. A failure carries the last
// lines of what the command said.
func (s step) run(ctx context.Context, dir string, o Options) error {
	if s.requirements != nil {
		file := s.argv[len(s.argv)-1]
		if err := os.WriteFile(file, []byte(strings.Join(s.requirements, "\n")+"\n"), 0o666); err != nil {
			return fmt.Errorf("make the Python environment: %w", err)
		}
	}
	cmd := exec.CommandContext(ctx, s.argv[0], s.argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(installerEnv(o.Env), s.env...)
	cmd.WaitDelay = killGrace
	kill := inOwnGroup(cmd)
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	tail := make(chan []string, 1)
	go func() { tail <- follow(r, o.Sink) }()
	err := cmd.Run()
	if ctx.Err() != nil {
		kill() // what the installer started itself
	}
	w.Close()
	last := <-tail
	if ctx.Err() != nil {
		return fmt.Errorf("make the Python environment: %w", context.Cause(ctx))
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) { // that: it succeeded and left a process behind
		return errs.Hint(errs.New(errs.Failed, "make the Python environment: %s: %w\n%s", strings.Join(s.argv, " "), err, strings.Join(last, "\n")),
			"check %s and the network, then repeat the command: it begins anew", o.File)
	}
	return nil
}

// installerEnv drops what would lead an installer elsewhere than into the
// environment, or make it take the user's own packages for installed, and
// keeps git from asking for a password.
func installerEnv(env []string) []string {
	var out []string
	for _, kv := range env {
		switch k, _, _ := strings.Cut(kv, "="); strings.ToUpper(k) {
		case "PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "CONDA_PREFIX", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON", "UV_SYSTEM_PYTHON":
		default:
			out = append(out, kv)
		}
	}
	return append(out, "GIT_TERMINAL_PROMPT=0", "PYTHONUNBUFFERED=1")
}

// uvResolved is the line in which uv says how many packages there will be.
var uvResolved = regexp.MustCompile(`^Resolved (\d+) packages?`)

// follow reports each package that the installer names and keeps the last
// lines.
func follow(r io.Reader, sink event.Sink) []string {
	var last []string
	done, total := int64(0), int64(0)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if last = append(last, "  "+line); len(last) > 15 {
			last = last[1:]
		}
		if m := uvResolved.FindStringSubmatch(line); m != nil {
			total, _ = strconv.ParseInt(m[1], 10, 64)
		}
		for _, sign := range []string{"Collecting ", "Requirement already", " + "} {
			if strings.HasPrefix(line, sign) {
				done++
			}
		}
		if done > 0 || total > 0 {
			sink.Send(event.Event{Type: event.Progress, Text: "Python packages", Done: done, Total: total, Unit: "packages"})
		}
	}
	_, _ = io.Copy(io.Discard, r)
	sink.Send(event.Event{Type: event.Progress, Text: "Python packages", Done: done, Unit: "packages", Final: true})
	return last
}
