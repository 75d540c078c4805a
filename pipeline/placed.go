package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// placedOutputs remembers the outputs that ctrx has put into the work tree or
// taken over from it, so that a checkout of another commit can remove those that
// nothing records any more, as DVC does. It lies below .dvc/tmp/ctrx; losing it
// means that such outputs stay.
type placedOutputs struct {
	mu   sync.Mutex
	news map[string]*placedOutput // by rel path; nil: no more
}

// placedOutput is the content that was put in place.
type placedOutput struct {
	Digest storage.Digest `json:"digest"`
	Hash   string         `json:"hash,omitempty"` // as in a .dvc file; empty: of DVC 2
}

func (p *Project) placedPath() string { return filepath.Join(p.TmpDir(), "ctrx", "outputs.json") }

// placed notes that a cached output lies in the work tree as e says.
func (p *Project) placed(rel string, e dvcfile.Entry) {
	if !insideProject(rel) || e.Digest == "" {
		return
	}
	p.outputs.set(rel, &placedOutput{Digest: e.Digest, Hash: e.Hash})
}

func (o *placedOutputs) set(rel string, now *placedOutput) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.news == nil {
		o.news = map[string]*placedOutput{}
	}
	o.news[rel] = now
}

// readPlaced gives what is remembered. What cannot be read counts as nothing.
func (p *Project) readPlaced() map[string]*placedOutput {
	all := map[string]*placedOutput{}
	if data, err := os.ReadFile(p.placedPath()); err != nil || json.Unmarshal(data, &all) != nil {
		all = map[string]*placedOutput{}
	}
	p.outputs.mu.Lock()
	defer p.outputs.mu.Unlock()
	for rel, o := range p.outputs.news {
		if o == nil {
			delete(all, rel)
		} else {
			all[rel] = o
		}
	}
	return all
}

// savePlaced writes what is new. It takes in what other processes have written
// since.
func (p *Project) savePlaced() error {
	if len(p.outputs.news) == 0 {
		return nil
	}
	data, err := json.Marshal(p.readPlaced())
	if err != nil {
		return err
	}
	if was, err := os.ReadFile(p.placedPath()); err == nil && string(was) == string(data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(p.placedPath()), 0o777); err != nil {
		return fsx.FullDisk(err)
	}
	return fsx.WriteFileAs(p.placedPath(), data, 0o666, fsx.Fast)
}

// removeUnrecorded removes the outputs that ctrx has put into the work tree and
// that no stage or .dvc file names any more. What was changed since, what is not
// whole in the cache and what Git tracks now stays: nothing can be lost.
func (p *Project) removeUnrecorded(ctx context.Context, ix *Index, r *CheckoutResult) error {
	all := p.readPlaced()
	recorded := placesOf(ix)
	for _, rel := range slices.Sorted(maps.Keys(all)) {
		if recorded.overlaps(rel) {
			continue
		}
		n, gone, err := p.removePlaced(ctx, rel, *all[rel])
		if err != nil {
			return err
		}
		if gone {
			p.outputs.set(rel, nil)
		}
		if n > 0 {
			if all[rel].Digest.IsDir() {
				rel += "/"
			}
			r.Deleted = append(r.Deleted, rel)
			r.Files.Deleted += n
		}
	}
	return nil
}

// removePlaced removes one output. n is the number of its files; gone tells that
// there is nothing to remember of it any more.
func (p *Project) removePlaced(ctx context.Context, rel string, o placedOutput) (n int, gone bool, err error) {
	if err := checkDataPath(rel); err != nil || !insideProject(rel) || !o.Digest.Valid() {
		return 0, true, nil
	}
	if _, err := os.Lstat(p.Abs(rel)); err != nil {
		return 0, true, nil
	}
	if p.Git != nil && p.Git.Tracked(p.GitPath(rel)) {
		return 0, true, nil
	}
	cache := p.cacheOf(&dvcfile.Entry{Hash: o.Hash})
	tree, err := cache.Hasher().Hash(ctx, p.Abs(rel), p.dvcignoreBelow(rel))
	if err != nil || !tree.Matches(o.Digest) {
		return 0, false, ctx.Err()
	}
	if gone, err = p.removeCached(ctx, rel, cache, tree); err != nil || !gone {
		return 0, false, err
	}
	return max(1, len(tree.Dir)), true, nil
}

// removeCached removes what lies at rel and was hashed as tree. It is false where
// the cache does not have all of it, so that it stays.
func (p *Project) removeCached(ctx context.Context, rel string, cache *storage.Cache, tree storage.Tree) (bool, error) {
	if whole, err := cache.HasTree(ctx, tree.Digest); err != nil || !whole {
		return false, err
	}
	if err := cache.Remove(ctx, p.Abs(rel), p.Root, tree); err != nil {
		return false, err
	}
	return true, nil
}

// removeStale removes what lies at an output that nothing is recorded of any
// more, as long as the cache has all of it: DVC removes it in any case.
func (p *Project) removeStale(ctx context.Context, out *Output) error {
	if checkDataPath(out.Rel) != nil || !insideProject(out.Rel) || p.Git != nil && p.Git.Tracked(p.GitPath(out.Rel)) {
		return nil
	}
	cache := p.cacheOf(out.Recorded)
	tree, err := cache.Hasher().Hash(ctx, p.Abs(out.Rel), p.dvcignoreBelow(out.Rel))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	gone, err := p.removeCached(ctx, out.Rel, cache, tree)
	if err == nil && !gone {
		p.Warn("'%s' stays as it is: the cache does not have what is in it", p.Show(out.Rel))
	}
	return err
}

// places are the outputs of a project, each true, and the folders that hold them.
type places map[string]bool

func placesOf(ix *Index) places {
	all := places{}
	for _, s := range ix.Stages {
		for _, o := range s.Outs {
			all[o.Rel] = true
			for dir := path.Dir(o.Rel); dir != "." && dir != "/"; dir = path.Dir(dir) {
				if !all[dir] {
					all[dir] = false // it holds one
				}
			}
		}
	}
	return all
}

// overlaps tells whether a rel path is, holds or lies in an output.
func (all places) overlaps(rel string) bool {
	if _, is := all[rel]; is || all["."] {
		return true
	}
	for dir := path.Dir(rel); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if all[dir] {
			return true
		}
	}
	return false
}
