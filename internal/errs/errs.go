// Package errs names the kinds of failure ctrx distinguishes, and carries the
// hint that tells a user which command to type next.
//
// A caller that decides on a failure matches it with errors.Is or errors.As;
// the command line asks KindOf once, at the very end, for the exit code.
package errs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Kind classifies a failure. Each kind has one documented exit code.
type Kind int

// The kinds, in the order of their exit codes.
const (
	Failed      Kind = iota // a stage, transfer or gate failed
	Usage                   // wrong arguments or flags
	ProjectFile             // dvc.yaml, dvc.lock, .dvc, params, config: broken or wrong-typed
	NotFound                // a revision, stage, remote, experiment or file that was asked for
	Conflict                // busy (locked) or in conflict with what is already there
	DataMissing             // recorded data that is in no cache or remote
	DataCorrupt             // data whose content does not match its digest
	Auth                    // credentials missing or refused
	Unreachable             // a server that does not answer
	Deleted                 // a run that its server keeps as deleted
	CommitGone              // the commit of a run, which no repository that was asked has
	Interrupted             // SIGINT or a cancelled context
	Terminated              // SIGTERM
)

// Row describes a kind for the README and `ctrx help exit-codes`.
type Row struct {
	Kind Kind
	Code int
	Text string
}

// Table lists the exit codes. It is the one source for the code of a kind and
// for every place that documents it. 0 is success and 2 is left to a crash of
// the Go runtime.
func Table() []Row {
	return []Row{
		{Failed, 1, "failed: a stage, a transfer or a check did not succeed"},
		{Usage, 3, "usage: wrong command, flag or argument"},
		{ProjectFile, 4, "bad project file: dvc.yaml, dvc.lock, .dvc, params, ctrx.yaml or config"},
		{NotFound, 5, "not found: repository, revision, stage, remote, experiment or file"},
		{Conflict, 6, "busy or conflict: another process holds the lock, a name is taken or means several things, or changes would be lost"},
		{DataMissing, 7, "data missing: recorded data is neither in the cache nor on the remote"},
		{DataCorrupt, 8, "data corrupt: content does not match its recorded hash"},
		{Auth, 9, "authentication: credentials are missing or were refused"},
		{Unreachable, 10, "server unreachable"},
		{Deleted, 11, "deleted: the run is there and marked as deleted, so it can be restored on its server"},
		{CommitGone, 12, "commit gone: the commit of a run is neither here nor at a Git remote"},
		{Interrupted, 130, "interrupted (SIGINT, Ctrl-C)"},
		{Terminated, 143, "terminated (SIGTERM)"},
	}
}

// ExitCode returns the process exit code of the kind.
func (k Kind) ExitCode() int {
	for _, r := range Table() {
		if r.Kind == k {
			return r.Code
		}
	}
	return 1
}

type kindError struct {
	kind Kind
	hint string
	err  error
}

func (e *kindError) Error() string { return e.err.Error() }
func (e *kindError) Unwrap() error { return e.err }
func (e *kindError) Kind() Kind    { return e.kind }
func (e *kindError) Hint() string  { return e.hint }

// New makes an error of a kind. The format may wrap a cause with %w.
func New(kind Kind, format string, args ...any) error {
	return &kindError{kind: kind, err: fmt.Errorf(format, args...)}
}

// Hint adds the next thing to type (a command) to an error, keeping its kind.
func Hint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &kindError{kind: KindOf(err), hint: fmt.Sprintf(format, args...), err: err}
}

// KindOf gives the kind of the first error in the chain that has one;
// a cancelled context is Interrupted, everything else is Failed.
func KindOf(err error) Kind {
	var k interface{ Kind() Kind }
	if errors.As(err, &k) {
		return k.Kind()
	}
	if errors.Is(err, context.Canceled) {
		return Interrupted
	}
	return Failed
}

// Has tells whether an error, or any of those that it is made of, has a kind.
func Has(err error, kind Kind) bool {
	if k, ok := err.(interface{ Kind() Kind }); ok && k.Kind() == kind {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(part error) bool { return Has(part, kind) })
	case interface{ Unwrap() error }:
		return Has(e.Unwrap(), kind)
	}
	return false
}

// HintOf gives the outermost hint in the chain. One of the system's refusals has
// a hint in any case; else it is "".
func HintOf(err error) string {
	if hint := givenHint(err); hint != "" || !errors.Is(err, fs.ErrPermission) {
		return hint
	}
	return "check who owns it and who may read and write there (ls -ld PATH), then repeat the command: nothing was lost"
}

func givenHint(err error) string {
	for err != nil {
		var h interface{ Hint() string }
		if !errors.As(err, &h) {
			return ""
		}
		if s := h.Hint(); s != "" {
			return s
		}
		err = errors.Unwrap(h.(error))
	}
	return ""
}
