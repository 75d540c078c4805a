package pipeline

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// GCOptions say what data `gc` keeps. The work tree's is always kept; one of the
// roots, or Workspace, must be asked for, as in DVC.
type GCOptions struct {
	Workspace      bool
	Revisions               // branches, tags, commits
	Rev            string   // a revision
	Num            int      // so many commits of Rev and of each branch, first parents; 0 is 1
	Date           string   // YYYY-MM-DD: commits since then
	AllExperiments bool     // commits of experiments
	Queue          bool     // experiments that wait in the queue or failed
	Runs           *GCRoots // what the runs of a tracking store refer to; nil: not asked for
	NotInRemote    bool     // keep used data only where the remote lacks it
	Cloud          bool     // also remove from the remote
	Remote         string
	Jobs           int
	Projects       []string      // folders of other projects that share the cache
	SkipFailed     bool          // leave out revisions that cannot be read
	Dry            bool          // list, remove nothing
	Purge          bool          // delete at once, without the trash, and empty the trash
	Grace          time.Duration // how long the trash keeps objects
}

// GCRoots are what keeps data beside the repository's own commits.
type GCRoots struct {
	Commits []string         // those that this repository does not have keep nothing
	Data    []storage.Digest // of either layout; others than digests are passed over
}

// GCResult is what was removed, or with Dry would be.
type GCResult struct {
	Cache, Legacy []storage.StoredObject
	Remotes       []GCRemote
	Expired       int       // objects that left the trash for good
	Until         time.Time // until when the trash keeps what was removed; zero when deleted at once
}

// GCRemote is what one remote loses in one layout.
type GCRemote struct {
	Name string
	Keys []string
}

// Bytes is the size of what the cache loses.
func (r GCResult) Bytes() int64 {
	var n int64
	for _, o := range append(slices.Clone(r.Cache), r.Legacy...) {
		n += o.Size
	}
	return n
}

// Check refuses options that do not go together.
func (o GCOptions) Check() error {
	switch {
	case o.NotInRemote && o.Cloud:
		return errs.New(errs.Usage, "`--not-in-remote` and `--cloud` are mutually exclusive")
	case !o.Workspace && !o.Revisions.Any() && o.Rev == "" && o.Date == "" && !o.AllExperiments && !o.Queue && o.Runs == nil && o.Num == 0:
		return errs.Hint(errs.New(errs.Usage, "Either of `-w|--workspace`, `-a|--all-branches`, `-T|--all-tags` `--all-experiments`, `--all-commits`, `--date` or `--rev` needs to be set."),
			"ctrx gc -w --dry lists what only the work tree would keep")
	case o.Num != 0 && o.Rev == "" && !o.AllBranches:
		return errs.New(errs.Usage, "`--num` can only be used alongside `--rev` or `--all-branches`")
	}
	return nil
}

// Warning is DVC's sentence about what stays.
func (o GCOptions) Warning() string {
	msg := "This will remove all cache except items used in the workspace"
	last := func(what string) string { return fmt.Sprintf(" and last %d commits from %s", o.Num, what) }
	switch {
	case o.AllCommits:
		msg += " and all git commits"
	case o.AllBranches && o.AllTags && o.Num > 0:
		msg += last("all git branches") + " and all git tags"
	case o.AllBranches && o.AllTags:
		msg += " and all git branches and tags"
	case o.AllBranches && o.Num > 0:
		msg += last("all git branches")
	case o.AllBranches:
		msg += " and all git branches"
	case o.AllTags:
		msg += " and all git tags"
	}
	if !o.AllCommits && o.Date != "" {
		msg += " and all git commits before date " + o.Date
	}
	if !o.AllCommits && o.Rev != "" {
		msg += fmt.Sprintf(" and last %d commits from %s", max(o.Num, 1), o.Rev)
	}
	if o.AllExperiments {
		msg += " and all experiments"
	}
	if o.Queue {
		msg += " and all queued and failed experiments"
	}
	if o.Runs != nil {
		msg += " and MLflow runs"
	}
	if o.NotInRemote {
		msg += " that are not present in the DVC remote"
	}
	if len(o.Projects) == 0 {
		return msg + " of the current repo."
	}
	return msg + " of the current and the following repos:\n  - " + strings.Join(o.Projects, "\n  - ")
}

// GC removes the objects that nothing kept refers to, from the cache and with
// Cloud from the remote. What leaves the cache goes to a trash for a while; see
// GCUndo. What is removed is what DVC removes with the same options, but for the
// data of the repository's other work trees, which is kept.
func (p *Project) GC(ctx context.Context, o GCOptions) (GCResult, error) {
	var r GCResult
	if err := o.Check(); err != nil {
		return r, err
	}
	if o.Remote != "" && !o.Cloud && !o.NotInRemote {
		p.Warn("nothing is removed from remote '%s': that is for --cloud", o.Remote)
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return r, err
	}
	defer lock.Unlock()
	if !o.Dry {
		guard, err := p.collectCache(ctx)
		if err != nil {
			return r, err
		}
		defer guard.Release()
	}
	u := used{}
	for _, dir := range o.Projects {
		if err := p.collectOther(ctx, dir, o, u); err != nil {
			return r, err
		}
	}
	if err := p.collectUsed(ctx, o, u); err != nil {
		return r, err
	}
	if err := p.collectWorkTrees(ctx, o, u); err != nil {
		return r, err
	}
	keep := u.all()
	if o.NotInRemote {
		if keep, err = p.leaveRemote(ctx, o, u); err != nil {
			return r, err
		}
	}
	if err := p.findUnused(ctx, keep, &r); err != nil {
		return r, err
	}
	if o.Cloud {
		if r.Remotes, err = p.unusedOnRemotes(ctx, o, u); err != nil {
			return r, err
		}
	}
	if o.Dry {
		return r, nil
	}
	return r, p.discard(ctx, o, &r)
}

// findUnused lists the objects of the cache that are not kept.
func (p *Project) findUnused(ctx context.Context, keep map[usedObject]struct{}, r *GCResult) (err error) {
	step := storage.NewStep(p.sink, "list cache", "objects", 0)
	defer step.Finish()
	keeps := func(legacy bool) func(storage.Digest) bool {
		return func(d storage.Digest) bool {
			step.Add(1)
			_, in := keep[usedObject{d, legacy}]
			return in
		}
	}
	if r.Cache, err = p.Cache.Unused(ctx, keeps(false)); err != nil {
		return err
	}
	r.Legacy, err = p.Cache.Legacy().Unused(ctx, keeps(true))
	return err
}

// discardAtOnce is how many objects are removed between two looks at the progress.
const discardAtOnce = 512

// discard removes what was found: local objects first, since they can be brought
// back.
func (p *Project) discard(ctx context.Context, o GCOptions, r *GCResult) (err error) {
	trash, now := p.trash(), p.now()
	all := len(r.Cache) + len(r.Legacy)
	for _, remote := range r.Remotes {
		all += len(remote.Keys)
	}
	step := storage.NewStep(p.sink, "remove", "objects", all)
	defer step.Finish()
	for _, part := range []struct {
		cache   *storage.Cache
		objects []storage.StoredObject
	}{{p.Cache, r.Cache}, {p.Cache.Legacy(), r.Legacy}} {
		for some := range slices.Chunk(part.objects, discardAtOnce) {
			if o.Purge {
				err = part.cache.Delete(ctx, some)
			} else {
				err = trash.Add(ctx, part.cache, some, now)
			}
			if err != nil {
				return err
			}
			step.Add(len(some))
		}
	}
	for _, remote := range r.Remotes {
		if err := p.deleteFromRemote(ctx, remote, o.Jobs, step); err != nil {
			return err
		}
	}
	before := now.Add(-o.Grace)
	if o.Purge {
		before = now.Add(time.Second)
	} else if len(r.Cache)+len(r.Legacy) > 0 {
		r.Until = now.Add(o.Grace)
	}
	if r.Expired, err = trash.Empty(ctx, before); err != nil {
		return err
	}
	return p.forgetFolderLists()
}

// trash is where removed objects wait: below .dvc/tmp, or beside the objects of
// a cache that is on another disk.
func (p *Project) trash() *storage.Trash {
	return storage.OpenTrash(filepath.Join(p.TmpDir(), "ctrx", "trash"), filepath.Join(p.Cache.Dir(), ".ctrx-trash"))
}

// GCUndo brings everything in the trash back into the cache.
func (p *Project) GCUndo(ctx context.Context) (objects int, err error) {
	lock, err := p.Lock(ctx)
	if err != nil {
		return 0, err
	}
	defer lock.Unlock()
	return p.trash().Restore(ctx, p.Cache)
}

// GCPurge empties the trash.
func (p *Project) GCPurge(ctx context.Context) (objects int, err error) {
	lock, err := p.Lock(ctx)
	if err != nil {
		return 0, err
	}
	defer lock.Unlock()
	return p.trash().Empty(ctx, p.now().Add(time.Second))
}

// Value gives the result as JSON, see docs/json-output.md.
func (r GCResult) Value(dry bool) *dvcfile.Map {
	objects := func(list []storage.StoredObject) []dvcfile.Value {
		values := make([]dvcfile.Value, len(list))
		for i, o := range list {
			values[i] = dvcfile.NewMap("digest", string(o.Digest), "size", dvcfile.NewInt(o.Size))
		}
		return values
	}
	remotes := make([]dvcfile.Value, 0, len(r.Remotes))
	for _, rm := range r.Remotes {
		if len(rm.Keys) > 0 {
			remotes = append(remotes, dvcfile.NewMap("remote", rm.Name, "keys", textValues(rm.Keys)))
		}
	}
	m := dvcfile.NewMap("dry", dry, "cache", objects(r.Cache), "legacy", objects(r.Legacy), "remotes", remotes, "expired", dvcfile.NewInt(int64(r.Expired)))
	if !r.Until.IsZero() {
		m.Set("until", r.Until.UTC().Format(time.RFC3339))
	}
	return m
}
