package gitops

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// objects are the objects of a repository together with those that it borrows
// from others (objects/info/alternates). go-git alone opens a lender anew for
// each object, and does not ask it whether it has one.
type objects struct {
	*filesystem.Storage
	lenders []*objects
}

// maxLenders is how long a chain of repositories that borrow may be; git has
// the same bound.
const maxLenders = 5

func openObjects(gitDir string, c cache.Object, depth int) *objects {
	s := &objects{Storage: filesystem.NewStorageWithOptions(newPackNames(osfs.New(gitDir), gitDir), c, filesystem.Options{AlternatesFS: osfs.New("/")})}
	if depth == maxLenders {
		return s
	}
	data, err := os.ReadFile(filepath.Join(gitDir, "objects", "info", "alternates"))
	if err != nil {
		return s
	}
	for line := range strings.Lines(string(data)) {
		dir := filepath.FromSlash(strings.TrimRight(line, "\r\n"))
		if dir == "" || strings.HasPrefix(dir, "#") {
			continue
		}
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(gitDir, "objects", dir)
		}
		if filepath.Base(dir) == "objects" {
			s.lenders = append(s.lenders, openObjects(filepath.Dir(dir), c, depth+1))
		}
	}
	return s
}

// owner gives the repository that has an object, nil if none does.
func (s *objects) owner(h plumbing.Hash) *objects {
	if s.Storage.HasEncodedObject(h) == nil {
		return s
	}
	for _, l := range s.lenders {
		if o := l.owner(h); o != nil {
			return o
		}
	}
	return nil
}

// HasEncodedObject is nil when the object is here or can be borrowed.
func (s *objects) HasEncodedObject(h plumbing.Hash) error {
	if s.owner(h) == nil {
		return plumbing.ErrObjectNotFound
	}
	return nil
}

// EncodedObject reads an object.
func (s *objects) EncodedObject(t plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	if len(s.lenders) == 0 {
		return s.Storage.EncodedObject(t, h)
	}
	o := s.owner(h)
	if o == nil {
		return nil, plumbing.ErrObjectNotFound
	}
	return o.Storage.EncodedObject(t, h)
}

// EncodedObjectSize gives the size of an object's content.
func (s *objects) EncodedObjectSize(h plumbing.Hash) (int64, error) {
	if len(s.lenders) == 0 {
		return s.Storage.EncodedObjectSize(h)
	}
	o := s.owner(h)
	if o == nil {
		return 0, plumbing.ErrObjectNotFound
	}
	return o.Storage.EncodedObjectSize(h)
}

// HashesWithPrefix lists the objects whose hash begins with prefix.
func (s *objects) HashesWithPrefix(prefix []byte) ([]plumbing.Hash, error) {
	found, err := s.Storage.HashesWithPrefix(prefix)
	if err != nil {
		return nil, err
	}
	for _, l := range s.lenders {
		more, err := l.HashesWithPrefix(prefix)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}
