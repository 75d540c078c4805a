package cli

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"runtime"
	"strings"

	"ctrx/report"
)

// paint gives what colours tables: nothing unless standard output is a terminal
// that shows colours and NO_COLOR is not set.
func (a *app) paint() report.Paint {
	if !isTerminal(a.Out) || a.env("NO_COLOR") != "" || a.env("TERM") == "dumb" {
		return nil
	}
	return ansi
}

// ansi writes a text in a style, in the sequences of ECMA-48.
func ansi(style report.Style, text string) string {
	codes := map[report.Style]string{
		report.Strong: "1", report.LabelHead: "1", report.MetricHead: "1;33", report.ParamHead: "1;36", report.DepHead: "1;35",
		report.Good: "32", report.Bad: "31", report.Busy: "33",
	}
	if codes[style] == "" || text == "" {
		return text
	}
	return "\x1b[" + codes[style] + "m" + text + "\x1b[0m"
}

// page shows a text through $DVC_PAGER, $PAGER or less; where there is none, it
// prints it.
func (a *app) page(ctx context.Context, text string) error {
	cmd := a.pagerCommand(context.WithoutCancel(ctx)) // Ctrl-C is for the pager, which has the terminal

	if cmd == nil {
		a.printf("%s", text)
		return nil
	}
	a.printer.close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env, cmd.Dir = strings.NewReader(text), a.Out, a.Err, a.Env, a.Dir
	err := cmd.Run()
	if errors.As(err, new(*exec.ExitError)) {
		return nil // the user has left it, or it complained itself
	}
	if err != nil {
		_, err = io.WriteString(a.Out, text)
	}
	return err
}

func (a *app) pagerCommand(ctx context.Context) *exec.Cmd {
	pager := a.env("DVC_PAGER")
	if pager == "" {
		pager = a.env("PAGER")
	}
	if pager == "" || pager == "less" {
		less, err := exec.LookPath("less")
		if err != nil && pager == "" {
			return nil
		}
		if err != nil {
			less = "less"
		}
		args := []string{"--RAW-CONTROL-CHARS", "--chop-long-lines"}
		if a.env("LESS") == "" {
			args = append(args, "--quit-if-one-screen", "--no-init")
		}
		return exec.CommandContext(ctx, less, args...)
	}
	if runtime.GOOS == "windows" {
		words := strings.Fields(pager)
		return exec.CommandContext(ctx, words[0], words[1:]...)
	}
	return exec.CommandContext(ctx, "/bin/sh", "-c", pager)
}
