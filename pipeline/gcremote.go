package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"ctrx/internal/errs"
	"ctrx/storage"
)

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
	step := storage.NewStep(p.sink, "list remote", "objects", 0)
	defer step.Finish()
	for _, name := range sortedKeys(keep) {
		b, _, err := p.openRemote(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, alg := range []storage.Algorithm{storage.MD5, storage.MD5Dos2Unix} {
			keys, err := storage.UnusedRemote(ctx, b, alg, func(d storage.Digest) bool {
				step.Add(1)
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
func (p *Project) deleteFromRemote(ctx context.Context, r GCRemote, jobs int, step *storage.Progress) error {
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
			g.Go(func() error {
				if err := b.Delete(gctx, key); err != nil {
					return err
				}
				step.Add(1)
				return nil
			})
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
