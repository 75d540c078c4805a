package experiment

import (
	"context"
	"errors"
	"slices"
	"strings"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/pipeline"
)

// ShareOptions is one call of `ctrx exp push` or `ctrx exp pull`.
type ShareOptions struct {
	Selection          // used where no name is given
	Names     []string // names, commits or full refs
	Force     bool     // replace what has diverged
	NoCache   bool     // refs only, no data
	DVCRemote string   // of the data; "" for the default one
	Jobs      int
	RunCache  bool
	GitRemote string // name or URL of the Git remote
}

// Shared is what a push or pull did, by names of experiments, sorted.
type Shared struct {
	Done     []string // pushed or pulled
	UpToDate []string
	Diverged []string // left alone: the other side has other results of that name
	Data     pipeline.Transferred
}

// Push sends experiments to a Git remote, and their data to the remote of the
// data. When the data cannot be sent the refs are sent all the same: the result
// says so beside the error. Where there is no remote for data that is a warning,
// as experiments are of use without it.
func Push(ctx context.Context, p *pipeline.Project, o ShareOptions) (Shared, error) {
	var done Shared
	repo, err := p.Repo()
	if err != nil {
		return done, err
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return done, err
	}
	defer lock.Unlock()
	refs, err := o.chosen(ctx, repo, "")
	if err != nil || len(refs) == 0 {
		return done, err
	}
	sent, err := o.pushRefs(ctx, repo, refs, &done)
	if err != nil {
		return Shared{}, err
	}
	if o.NoCache || len(sent) == 0 {
		return done, nil
	}
	done.Data, err = p.Push(ctx, o.transfer(repo, sent))
	if errors.Is(err, pipeline.ErrNoRemote) {
		p.Warn("no data was pushed: there is no remote for it. To send it too: ctrx remote add -d NAME URL, then this command again")
		return done, nil
	}
	if err != nil {
		return done, errs.New(errs.KindOf(err), "failed to push cache: %w", errs.Hint(err, "the experiments are at '%s' already; for their data: ctrx exp push %s, or do without: --no-cache", o.GitRemote, o.GitRemote))
	}
	return done, nil
}

// pushRefs sends the refs of experiments, as far as they are not there, and
// gives those that are there then.
func (o ShareOptions) pushRefs(ctx context.Context, repo *gitops.Repo, refs []Ref, done *Shared) ([]Ref, error) {
	there, err := repo.RemoteRefs(ctx, o.GitRemote, prefix+"*")
	if err != nil {
		return nil, err
	}
	var changes []gitops.RefChange
	var sent []Ref
	for _, r := range refs {
		change := gitops.RefChange{Name: r.Full, New: r.Commit, Old: commitAt(there, r.Full)}
		how, err := o.compare(ctx, repo, change)
		if err != nil {
			return nil, err
		}
		if done.add(how, r.Name); how != diverged {
			sent = append(sent, r)
		}
		if how == fresh {
			changes = append(changes, change)
		}
	}
	return sent, repo.PushRefs(ctx, o.GitRemote, changes)
}

// Pull brings experiments of a Git remote here, and their data into the cache.
// The work tree stays as it is. That there is no remote for data is a warning.
func Pull(ctx context.Context, p *pipeline.Project, o ShareOptions) (Shared, error) {
	var done Shared
	repo, err := p.Repo()
	if err != nil {
		return done, err
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return done, err
	}
	defer lock.Unlock()
	refs, err := o.chosen(ctx, repo, o.GitRemote)
	if err != nil || len(refs) == 0 {
		return done, err
	}
	var missing []string
	for _, r := range refs {
		if !repo.Has(r.Commit) {
			missing = append(missing, r.Full)
		}
	}
	if err := repo.FetchObjects(ctx, o.GitRemote, missing); err != nil {
		return done, err
	}
	var here []Ref
	for _, r := range refs {
		old, _, err := repo.Ref(r.Full)
		if err != nil {
			return done, err
		}
		how, err := o.compare(ctx, repo, gitops.RefChange{Name: r.Full, New: r.Commit, Old: old})
		if err != nil {
			return done, err
		}
		if how == fresh {
			if err := repo.SetRef(r.Full, r.Commit, old, "exp pull "+o.GitRemote); err != nil {
				return done, err
			}
		}
		if done.add(how, r.Name); how != diverged {
			here = append(here, r)
		}
	}
	if o.NoCache || len(here) == 0 {
		return done, nil
	}
	done.Data, err = p.Fetch(ctx, o.transfer(repo, here))
	if errors.Is(err, pipeline.ErrNoRemote) {
		p.Warn("not all data of the experiments is here, and there is no remote for it. To fetch it: ctrx remote add -d NAME URL, then this command again")
		return done, nil
	}
	return done, err
}

// chosen are the experiments that are meant, sorted by name.
func (o ShareOptions) chosen(ctx context.Context, repo *gitops.Repo, remote string) ([]Ref, error) {
	refs, err := refsOf(ctx, repo, remote)
	if err != nil {
		return nil, err
	}
	if len(o.Names) > 0 && !o.All {
		refs, err = findAll(repo, refs, o.Names)
	} else {
		refs, err = o.of(ctx, repo, refs)
	}
	slices.SortStableFunc(refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
	return refs, err
}

func commitAt(refs []gitops.Ref, name string) string {
	for _, r := range refs {
		if r.Name == name {
			return r.Commit
		}
	}
	return ""
}

// comparison is how an experiment stands to the one of its name on the other
// side.
type comparison int

const (
	fresh    comparison = iota // new there, or newer, or to be replaced
	upToDate                   // the same
	diverged                   // another one, which stays
)

func (o ShareOptions) compare(ctx context.Context, repo *gitops.Repo, c gitops.RefChange) (comparison, error) {
	switch {
	case c.Old == c.New:
		return upToDate, nil
	case c.Old == "" || o.Force:
		return fresh, nil
	}
	newer, err := repo.IsAncestor(ctx, c.Old, c.New)
	if newer {
		return fresh, err
	}
	return diverged, err
}

func (s *Shared) add(how comparison, name string) {
	switch how {
	case fresh:
		s.Done = append(s.Done, name)
	case upToDate:
		s.UpToDate = append(s.UpToDate, name)
	default:
		s.Diverged = append(s.Diverged, name)
	}
}

// transfer selects the data of experiments: that of their commits from the last
// one back to the baseline, which itself is not of the experiment.
func (o ShareOptions) transfer(repo *gitops.Repo, refs []Ref) pipeline.TransferOptions {
	t := pipeline.TransferOptions{Remote: o.DVCRemote, Jobs: o.Jobs, RunCache: o.RunCache}
	for _, r := range refs {
		for commit := r.Commit; commit != "" && commit != r.Baseline; {
			if !slices.Contains(t.Commits, commit) {
				t.Commits = append(t.Commits, commit)
			}
			info, err := repo.Commit(commit)
			if err != nil || len(info.Parents) == 0 {
				break
			}
			commit = info.Parents[0]
		}
	}
	return t
}
