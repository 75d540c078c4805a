package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"ctrx/internal/errs"
	"ctrx/internal/event"
)

// printer shows events: lines on standard output, warnings on standard error,
// progress as bars where standard error is a terminal.
type printer struct {
	out, err io.Writer
	app      *app
	terminal bool
	mu       sync.Mutex
	bars     *mpb.Progress
	byName   map[string]*mpb.Bar
}

func newPrinter(out, err io.Writer, a *app) *printer {
	return &printer{out: out, err: err, app: a, terminal: isTerminal(err)}
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
		if p.terminal && !p.app.quiet {
			p.progress(e)
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
	bar := p.byName[e.Text]
	if bar == nil {
		if e.Final {
			return
		}
		if p.bars == nil {
			p.bars = mpb.New(mpb.WithOutput(p.err), mpb.WithWidth(40), mpb.WithRefreshRate(120*time.Millisecond))
			p.byName = map[string]*mpb.Bar{}
		}
		bar = p.newBar(e)
		p.byName[e.Text] = bar
	}
	if e.Total > 0 {
		bar.SetTotal(e.Total, false)
	}
	bar.SetCurrent(e.Done)
	if e.Final {
		bar.Abort(true) // completes it also short of its total, which a failure or Ctrl-C leaves behind
		delete(p.byName, e.Text)
		if len(p.byName) == 0 {
			p.stopBars()
		}
	}
}

func (p *printer) newBar(e event.Event) *mpb.Bar {
	name := decor.Name(e.Text, decor.WCSyncSpaceR)
	if e.Total <= 0 && e.Unit != "B" { // how long it will take is unknown
		return p.bars.AddSpinner(0, mpb.BarWidth(3), mpb.BarRemoveOnComplete(), mpb.PrependDecorators(name),
			mpb.AppendDecorators(decor.CurrentNoUnit("%d "+e.Unit+" "), decor.Elapsed(decor.ET_STYLE_GO)))
	}
	if e.Unit == "B" {
		return p.bars.AddBar(e.Total, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(name),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f "), decor.AverageSpeed(decor.SizeB1024(0), "% .1f "), decor.AverageETA(decor.ET_STYLE_GO)))
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
	p.bars, p.byName = nil, nil
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
		_ = json.NewEncoder(a.Err).Encode(map[string]any{"error": object})
		return
	}
	fmt.Fprintf(a.Err, "error: %s\n", errs.Explain(err))
	if hint != "" {
		fmt.Fprintf(a.Err, "hint: %s\n", hint)
	}
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
