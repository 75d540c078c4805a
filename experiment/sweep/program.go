package sweep

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/process"
)

// command is how an optimiser's program is started.
type command struct {
	name string // for messages
	argv []string
	dir  string
	env  []string
}

// limits bound how long a program may take.
type limits struct{ hello, ask, tell, bye time.Duration }

// defaultLimits leave room for libraries that load slowly and for optimisers
// that fit a model before each point.
func defaultLimits() limits {
	return limits{hello: 2 * time.Minute, ask: 10 * time.Minute, tell: time.Minute, bye: 5 * time.Second}
}

// program is a running optimiser that is spoken with in JSON lines: one answer
// on its standard output for each request on its standard input. A request that
// gets no answer in time, or a wrong one, ends the program.
type program struct {
	command
	limits limits
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    io.ReadCloser
	lines  chan []byte // closed at the end of its output
	said   tail        // the last lines on its standard error
	waited sync.Once
	ended  error // of the process
}

// start starts the program in a session of its own, so that Ctrl-C on the
// terminal is ctrx's alone.
func (c command) start(l limits) (*program, error) {
	p := &program{command: c, limits: l, lines: make(chan []byte)}
	p.cmd = exec.Command(c.argv[0], c.argv[1:]...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = c.dir, c.env, &p.said
	p.cmd.WaitDelay = time.Second
	process.Detach(p.cmd)
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, errs.New(errs.NotFound, "start the optimiser %s: %w", c.name, err)
	}
	go p.read()
	return p, nil
}

// longestLine bounds an answer.
const longestLine = 1 << 20

// read passes the lines of the output on until it ends; wait takes the rest.
func (p *program) read() {
	defer close(p.lines)
	s := bufio.NewScanner(p.out)
	s.Buffer(nil, longestLine)
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" {
			p.lines <- []byte(line)
		}
	}
	_, _ = io.Copy(io.Discard, p.out)
}

// request sends a message and reads the answer to it.
func (p *program) request(ctx context.Context, op string, limit time.Duration, message, answer any) error {
	line, err := json.Marshal(message)
	if err != nil {
		return err
	}
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// A program that does not read would block the write for ever.
	stop := context.AfterFunc(timed, p.kill)
	defer stop()
	_, writeErr := p.in.Write(append(line, '\n'))
	var reply []byte
	ok := false
	if writeErr == nil {
		select {
		case reply, ok = <-p.lines:
		case <-timed.Done():
		}
	}
	switch {
	case ctx.Err() != nil:
		p.wait()
		return context.Cause(ctx)
	case timed.Err() != nil:
		return p.broken("gave no answer to %q within %v", op, limit)
	case !ok:
		return p.broken("ended without an answer to %q", op)
	}
	var refusal struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(reply, &refusal) == nil && refusal.Error != "" {
		kind := errs.Failed
		if op == "hello" {
			kind = errs.Usage
		}
		p.kill()
		p.wait()
		return errs.New(kind, "optimiser %s: %s", p.name, refusal.Error)
	}
	if err := json.Unmarshal(reply, answer); err != nil {
		return p.broken("answered %q with what is not a JSON object of the protocol: %.200s", op, reply)
	}
	return nil
}

// broken ends the program and says what was wrong with it.
func (p *program) broken(format string, args ...any) error {
	p.kill()
	p.wait()
	text := fmt.Sprintf("optimiser %s %s", p.name, fmt.Sprintf(format, args...))
	var exit *exec.ExitError
	if errors.As(p.ended, &exit) && exit.ExitCode() >= 0 {
		text += fmt.Sprintf(" (exit code %d)", exit.ExitCode())
	}
	if last := p.said.String(); last != "" {
		text += "\n" + last
	}
	return errs.New(errs.Failed, "%s", text)
}

func (p *program) kill() { _ = process.Kill(p.cmd.Process.Pid) }

// wait waits for the end of the process and of the reader. The process must
// have been told to end.
func (p *program) wait() {
	p.waited.Do(func() {
		// What it started and let go of may have its output open still.
		late := time.AfterFunc(p.limits.bye+time.Second, func() { _ = p.out.Close() })
		defer late.Stop()
		for range p.lines {
		}
		p.ended = p.cmd.Wait()
	})
}

// close says goodbye and waits for the program to end; one that takes too long
// is killed.
func (p *program) close() error {
	late := time.AfterFunc(p.limits.bye, p.kill)
	defer late.Stop()
	_, _ = p.in.Write([]byte(`{"op":"bye"}` + "\n"))
	_ = p.in.Close()
	p.wait()
	return nil
}

// tail keeps the last lines that were written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

// tailSize is how much is kept, and tailLines how much of it is shown.
const (
	tailSize  = 8 << 10
	tailLines = 15
)

// Write implements io.Writer.
func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, data...)
	if n := len(t.text) - tailSize; n > 0 {
		t.text = append([]byte(nil), t.text[n:]...)
	}
	return len(data), nil
}

// String gives the last lines, indented.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	if lines[0] == "" && len(lines) == 1 {
		return ""
	}
	return "  " + strings.Join(lines[max(0, len(lines)-tailLines):], "\n  ")
}
