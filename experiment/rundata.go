package experiment

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/internal/settings"
	"ctrx/pipeline"
	"ctrx/tracking"
)

// checkoutData brings back what a run holds without its commit: stage files,
// locks, params and metrics files that are artifacts, and the data that its
// record names. The result is a project without Git.
func checkoutData(ctx context.Context, p *pipeline.Project, client *tracking.Client, o RunCheckoutOptions) (done RunRestored, err error) {
	if err := refuseParent(ctx, client, o.Run); err != nil {
		return done, err
	}
	if o.Worktree == "" {
		return done, errs.Hint(errs.New(errs.Usage, "--data-only needs a folder"), "ctrx runs checkout %s --data-only --worktree DIR", o.Run.ID[:min(8, len(o.Run.ID))])
	}
	if err := gitops.CheckFree(o.Worktree); err != nil {
		return done, err
	}
	record, err := readRecord(ctx, client, o.Run)
	if err != nil {
		return done, fmt.Errorf("what data run %s saw is not known: %w", o.Run.ID, err)
	}
	for _, s := range record.Stages {
		if s.Error != "" {
			done.Failed = append(done.Failed, FailedStage{Stage: s.Stage, Error: s.Error})
			done.Warnings = append(done.Warnings, fmt.Sprintf("stage '%s' failed in this run: what it left of its outputs went to no cache and is not brought back; to make it: ctrx repro %s", s.Stage, s.Stage))
		}
	}
	data, err := o.recorded(ctx, p, record, &done)
	if err != nil {
		return done, err
	}
	parent := filepath.Dir(o.Worktree)
	if err := os.MkdirAll(parent, 0o777); err != nil {
		return done, fsx.FullDisk(err)
	}
	temp := filepath.Join(parent, "."+filepath.Base(o.Worktree)+".ctrx-"+o.ID)
	if err := os.Mkdir(temp, 0o777); err != nil {
		return done, fsx.FullDisk(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	if err := o.fillFolder(ctx, p, client, temp, record, data); err != nil {
		return done, err
	}
	if err := os.Remove(o.Worktree); err != nil && !fsx.Missing(err) {
		return done, err
	}
	if err := os.Rename(temp, o.Worktree); err != nil {
		return done, errors.Join(gitops.CheckFree(o.Worktree), err)
	}
	done.Dir = o.Worktree
	return done, nil
}

// recorded makes sure that the data of a record is in the cache, and gives what
// of it is.
func (o RunCheckoutOptions) recorded(ctx context.Context, p *pipeline.Project, record runRecord, done *RunRestored) ([]pipeline.Recorded, error) {
	var data []pipeline.Recorded
	for _, out := range record.Outputs {
		if out.Kept != string(pipeline.KeptByDVC) {
			continue
		}
		remote := out.Remote
		if !slices.Contains(p.Config.Remotes(), remote) {
			remote = "" // of another configuration: the default one is asked
		}
		r, err := pipeline.NewRecorded(out.Path, out.MD5, out.Hash, remote, out.Exec)
		if err != nil {
			return nil, fmt.Errorf("the record of run %s: %w", o.Run.ID, err)
		}
		data = append(data, r)
	}
	moved, missing, err := p.FetchRecorded(ctx, data, pipeline.TransferOptions{Remote: o.Remote, Jobs: o.Jobs})
	if err != nil {
		return nil, fmt.Errorf("fetch the data of run %s: %w", o.Run.ID, err)
	}
	done.Fetched = moved.Files
	if len(missing) == 0 {
		return data, nil
	}
	gap := &ObjectsMissingError{Run: o.Run, Data: missing, Remotes: o.asked(p, missing)}
	if !o.AllowMissing {
		return nil, gap
	}
	done.Warnings = append(done.Warnings, gap.Error())
	return slices.DeleteFunc(data, func(r pipeline.Recorded) bool {
		lost := slices.ContainsFunc(missing, func(m pipeline.MissingData) bool { return m.Rel == r.Rel })
		if lost {
			done.Missing = append(done.Missing, r.Rel)
		}
		return lost
	}), nil
}

// fillFolder makes the project of a checkout without Git.
func (o RunCheckoutOptions) fillFolder(ctx context.Context, p *pipeline.Project, client *tracking.Client, dir string, record runRecord, data []pipeline.Recorded) (err error) {
	root, err := fsx.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range record.Files {
		if err := root.CheckName(filepath.FromSlash(name)); err != nil || strings.HasPrefix(name, ".dvc/") {
			return errs.New(errs.DataCorrupt, "the record of run %s names a file %q: %w", o.Run.ID, name, err)
		}
		content, err := client.ReadArtifact(ctx, o.Run, name, 1<<30)
		if err != nil {
			return err
		}
		if err := root.MkdirAll(filepath.Dir(filepath.FromSlash(name)), 0o777); err != nil {
			return err
		}
		if err := root.WriteFile(filepath.FromSlash(name), content, 0o666); err != nil {
			return err
		}
	}
	if err := o.configure(p, dir); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	made, err := p.Beside(ctx, dir, o.Sink)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, made.Close()) }()
	return made.CheckoutRecorded(ctx, data)
}

// configure gives the folder the settings of the project, and takes Git away.
func (o RunCheckoutOptions) configure(p *pipeline.Project, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, ".dvc"), 0o777); err != nil {
		return fsx.FullDisk(err)
	}
	content, err := os.ReadFile(p.Config.File(settings.Repo))
	if err != nil && !fsx.Missing(err) {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, ".dvc", "config"), content, 0o666); err != nil {
		return fsx.FullDisk(err)
	}
	if err := CopySettings(p, dir); err != nil {
		return err
	}
	config, err := settings.ReadDVC(settings.Options{Root: dir, Env: func(string) string { return "" }})
	if err != nil {
		return err
	}
	return config.Set(settings.Local, settings.Name{Section: "core", Key: "no_scm"}, "true", dir)
}
