package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

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

func (p *Project) collectOther(ctx context.Context, dir string, o GCOptions, u used) error {
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(p.Abs(p.Dir), dir)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return errs.New(errs.NotFound, "the project '%s' is not there", dir)
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

// collectWorkTrees enters the data of the repository's other work trees: those
// that `runs checkout` makes use the cache of the one that they came from.
func (p *Project) collectWorkTrees(ctx context.Context, o GCOptions, u used) error {
	if p.Git == nil {
		return nil
	}
	dirs, err := p.Git.WorkTrees()
	if err != nil {
		return err
	}
	only := GCOptions{Workspace: true, NotInRemote: o.NotInRemote, Cloud: o.Cloud, Remote: o.Remote, Jobs: o.Jobs, SkipFailed: o.SkipFailed}
	for _, dir := range dirs {
		dir = filepath.Join(dir, filepath.FromSlash(p.GitPath(".")))
		if _, err := os.Stat(filepath.Join(dir, ".dvc")); err != nil {
			continue // its commit has no such project
		}
		if err := p.collectOther(ctx, dir, only, u); err != nil {
			return fmt.Errorf("work tree %s: %w", dir, err)
		}
	}
	return nil
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
	if err := p.collectData(ctx, o, u, seen); err != nil {
		return err
	}
	step := storage.NewStep(p.sink, "collect", "revisions", len(sources))
	defer step.Finish()
	for _, s := range sources {
		ix, err := p.LoadIndex(ctx, s.Source)
		if err != nil {
			if o.SkipFailed {
				p.Warn("Failed to collect '%s', skipping", s.Name)
				step.Add(1)
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
		step.Add(1)
	}
	return nil
}

// collectData enters data that is named by its digest alone. What it was recorded
// as is not known, so both layouts keep it.
func (p *Project) collectData(ctx context.Context, o GCOptions, u used, seen map[usedObject]string) error {
	if o.Runs == nil {
		return nil
	}
	for _, d := range o.Runs.Data {
		if !d.Valid() {
			continue
		}
		for _, hash := range []string{"md5", ""} {
			e := &dvcfile.Entry{Digest: d, Hash: hash}
			if _, err := p.cacheOf(e).ReadDir(ctx, d); d.IsDir() && errors.Is(err, fs.ErrNotExist) {
				u.add("", d, hash == "") // it may be on a remote; its members are not known
				continue
			}
			out := &Output{Rel: string(d), Recorded: e}
			out.Cache = true
			if err := p.collectOutput(ctx, out, o, u, seen); err != nil {
				return err
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
	dir, err := p.dirAnywhere(ctx, out, o.Remote)
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
// remote (its own, else the one named): its members must be known before anything is
// removed or replaced.
func (p *Project) dirAnywhere(ctx context.Context, out *Output, remote string) (storage.DirObject, error) {
	cache := p.cacheOf(out.Recorded)
	dir, err := cache.ReadDir(ctx, out.Recorded.Digest)
	if !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	name, remoteErr := p.remoteName(out.Remote, remote)
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
