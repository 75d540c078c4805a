package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

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
	Commits        []string // further commits to keep the data of
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
	case o.Remote != "" && !o.Cloud && !o.NotInRemote:
		return errs.New(errs.Usage, "`--remote` requires `--cloud` or `--not-in-remote`")
	case o.NotInRemote && o.Cloud:
		return errs.New(errs.Usage, "`--not-in-remote` and `--cloud` are mutually exclusive")
	case !o.Workspace && !o.Revisions.Any() && o.Rev == "" && o.Date == "" && !o.AllExperiments && !o.Queue && len(o.Commits) == 0 && o.Num == 0:
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
	if len(o.Commits) > 0 {
		msg += " and the commits of MLflow runs"
	}
	if o.NotInRemote {
		msg += " that are not present in the DVC remote"
	}
	if len(o.Projects) == 0 {
		return msg + " of the current repo."
	}
	return msg + " of the current and the following repos:\n  - " + strings.Join(o.Projects, "\n  - ")
}

// used collects the digests that are kept, by the remote that an output names
// ("" for the default one). A digest is kept in the layout it was recorded for.
type used map[string]map[usedObject]struct{}

type usedObject struct {
	digest storage.Digest
	legacy bool
}

func (u used) add(remote string, d storage.Digest, legacy bool) {
	if u[remote] == nil {
		u[remote] = map[usedObject]struct{}{}
	}
	u[remote][usedObject{d, legacy}] = struct{}{}
}

// all is the union over the remotes.
func (u used) all() map[usedObject]struct{} {
	all := map[usedObject]struct{}{}
	for _, part := range u {
		for o := range part {
			all[o] = struct{}{}
		}
	}
	return all
}

// GC removes the objects that nothing kept refers to, from the cache and with
// Cloud from the remote. What leaves the cache goes to a trash for a while; see
// GCUndo. What is removed is what DVC removes with the same options.
func (p *Project) GC(ctx context.Context, o GCOptions) (GCResult, error) {
	var r GCResult
	if err := o.Check(); err != nil {
		return r, err
	}
	lock, err := p.Lock(ctx)
	if err != nil {
		return r, err
	}
	defer lock.Unlock()
	u := used{}
	for _, dir := range o.Projects {
		if err := p.collectOther(ctx, dir, o, u); err != nil {
			return r, err
		}
	}
	if err := p.collectUsed(ctx, o, u); err != nil {
		return r, err
	}
	keep := u.all()
	if o.NotInRemote {
		if keep, err = p.leaveRemote(ctx, o, u); err != nil {
			return r, err
		}
	}
	keeps := func(legacy bool) func(storage.Digest) bool {
		return func(d storage.Digest) bool { _, in := keep[usedObject{d, legacy}]; return in }
	}
	if r.Cache, err = p.Cache.Unused(ctx, keeps(false)); err != nil {
		return r, err
	}
	if r.Legacy, err = p.Cache.Legacy().Unused(ctx, keeps(true)); err != nil {
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

// discard removes what was found: local objects first, since they can be brought
// back.
func (p *Project) discard(ctx context.Context, o GCOptions, r *GCResult) (err error) {
	trash, now := p.trash(), p.now()
	for _, part := range []struct {
		cache   *storage.Cache
		objects []storage.StoredObject
	}{{p.Cache, r.Cache}, {p.Cache.Legacy(), r.Legacy}} {
		if o.Purge {
			err = part.cache.Delete(ctx, part.objects)
		} else {
			err = trash.Add(ctx, part.cache, part.objects, now)
		}
		if err != nil {
			return err
		}
	}
	for _, remote := range r.Remotes {
		if err := p.deleteFromRemote(ctx, remote, o.Jobs); err != nil {
			return err
		}
	}
	before := now.Add(-o.Grace)
	if o.Purge {
		before = now.Add(time.Second)
	} else if len(r.Cache)+len(r.Legacy) > 0 {
		r.Until = now.Add(o.Grace)
	}
	r.Expired, err = trash.Empty(ctx, before)
	return err
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

func (p *Project) collectOther(ctx context.Context, dir string, o GCOptions, u used) error {
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(p.Abs(p.Dir), dir)
	}
	other, err := Open(ctx, OpenOptions{Dir: dir, Args: p.args, Env: p.env, Sink: p.sink, Now: p.now, Ask: p.ask})
	if err != nil {
		return fmt.Errorf("project %s: %w", dir, err)
	}
	lock, err := other.Lock(ctx)
	if err == nil {
		err = other.collectUsed(ctx, o, u)
		lock.Unlock()
	}
	return errors.Join(err, other.Close())
}

// collectUsed enters the data of the work tree and of the revisions asked for.
func (p *Project) collectUsed(ctx context.Context, o GCOptions, u used) error {
	sources := []NamedSource{{Name: "workspace", Source: p.WorkTree()}}
	commits, err := p.gcCommits(ctx, o)
	if err != nil {
		return err
	}
	for _, c := range commits {
		src, err := p.Commit(c)
		if err != nil {
			return err
		}
		sources = append(sources, NamedSource{Name: c, Source: src})
	}
	seen := map[usedObject]string{}
	for _, s := range sources {
		ix, err := p.LoadIndex(ctx, s.Source)
		if err != nil {
			if o.SkipFailed {
				p.Warn("Failed to collect '%s', skipping", s.Name)
				continue
			}
			return errs.Hint(fmt.Errorf("collect '%s': %w", s.Name, err), "ctrx gc --skip-failed leaves out what cannot be read, and removes the data that only it uses")
		}
		for _, stage := range ix.Stages {
			if stage.isRepoImport() { // comes from another repository at any time
				continue
			}
			for _, out := range stage.Outs {
				if err := p.collectOutput(ctx, out, o, u, seen); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (p *Project) collectOutput(ctx context.Context, out *Output, o GCOptions, u used, seen map[usedObject]string) error {
	if !out.Cache || out.Recorded == nil || out.Recorded.Digest == "" {
		return nil
	}
	object := usedObject{out.Recorded.Digest, out.Recorded.Hash == ""}
	if remote, known := seen[object]; known && remote == out.Remote {
		return nil
	}
	seen[object] = out.Remote
	u.add(out.Remote, object.digest, object.legacy)
	if !object.digest.IsDir() {
		return nil
	}
	dir, err := p.dirAnywhere(ctx, out, o)
	if errors.Is(err, fs.ErrNotExist) {
		p.Warn("the list of files of '%s' (%s) is neither in the cache nor on its remote: they cannot be kept", out.Rel, object.digest)
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range dir {
		u.add(out.Remote, e.MD5, object.legacy)
	}
	return nil
}

// dirAnywhere reads a directory object from the cache, or brings it from the
// remote: its members must be known before anything is removed.
func (p *Project) dirAnywhere(ctx context.Context, out *Output, o GCOptions) (storage.DirObject, error) {
	cache := p.cacheOf(out.Recorded)
	dir, err := cache.ReadDir(ctx, out.Recorded.Digest)
	if !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	name, remoteErr := p.remoteName(out.Remote, o.Remote)
	if remoteErr != nil {
		return nil, err
	}
	b, _, remoteErr := p.openRemote(ctx, name)
	if remoteErr != nil {
		return nil, remoteErr
	}
	var text strings.Builder
	if err := b.Get(ctx, cache.Algorithm().Key(out.Recorded.Digest), &text); err != nil {
		return nil, err
	}
	if err := cache.Put(ctx, out.Recorded.Digest, strings.NewReader(text.String())); err != nil {
		return nil, err
	}
	return cache.ReadDir(ctx, out.Recorded.Digest)
}

// gcCommits lists the commits whose data is kept, each once.
func (p *Project) gcCommits(ctx context.Context, o GCOptions) ([]string, error) {
	asked := o.Revisions.Any() || o.Rev != "" || o.Date != "" || o.AllExperiments || o.Queue || len(o.Commits) > 0
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
	for _, c := range o.Commits {
		if _, err := p.Git.Commit(c); err == nil { // one that was made elsewhere has no data here
			commits = append(commits, c)
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

// gcRemotes maps each remote that used data belongs to to what it must keep.
func (p *Project) gcRemotes(o GCOptions, u used) (map[string]map[usedObject]struct{}, error) {
	def, err := p.remoteName(o.Remote, "")
	if err != nil {
		return nil, err
	}
	keep := map[string]map[usedObject]struct{}{def: {}}
	for name, objects := range u {
		if name == "" {
			name = def
		}
		if keep[name] == nil {
			keep[name] = map[usedObject]struct{}{}
		}
		for ob := range objects {
			keep[name][ob] = struct{}{}
		}
	}
	return keep, nil
}

// unusedOnRemotes lists what goes from each remote, in both layouts.
func (p *Project) unusedOnRemotes(ctx context.Context, o GCOptions, u used) ([]GCRemote, error) {
	keep, err := p.gcRemotes(o, u)
	if err != nil {
		return nil, err
	}
	var found []GCRemote
	for _, name := range sortedKeys(keep) {
		b, _, err := p.openRemote(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, alg := range []storage.Algorithm{storage.MD5, storage.MD5Dos2Unix} {
			keys, err := storage.UnusedRemote(ctx, b, alg, func(d storage.Digest) bool {
				_, in := keep[name][usedObject{d, alg == storage.MD5Dos2Unix}]
				return in
			})
			if err != nil && errs.KindOf(err) != errs.NotFound {
				return nil, fmt.Errorf("remote '%s': %w", name, err)
			}
			found = append(found, GCRemote{Name: name, Keys: keys})
		}
	}
	return found, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// deleteFromRemote removes directory objects before anything else: whoever sees
// one takes its members to be there.
func (p *Project) deleteFromRemote(ctx context.Context, r GCRemote, jobs int) error {
	b, _, err := p.openRemote(ctx, r.Name)
	if err != nil {
		return err
	}
	p.forgetRemote(r.Name)
	split := slices.IndexFunc(r.Keys, func(k string) bool { return !strings.HasSuffix(k, ".dir") })
	if split < 0 {
		split = len(r.Keys)
	}
	if jobs <= 0 {
		jobs = 8
	}
	for _, part := range [][]string{r.Keys[:split], r.Keys[split:]} {
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(jobs)
		for _, key := range part {
			g.Go(func() error { return b.Delete(gctx, key) })
		}
		if err := g.Wait(); err != nil {
			return fmt.Errorf("remote '%s': %w", r.Name, err)
		}
	}
	return nil
}

// leaveRemote narrows what is kept to what the remotes do not have.
func (p *Project) leaveRemote(ctx context.Context, o GCOptions, u used) (map[usedObject]struct{}, error) {
	perRemote, err := p.gcRemotes(o, u)
	if err != nil {
		return nil, err
	}
	keep := u.all()
	for _, name := range sortedKeys(perRemote) {
		b, _, err := p.openRemote(ctx, name)
		if err != nil {
			return nil, err
		}
		var objects []usedObject
		for ob := range perRemote[name] {
			objects = append(objects, ob)
		}
		there := make([]bool, len(objects))
		g, gctx := errgroup.WithContext(ctx)
		g.SetLimit(16)
		for i, ob := range objects {
			g.Go(func() error {
				alg := storage.MD5
				if ob.legacy {
					alg = storage.MD5Dos2Unix
				}
				_, err := b.Stat(gctx, alg.Key(ob.digest))
				there[i] = err == nil
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return nil, fmt.Errorf("remote '%s': %w", name, err)
		}
		for i, ob := range objects {
			if there[i] {
				delete(keep, ob)
			}
		}
	}
	return keep, nil
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
