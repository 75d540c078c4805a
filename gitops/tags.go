package gitops

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Tag is an annotated tag.
type Tag struct {
	Name   string // without refs/tags/
	Commit string // that it leads to
	When   time.Time
}

// AnnotatedTags lists the tags that are objects of their own, by name. What a tag
// without an object names has no date.
func (r *Repo) AnnotatedTags() ([]Tag, error) {
	refs, err := r.Refs("refs/tags/")
	if err != nil {
		return nil, err
	}
	var tags []Tag
	for _, ref := range refs {
		hash, ok, err := r.Ref(ref.Name)
		if err != nil || !ok {
			return nil, fmt.Errorf("read %s: %w", ref.Name, errors.Join(err, fs.ErrNotExist))
		}
		r.mu.Lock()
		t, err := object.GetTag(r.storage, plumbing.NewHash(hash))
		r.mu.Unlock()
		if err == nil {
			tags = append(tags, Tag{Name: strings.TrimPrefix(ref.Name, "refs/tags/"), Commit: ref.Commit, When: t.Tagger.When})
		}
	}
	return tags, nil
}
