package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"ctrx/internal/errs"
)

// logFile is where the output of a stage's last run is kept, by the stage's
// address from the project root.
func (p *Project) logFile(address string) string {
	return filepath.Join(p.TmpDir(), "ctrx", "logs", url.QueryEscape(address)+".log")
}

// Log opens the output of a stage's last run. Close it.
func (p *Project) Log(s *Stage) (io.ReadCloser, error) {
	f, err := os.Open(p.logFile(s.Address(".")))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Hint(errs.New(errs.NotFound, "no log of stage '%s' is kept: it never ran here, or its last run wrote to the terminal", s.Address(p.Dir)),
			"run it with -j 2, or with the output in a pipe or file, and its output is kept")
	}
	return f, err
}

// stageLog is where the commands of one stage write: to the user and, except
// for a command that has the terminal for itself, into the stage's log.
type stageLog struct {
	io       Stdio
	file     *bestEffort
	prefixed []*prefixWriter
}

// openLog starts the log of a stage anew.
func (w worker) openLog(s *Stage) (*stageLog, error) {
	name := w.p.logFile(s.Address("."))
	user := w.o.Stdio
	if w.o.Jobs <= 1 && user.Terminal {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("remove the old log of stage '%s': %w", s.Name, err)
		}
		return &stageLog{io: user}, nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return nil, fmt.Errorf("open the log of stage '%s': %w", s.Name, err)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o666)
	if err != nil {
		return nil, fmt.Errorf("open the log of stage '%s': %w", s.Name, err)
	}
	l := &stageLog{file: &bestEffort{f: f}}
	if w.o.Jobs <= 1 {
		l.io = Stdio{In: user.In, Out: io.MultiWriter(user.Out, l.file), Err: io.MultiWriter(user.Err, l.file)}
		if sameFile(user.Out, user.Err) { // one pipe keeps what comes through it in order
			l.io.Err = l.io.Out
		}
		return l, nil
	}
	out := l.prefix(w.stdio.Out, s.Address(w.p.Dir))
	err2 := out
	if !sameFile(user.Out, user.Err) {
		err2 = l.prefix(w.stdio.Err, s.Address(w.p.Dir))
	}
	l.io = Stdio{Out: io.MultiWriter(out, l.file), Err: io.MultiWriter(err2, l.file)}
	return l, nil
}

func (l *stageLog) prefix(to io.Writer, name string) *prefixWriter {
	p := &prefixWriter{to: to, prefix: "[" + name + "] "}
	l.prefixed = append(l.prefixed, p)
	return p
}

// note writes a line of ctrx's own into the log.
func (l *stageLog) note(line string) {
	if l.file != nil {
		_, _ = l.file.Write([]byte(line + "\n"))
	}
}

func (l *stageLog) close() error {
	for _, p := range l.prefixed {
		p.flush()
	}
	if l.file == nil {
		return nil
	}
	return l.file.f.Close()
}

// bestEffort writes a log: that it cannot (a full disk) must not end the
// command whose output it is.
type bestEffort struct{ f *os.File }

func (b *bestEffort) Write(data []byte) (int, error) {
	_, _ = b.f.Write(data)
	return len(data), nil
}

// sameFile tells whether two writers are one file, as after 2>&1.
func sameFile(a, b io.Writer) bool {
	fa, ok := a.(*os.File)
	fb, ok2 := b.(*os.File)
	if !ok || !ok2 {
		return false
	}
	ia, err := fa.Stat()
	ib, err2 := fb.Stat()
	return err == nil && err2 == nil && os.SameFile(ia, ib)
}

// lineWriter lets one goroutine at a time write.
type lineWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lineWriter) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(data)
}

// shared gives streams that several goroutines may write lines to.
func (s Stdio) shared() Stdio {
	mu := &sync.Mutex{}
	s.Out, s.Err = lineWriter{mu, s.Out}, lineWriter{mu, s.Err}
	return s
}

// longestLine is how much of a line without an end is held back.
const longestLine = 64 << 10

// prefixWriter hands whole lines on, each with a prefix. Of a line that was
// overwritten by carriage returns (a progress bar) the last state is shown.
type prefixWriter struct {
	to     io.Writer
	prefix string
	mu     sync.Mutex
	rest   []byte
}

func (p *prefixWriter) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, data...)
	var out []byte
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 {
			break
		}
		out = p.line(out, p.rest[:i])
		p.rest = p.rest[i+1:]
	}
	if i := bytes.LastIndexByte(p.rest, '\r'); i > 0 {
		p.rest = append([]byte(nil), p.rest[bytes.LastIndexByte(p.rest[:i], '\r')+1:]...)
	}
	if len(p.rest) > longestLine {
		out, p.rest = p.line(out, p.rest), nil
	}
	if len(out) > 0 {
		if _, err := p.to.Write(out); err != nil {
			return 0, err
		}
	}
	return len(data), nil
}

func (p *prefixWriter) line(out, line []byte) []byte {
	text := strings.TrimRight(string(line), "\r")
	text = text[strings.LastIndexByte(text, '\r')+1:]
	return append(append(append(out, p.prefix...), text...), '\n')
}

// flush writes what has no line end.
func (p *prefixWriter) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.rest) > 0 {
		_, _ = p.to.Write(p.line(nil, p.rest))
		p.rest = nil
	}
}

// LoggedStages gives the stages that targets name, or without targets every
// stage of which a log is kept.
func (p *Project) LoggedStages(ctx context.Context, targets []string) ([]*Stage, error) {
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return ix.filter(func(s *Stage) bool {
			_, err := os.Stat(p.logFile(s.Address(".")))
			return err == nil
		}), nil
	}
	var stages []*Stage
	for _, t := range targets {
		found, err := p.ResolveTarget(ix, t, TargetOptions{})
		if err != nil {
			return nil, err
		}
		stages = append(stages, found...)
	}
	return stages, nil
}
