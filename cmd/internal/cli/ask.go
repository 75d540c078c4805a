package cli

import (
	"context"
	"fmt"
	"os"

	"golang.org/x/term"

	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/storage/remote"
)

// ask gives what asks a person for a password, nil where the input is no
// terminal.
func (a *app) ask() pipeline.Ask {
	in, ok := a.In.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) || !isTerminal(a.Err) {
		return nil
	}
	return func(ctx context.Context, prompt string) (string, error) {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		answer, err := a.printer.question(prompt, func() ([]byte, error) { return term.ReadPassword(int(in.Fd())) })
		if err != nil {
			return "", errs.New(errs.Auth, "ask for a password: %w", err)
		}
		return string(answer), nil
	}
}

// question shows a prompt and reads the answer while nothing else is printed.
func (p *printer) question(prompt string, read func() ([]byte, error)) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprint(p.err, prompt)
	answer, err := read()
	fmt.Fprintln(p.err)
	return answer, err
}

// access is what places beyond this machine are opened with.
func (a *app) access() remote.Access {
	return remote.Access{Env: a.env, Ask: a.ask(), Sink: a.printer}
}
