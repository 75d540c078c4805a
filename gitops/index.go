package gitops

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	gitindex "github.com/go-git/go-git/v5/plumbing/format/index"

	"ctrx/internal/errs"
)

// index is the content of .git/index.
type index struct {
	entries []entry // sorted by name; one per path
	merging string  // a path that is in a merge conflict, or ""
	tree    string  // hash of the tree that the index would make, when git stored it
	// written is the modification time of the index. A file that is as new may
	// have been changed after git looked at it, within the clock's precision.
	written time.Time
	size    int64
}

// entry is a tracked path.
type entry struct {
	gitindex.Entry
	noStat bool // only name, mode and hash are known
}

// readIndex reads the index, or takes the one read before if the file is the
// same. A missing index is an empty one.
func (r *Repo) readIndex() (*index, error) {
	file := filepath.Join(r.gitDir, "index")
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return &index{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.cached; c != nil && c.written.Equal(info.ModTime()) && c.size == info.Size() && time.Since(c.written) > time.Second {
		return c, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}
	defer f.Close()
	raw := &gitindex.Index{}
	if err := gitindex.NewDecoder(bufio.NewReader(f)).Decode(raw); err != nil {
		return nil, errs.Hint(errs.New(errs.ProjectFile, "read %s: %w", file, err),
			"git config index.sparse false; git config core.splitIndex false; git update-index --no-split-index --force-write-index")
	}
	x := &index{written: info.ModTime(), size: info.Size()}
	if raw.Cache != nil && len(raw.Cache.Entries) > 0 && raw.Cache.Entries[0].Path == "" && raw.Cache.Entries[0].Entries >= 0 {
		x.tree = raw.Cache.Entries[0].Hash.String()
	}
	x.entries = make([]entry, 0, len(raw.Entries))
	for _, e := range raw.Entries {
		if e.Stage != 0 {
			x.merging = e.Name
			if n := len(x.entries); n > 0 && x.entries[n-1].Name == e.Name {
				continue
			}
		}
		x.entries = append(x.entries, entry{Entry: *e})
	}
	r.cached = x
	return x, nil
}

// loadIndex is readIndex that falls back on the git program where go-git
// cannot read the file (a split or sparse index).
func (r *Repo) loadIndex(ctx context.Context) (*index, error) {
	x, err := r.readIndex()
	if err == nil || errs.KindOf(err) != errs.ProjectFile {
		return x, err
	}
	out, gitErr := r.git(ctx, nil, "ls-files", "-z", "-t", "--stage")
	if gitErr != nil {
		return nil, err
	}
	x = &index{}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		head, name, ok := strings.Cut(line, "\t")
		f := strings.Fields(head) // tag, mode, hash, stage
		if !ok || len(f) != 4 {
			continue
		}
		mode, modeErr := filemode.New(f[1])
		if modeErr != nil {
			return nil, err
		}
		if f[3] != "0" {
			x.merging = name
		}
		e := entry{noStat: true}
		e.Name, e.Mode, e.Hash, e.SkipWorktree = name, mode, plumbing.NewHash(f[2]), f[0] == "S"
		x.entries = append(x.entries, e)
	}
	x.entries = slices.CompactFunc(x.entries, func(a, b entry) bool { return a.Name == b.Name })
	return x, nil
}

// has tells whether the index has the path or something below it.
func (x *index) has(path string) bool {
	i := sort.Search(len(x.entries), func(i int) bool { return x.entries[i].Name >= path })
	if i < len(x.entries) && x.entries[i].Name == path {
		return true
	}
	i = sort.Search(len(x.entries), func(i int) bool { return x.entries[i].Name >= path+"/" })
	return i < len(x.entries) && strings.HasPrefix(x.entries[i].Name, path+"/")
}

// Tracked tells whether the index holds a path (relative to the root, with
// slashes), or something below it. "." is tracked when anything is.
func (r *Repo) Tracked(path string) bool {
	x, err := r.readIndex()
	if err != nil {
		return false
	}
	if path = strings.TrimSuffix(path, "/"); path == "." || path == "" {
		return len(x.entries) > 0
	}
	return x.has(path)
}
