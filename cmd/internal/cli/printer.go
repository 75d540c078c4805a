package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/storage"
)

// printer shows events: lines on standard output, warnings on standard error,
// progress as bars where standard error is a terminal that can show them.
type printer struct {
	out, err io.Writer
	app      *app
	terminal bool
	now      func() time.Time
	mu       sync.Mutex
	bars     *mpb.Progress
	byName   map[string]*bar
	plain    map[string]*plainWork // work of which lines are printed
}

// bar is a line on the screen, with the latest event for it.
type bar struct {
	*mpb.Bar
	latest atomic.Pointer[event.Event]
}

func newPrinter(out, err io.Writer, a *app) *printer {
	return &printer{out: out, err: err, app: a, terminal: isTerminal(err) && a.env("TERM") != "dumb", now: time.Now, byName: map[string]*bar{}, plain: map[string]*plainWork{}}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Send implements event.Sink.
func (p *printer) Send(e event.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Type {
	case event.Info:
		if !p.app.quiet && !p.app.json {
			p.line(p.out, e.Text)
		}
	case event.Warn:
		p.line(p.err, "WARNING: "+e.Text)
	case event.Progress:
		switch {
		case p.app.quiet:
		case p.terminal:
			p.progress(e)
		default:
			p.progressLine(e)
		}
	}
}

// line writes a line above the bars that are on the screen.
func (p *printer) line(w io.Writer, text string) {
	if p.bars != nil {
		fmt.Fprintln(p.bars, text)
		return
	}
	fmt.Fprintln(w, text)
}

func (p *printer) progress(e event.Event) {
	b := p.byName[e.Text]
	if b == nil {
		if e.Final {
			return
		}
		if p.bars == nil {
			p.bars = p.newBars()
		}
		b = &bar{}
		b.latest.Store(&e)
		b.Bar = p.newBar(e, b)
		p.byName[e.Text] = b
	}
	b.latest.Store(&e)
	if e.Total > 0 {
		b.SetTotal(e.Total, false)
	}
	b.SetCurrent(e.Done)
	if e.Final {
		b.Abort(true) // completes it also short of its total, which a failure or Ctrl-C leaves behind
		delete(p.byName, e.Text)
		if len(p.byName) == 0 {
			p.stopBars()
		}
	}
}

// newBars makes the place of the bars on the screen. A terminal that does not say
// how large it is, as those that `script` and containers make, is taken for one
// of 80 columns: what mpb asks itself, it would draw nothing on.
func (p *printer) newBars() *mpb.Progress {
	every := mpb.WithRefreshRate(120 * time.Millisecond)
	if f, ok := p.err.(*os.File); ok {
		if width, height, err := term.GetSize(int(f.Fd())); err != nil || width == 0 || height == 0 {
			return mpb.New(mpb.WithOutput(struct{ io.Writer }{f}), mpb.WithAutoRefresh(), mpb.WithWidth(80), every)
		}
	}
	return mpb.New(mpb.WithOutput(p.err), mpb.WithWidth(40), every)
}

func (p *printer) newBar(e event.Event, b *bar) *mpb.Bar {
	name := decor.Name(e.Text, decor.WCSyncSpaceR)
	if e.Total <= 0 && e.Unit != "B" { // how long it will take is unknown
		return p.bars.AddSpinner(0, mpb.BarWidth(3), mpb.BarRemoveOnComplete(), mpb.PrependDecorators(name),
			mpb.AppendDecorators(decor.CurrentNoUnit("%d "+e.Unit+" "), decor.Elapsed(decor.ET_STYLE_GO)))
	}
	if e.Unit == "B" {
		files := decor.Any(func(decor.Statistics) string {
			if latest := b.latest.Load(); latest.Of > 0 {
				return fmt.Sprintf("%d/%d files  ", latest.Files, latest.Of)
			}
			return ""
		})
		return p.bars.AddBar(e.Total, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(name),
			mpb.AppendDecorators(files, decor.CountersKibiByte("% .1f / % .1f "), decor.AverageSpeed(decor.SizeB1024(0), "% .1f "), decor.AverageETA(decor.ET_STYLE_GO)))
	}
	return p.bars.AddBar(e.Total, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(name),
		mpb.AppendDecorators(decor.CountersNoUnit("%d/%d "+e.Unit+" "), decor.AverageETA(decor.ET_STYLE_GO)))
}

func (p *printer) stopBars() {
	if p.bars == nil {
		return
	}
	for _, b := range p.byName {
		b.Abort(true)
	}
	p.bars.Wait()
	p.bars, p.byName = nil, map[string]*bar{}
}

// close takes bars off the screen, so that what follows stands alone.
func (p *printer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopBars()
}

// printError shows what went wrong, with the lines of the files that it is about,
// and what to type next; with --json as an object.
func (a *app) printError(err error) {
	hint := errs.HintOf(err)
	if a.json {
		object := map[string]any{"message": strings.TrimSpace(err.Error()), "hint": hint, "code": errs.KindOf(err).ExitCode()}
		if findings := errs.Findings(err); len(findings) > 0 {
			object["places"] = places(findings)
		}
		if failed := failedObjects(err); len(failed) > 0 {
			object["failed"] = failed
		}
		_ = json.NewEncoder(a.Err).Encode(map[string]any{"error": object})
		return
	}
	fmt.Fprintf(a.Err, "error: %s\n", errs.Explain(err))
	if hint != "" {
		fmt.Fprintf(a.Err, "hint: %s\n", hint)
	}
}

// failedObject is an object that could not be transferred, as --json tells it.
type failedObject struct {
	Path   string `json:"path,omitempty"` // that wants it
	MD5    string `json:"md5"`
	Remote string `json:"remote,omitempty"`
	Verb   string `json:"verb"` // upload or download
	Error  string `json:"error"`
	Hint   string `json:"hint,omitempty"`
}

func failedObjects(err error) []failedObject {
	var out []failedObject
	for _, e := range storage.TransferErrors(err) {
		for _, f := range e.Failed {
			out = append(out, failedObject{f.Path, string(f.Digest), e.Remote, e.Verb, f.Err.Error(), errs.HintOf(f.Err)})
		}
	}
	return out
}

// place is a place in a file as --json tells it.
type place struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Source  string `json:"source,omitempty"` // the line itself
}

func places(findings []errs.Finding) []place {
	out := make([]place, len(findings))
	for i, f := range findings {
		out[i] = place{f.Pos.File, f.Pos.Line, f.Pos.Col, f.Text, f.Pos.Source()}
	}
	return out
}
