package pipeline

import (
	"context"
	"slices"
	"strings"
	"time"

	"ctrx/internal/errs"
)

// gcCommits lists the commits whose data is kept, each once.
func (p *Project) gcCommits(ctx context.Context, o GCOptions) ([]string, error) {
	asked := o.Revisions.Any() || o.Rev != "" || o.Date != "" || o.AllExperiments || o.Queue || o.Runs != nil
	if !asked || p.Git == nil {
		return nil, nil
	}
	var commits []string
	add := func(found []string, err error) error {
		commits = append(commits, found...)
		return err
	}
	if o.Rev != "" {
		if err := add(p.lastCommits(o.Rev, o.Num)); err != nil {
			return nil, err
		}
	}
	if err := p.gcRefs(ctx, o, add); err != nil {
		return nil, err
	}
	if o.AllExperiments {
		if err := add(p.experimentCommits()); err != nil {
			return nil, err
		}
	}
	if o.Queue {
		if err := add(p.queuedCommits()); err != nil {
			return nil, err
		}
	}
	if o.Runs != nil {
		for _, c := range o.Runs.Commits {
			if _, err := p.Git.Commit(c); err == nil { // one that was made elsewhere has no data here
				commits = append(commits, c)
			}
		}
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(commits, func(c string) bool { known := seen[c]; seen[c] = true; return known }), nil
}

func (p *Project) gcRefs(ctx context.Context, o GCOptions, add func([]string, error) error) error {
	if o.AllCommits {
		return add(p.Git.AllCommits(ctx))
	}
	for _, kind := range []struct {
		wanted bool
		prefix string
		num    int
	}{{o.AllBranches, "refs/heads/", o.Num}, {o.AllTags, "refs/tags/", 1}} {
		if !kind.wanted {
			continue
		}
		refs, err := p.Git.Refs(kind.prefix)
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if err := add(p.lastCommits(ref.Name, kind.num)); err != nil {
				return err
			}
		}
	}
	if o.Date == "" {
		return nil
	}
	since, err := time.ParseInLocation("2006-01-02", o.Date, p.now().Location())
	if err != nil {
		return errs.New(errs.Usage, "--date is a day like 2026-11-30, not %q", o.Date)
	}
	all, err := p.Git.AllCommits(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		if info, err := p.Git.Commit(c); err != nil || !info.Time.Before(since) {
			if err := add([]string{c}, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// lastCommits gives a revision and its first parents, num in all.
func (p *Project) lastCommits(rev string, num int) ([]string, error) {
	var commits []string
	for i := 0; i < max(num, 1) && rev != ""; i++ {
		info, err := p.Git.Commit(rev)
		if err != nil {
			if i > 0 { // a shallow clone ends here
				return commits, nil
			}
			return nil, err
		}
		commits = append(commits, info.Hash)
		rev = ""
		if len(info.Parents) > 0 {
			rev = info.Parents[0]
		}
	}
	return commits, nil
}

// experimentCommits lists the commits of all experiments: from the tip of each
// ref refs/exps/<2>/<38>/<name> down to its baseline.
func (p *Project) experimentCommits() ([]string, error) {
	refs, err := p.Git.Refs("refs/exps/")
	if err != nil {
		return nil, err
	}
	var commits []string
	for _, ref := range refs {
		parts := strings.Split(ref.Name, "/")
		if len(parts) < 5 || len(parts[2]) != 2 || len(parts[3]) != 38 {
			continue
		}
		baseline := parts[2] + parts[3]
		for at := ref.Commit; at != "" && at != baseline; {
			info, err := p.Git.Commit(at)
			if err != nil {
				return nil, err
			}
			commits = append(commits, info.Hash)
			at = ""
			if len(info.Parents) > 0 {
				at = info.Parents[0]
			}
		}
	}
	return commits, nil
}

// queuedCommits lists the commits that DVC's queue is made of: the entries of
// the logs of refs/exps/stash and refs/exps/celery/*.
func (p *Project) queuedCommits() ([]string, error) {
	refs, err := p.Git.Refs("refs/exps/celery/")
	if err != nil {
		return nil, err
	}
	names := []string{"refs/exps/stash"}
	for _, ref := range refs {
		names = append(names, ref.Name)
	}
	var commits []string
	for _, name := range names {
		if hash, ok, err := p.Git.Ref(name); err == nil && ok {
			commits = append(commits, hash)
		}
		entries, err := p.Git.Reflog(name)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if _, err := p.Git.Commit(e.New); err == nil {
				commits = append(commits, e.New)
			}
		}
	}
	return commits, nil
}
