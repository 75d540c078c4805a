package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"ctrx/pipeline/dvcfile"
)

// originDepth bounds how many commits are searched for the origin of a state.
const originDepth = 500

// origins finds who recorded the present state of stages: the oldest commit
// since which dvc.lock holds it, or the run on this machine that wrote it.
func (p *Project) origins(ctx context.Context, stages []*Stage, runs map[string][]StageRun) (map[*Stage]*Origin, error) {
	found := map[*Stage]*Origin{}
	byLock := map[string]map[string]*Stage{} // dvc.lock -> name -> stage
	for _, s := range stages {
		if s.IsData() || s.Lock == nil {
			continue
		}
		if byLock[s.LockFile()] == nil {
			byLock[s.LockFile()] = map[string]*Stage{}
		}
		byLock[s.LockFile()][s.Name] = s
	}
	for file, pending := range byLock {
		if err := p.committedOrigins(ctx, file, pending, found); err != nil {
			return nil, err
		}
	}
	for _, s := range stages {
		digest := entryDigest(s.Lock)
		for _, r := range runs[s.Address(".")] {
			if digest == "" || r.Entry != digest {
				continue
			}
			if found[s] == nil {
				found[s] = &Origin{When: r.Began}
			}
			found[s].Experiment, found[s].RunID = r.Experiment, r.RunID
		}
	}
	return found, nil
}

// committedOrigins walks back from HEAD as long as dvc.lock holds the state of
// some stage that the work tree has.
func (p *Project) committedOrigins(ctx context.Context, file string, pending map[string]*Stage, found map[*Stage]*Origin) error {
	if p.Git == nil {
		return nil
	}
	head, err := p.Git.Head()
	if err != nil || head.Commit == "" {
		return err
	}
	var last []byte
	rev := head.Commit
	for range originDepth {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		src, err := p.Commit(rev)
		if err != nil {
			return nil // history ends here: a shallow clone
		}
		data, err := src.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read %s of commit %s: %w", file, rev, err)
		}
		if last == nil || string(data) != string(last) {
			dropChanged(file, data, pending)
			last = data
		}
		if len(pending) == 0 {
			return nil
		}
		c, err := p.Git.Commit(rev)
		if err != nil {
			return err
		}
		subject, _, _ := strings.Cut(c.Message, "\n")
		for _, s := range pending {
			found[s] = &Origin{Commit: c.Hash, Subject: subject, When: c.Time}
		}
		if len(c.Parents) == 0 {
			return nil
		}
		rev = c.Parents[0]
	}
	return nil
}

// dropChanged takes those stages out whose state a dvc.lock does not hold.
func dropChanged(file string, data []byte, pending map[string]*Stage) {
	lock, err := dvcfile.ParseLock(file, data)
	for name, s := range pending {
		if err == nil {
			if entry, ok := lock.Stage(name); ok && entryDigest(entry) == entryDigest(s.Lock) {
				continue
			}
		}
		delete(pending, name)
	}
}
