package gitops

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"

	"ctrx/internal/errs"
)

// Head is where the work tree stands.
type Head struct {
	Commit string // 40 hex digits; "" before the first commit
	Branch string // short name; "" when detached
}

// Head reads HEAD of this work tree.
func (r *Repo) Head() (Head, error) {
	v, err := r.readRef("HEAD")
	if err != nil {
		return Head{}, err
	}
	if v.symbolic == "" {
		return Head{Commit: v.hash}, nil
	}
	h := Head{Branch: strings.TrimPrefix(v.symbolic, "refs/heads/")}
	h.Commit, _, err = r.Ref(v.symbolic)
	return h, err
}

// CommitInfo describes a commit.
type CommitInfo struct {
	Hash    string
	Tree    string
	Parents []string
	Time    time.Time // of the committer
	Author  Signature // with the author's time
	Message string
}

// Commit describes the commit that rev names.
func (r *Repo) Commit(rev string) (CommitInfo, error) {
	hash, err := r.Resolve(rev)
	if err != nil {
		return CommitInfo{}, err
	}
	c, err := r.commitObject(hash)
	if err != nil {
		return CommitInfo{}, err
	}
	info := CommitInfo{
		Hash: hash, Tree: c.TreeHash.String(), Time: c.Committer.When, Message: c.Message,
		Author: Signature{Name: c.Author.Name, Email: c.Author.Email, When: c.Author.When},
	}
	for _, p := range c.ParentHashes {
		info.Parents = append(info.Parents, p.String())
	}
	return info, nil
}

// Has tells whether the repository holds an object.
func (r *Repo) Has(hash string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.storage.HasEncodedObject(plumbing.NewHash(hash)) == nil
}

func (r *Repo) commitObject(hash string) (*object.Commit, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := object.GetCommit(r.storage, plumbing.NewHash(hash))
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, r.missing(hash)
	}
	if err != nil {
		return nil, fmt.Errorf("read commit %s: %w", hash, err)
	}
	return c, nil
}

// missing explains an object that is not there: in a shallow or partial clone
// that is no corruption.
func (r *Repo) missing(hash string) error {
	err := errs.New(errs.NotFound, "commit or object %s is not in this repository", hash)
	if shallow, _ := r.storage.Shallow(); len(shallow) > 0 {
		return errs.Hint(err, "the clone is shallow: git fetch --unshallow")
	}
	return err
}

// Resolve gives the commit (40 hex digits) that rev names: a branch, tag, full
// ref or (short) hash, HEAD or @, each with any number of ~N, ^N and ^{commit}
// behind it; NAME@{N} for an entry of a reflog. What does not name a commit is
// errs.NotFound.
func (r *Repo) Resolve(rev string) (string, error) {
	base, suffix := rev, ""
	if i := strings.IndexAny(rev, "~^"); i >= 0 {
		base, suffix = rev[:i], rev[i:]
	}
	hash, err := r.resolveBase(base)
	if err != nil {
		return "", err
	}
	if hash == "" {
		return "", r.unknown(rev, base)
	}
	if hash, err = r.peel(hash); err != nil {
		return "", fmt.Errorf("revision %q: %w", rev, err)
	}
	for suffix != "" {
		if hash, suffix, err = r.step(hash, suffix); err != nil {
			return "", errs.New(errs.KindOf(err), "revision %q: %w", rev, err)
		}
	}
	return hash, nil
}

// resolveBase looks a name up in the order of gitrevisions(7). It gives "" when
// nothing has the name.
func (r *Repo) resolveBase(base string) (string, error) {
	if base == "@" {
		base = "HEAD"
	}
	if name, rest, ok := strings.Cut(base, "@{"); ok {
		return r.resolveReflog(name, strings.TrimSuffix(rest, "}"))
	}
	if isHash(base) {
		return strings.ToLower(base), nil
	}
	for _, pattern := range []string{"%s", "refs/%s", "refs/tags/%s", "refs/heads/%s", "refs/remotes/%s", "refs/remotes/%s/HEAD"} {
		name := strings.Replace(pattern, "%s", base, 1)
		if CheckRefName(name) != nil {
			continue
		}
		hash, ok, err := r.Ref(name)
		if err != nil || ok && hash != "" {
			return hash, err
		}
	}
	return r.resolvePrefix(base)
}

func (r *Repo) resolveReflog(name, number string) (string, error) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 {
		return "", nil
	}
	if name == "" || name == "@" {
		name = "HEAD"
	}
	for _, full := range []string{name, "refs/" + name, "refs/heads/" + name} {
		entries, err := r.Reflog(full)
		if err == nil && n < len(entries) {
			return entries[len(entries)-1-n].New, nil
		}
	}
	return "", nil
}

// resolvePrefix finds the commit whose hash begins with base, which may also be
// what `git describe` gives (v1.2-3-gabcdef0).
func (r *Repo) resolvePrefix(base string) (string, error) {
	if i := strings.LastIndex(base, "-g"); i >= 0 {
		base = base[i+2:]
	}
	base = strings.ToLower(base)
	if len(base) < 4 || len(base) > 40 || strings.Trim(base, "0123456789abcdef") != "" {
		return "", nil
	}
	prefix, _ := hex.DecodeString(base[:len(base)/2*2])
	r.mu.Lock()
	defer r.mu.Unlock()
	hashes, err := r.storage.HashesWithPrefix(prefix)
	if err != nil {
		return "", fmt.Errorf("look up %s: %w", base, err)
	}
	var found []string
	for _, h := range hashes {
		if !strings.HasPrefix(h.String(), base) || slices.Contains(found, h.String()) {
			continue
		}
		if o, err := r.storage.EncodedObject(plumbing.AnyObject, h); err == nil && (o.Type() == plumbing.CommitObject || o.Type() == plumbing.TagObject) {
			found = append(found, h.String())
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", errs.Hint(errs.New(errs.NotFound, "%s is ambiguous: %d commits begin with it", base, len(found)), "use more digits")
}

// peel follows annotated tags to the commit.
func (r *Repo) peel(hash string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := plumbing.NewHash(hash)
	for range 16 { // tags of tags are legal but not endless
		o, err := r.storage.EncodedObject(plumbing.AnyObject, h)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			return "", r.missing(hash)
		}
		if err != nil {
			return "", err
		}
		switch o.Type() {
		case plumbing.CommitObject:
			return h.String(), nil
		case plumbing.TagObject:
			tag, err := object.DecodeTag(r.storage, o)
			if err != nil {
				return "", err
			}
			h = tag.Target
		default:
			return "", errs.New(errs.NotFound, "%s is a %s, not a commit", hash, o.Type())
		}
	}
	return "", errs.New(errs.NotFound, "%s is a tag of too many tags", hash)
}

// step applies the first ~N, ^N or ^{...} of suffix.
func (r *Repo) step(hash, suffix string) (string, string, error) {
	kind, rest := suffix[0], suffix[1:]
	if kind == '^' && strings.HasPrefix(rest, "{") {
		what, rest, ok := strings.Cut(rest[1:], "}")
		if !ok || what != "" && what != "commit" {
			return "", "", errs.New(errs.NotFound, "%s does not lead to a commit", suffix)
		}
		return hash, rest, nil
	}
	digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	rest = rest[len(digits):]
	if rest != "" && rest[0] != '~' && rest[0] != '^' {
		return "", "", errs.New(errs.NotFound, "%s is not understood", suffix)
	}
	n := 1
	if digits != "" {
		var err error
		if n, err = strconv.Atoi(digits); err != nil {
			return "", "", errs.New(errs.NotFound, "%s is not understood", suffix)
		}
	}
	if kind == '^' {
		if n == 0 {
			return hash, rest, nil
		}
		parent, err := r.parent(hash, n)
		return parent, rest, err
	}
	for range n {
		var err error
		if hash, err = r.parent(hash, 1); err != nil {
			return "", "", err
		}
	}
	return hash, rest, nil
}

func (r *Repo) parent(hash string, n int) (string, error) {
	c, err := r.commitObject(hash)
	if err != nil {
		return "", err
	}
	if n > len(c.ParentHashes) {
		return "", errs.New(errs.NotFound, "commit %s has no parent %d", hash[:7], n)
	}
	parent := c.ParentHashes[n-1]
	r.mu.Lock()
	err = r.storage.HasEncodedObject(parent)
	r.mu.Unlock()
	if err != nil {
		return "", r.missing(parent.String())
	}
	return parent.String(), nil
}

func (r *Repo) unknown(rev, base string) error {
	err := errs.New(errs.NotFound, "unknown Git revision %q", rev)
	if base == "HEAD" || base == "@" {
		return errs.Hint(err, "the repository has no commit yet: git commit")
	}
	return errs.Hint(err, "a revision is a branch, a tag, a commit hash or HEAD~1: git log --oneline")
}

func isHash(s string) bool {
	return len(s) == 40 && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}
