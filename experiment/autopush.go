package experiment

import (
	"context"
	"errors"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline"
)

// autoPush gives the Git remote that experiments are sent to when they are
// made: exp.auto_push and exp.git_remote of DVC's configuration, or
// DVC_EXP_AUTO_PUSH and DVC_EXP_GIT_REMOTE. ok is false where they are not.
func autoPush(p *pipeline.Project) (remote string, ok bool) {
	ok = p.Config.Bool("exp", "auto_push", false)
	if text := p.Getenv("DVC_EXP_AUTO_PUSH"); text != "" {
		switch strings.ToLower(text) {
		case "1", "y", "yes", "true":
			ok = true
		default:
			ok = false
		}
	}
	remote = p.Getenv("DVC_EXP_GIT_REMOTE")
	if remote == "" {
		remote, _ = p.Config.Get("exp", "git_remote")
	}
	if remote == "" {
		remote = "origin"
	}
	return remote, ok
}

// autoPush sends the experiment and its data. A run that is done is done: what
// goes wrong here is only warned about.
func (r *run) autoPush(ctx context.Context, remote string) error {
	p := r.home()
	p.Info("Pushing experiment to '%s'.", remote)
	o := ShareOptions{GitRemote: remote, RunCache: true, Force: r.options.Overwrite}
	ref := Ref{Name: r.outcome.Name, Baseline: r.outcome.Baseline, Commit: r.outcome.Commit, Full: r.outcome.Ref}
	done := Shared{}
	// The data goes first, so that who sees the ref finds it.
	t, err := p.Push(ctx, o.transfer(p.Git, []Ref{ref}))
	switch {
	case errors.Is(err, pipeline.ErrNoRemote):
		p.Warn("no data was pushed: there is no remote for it. To have one: ctrx remote add -d NAME URL")
		err = nil
	case err == nil:
		p.Info("%s", t.PushSummary())
	}
	if err == nil {
		_, err = o.pushRefs(ctx, p.Git, []Ref{ref}, &done)
	}
	if err == nil && len(done.Diverged) > 0 {
		err = errs.New(errs.Conflict, "it has another experiment of that name")
	}
	if err != nil && ctx.Err() == nil {
		p.Warn("Something went wrong while auto pushing experiment to the remote '%s': %v", remote, err)
		return nil
	}
	return err
}
