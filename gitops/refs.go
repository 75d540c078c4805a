package gitops

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"ctrx/internal/errs"
)

// Ref is a name and the commit that it leads to.
type Ref struct {
	Name     string // full: refs/heads/main
	Commit   string // annotated tags are followed to their commit
	Symbolic string // the ref that this one stands for, or ""
}

// refValue is what a ref file holds: a hash or the name of another ref.
type refValue struct {
	hash     string
	symbolic string
}

// CheckRefName tells what is wrong with a full ref name or a pseudo ref like
// HEAD, as `git check-ref-format` would; nil means that it may be used. A name
// of an experiment must also pass this as the last part of its ref.
func CheckRefName(name string) error {
	bad := func(why string) error { return errs.New(errs.Usage, "%q cannot name a Git ref: %s", name, why) }
	switch {
	case name == "":
		return bad("it is empty")
	case strings.HasSuffix(name, "."):
		return bad("it ends with a dot")
	case strings.Contains(name, ".."):
		return bad("it holds two dots in a row")
	case strings.Contains(name, "@{"):
		return bad("it holds @{")
	case name == "@":
		return bad("@ stands for HEAD")
	}
	for _, c := range []byte(name) {
		if c < 0x20 || c == 0x7f || strings.IndexByte(" ~^:?*[\\", c) >= 0 {
			return bad(fmt.Sprintf("it holds %q", c))
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return bad("it has an empty part")
		case part[0] == '.':
			return bad("a part begins with a dot")
		case strings.HasSuffix(part, ".lock"):
			return bad("a part ends with .lock")
		}
	}
	return nil
}

// refFile is where a loose ref is kept: pseudo refs and a few others belong to
// the work tree, the rest to the repository.
func (r *Repo) refFile(name string) string {
	dir := r.commonDir
	if !strings.HasPrefix(name, "refs/") || strings.HasPrefix(name, "refs/bisect/") ||
		strings.HasPrefix(name, "refs/worktree/") || strings.HasPrefix(name, "refs/rewritten/") {
		dir = r.gitDir
	}
	return filepath.Join(dir, filepath.FromSlash(name))
}

// Ref gives the commit (or other object) that a ref leads to, through symbolic
// refs. ok is false when there is no such ref, or when it is symbolic and its
// target does not exist.
func (r *Repo) Ref(name string) (hash string, ok bool, err error) {
	for range 5 { // as many as git follows
		v, err := r.readRef(name)
		if errors.Is(err, fs.ErrNotExist) {
			return "", false, nil
		}
		if err != nil {
			return "", false, err
		}
		if v.symbolic == "" {
			return v.hash, true, nil
		}
		name = v.symbolic
	}
	return "", false, errs.New(errs.ProjectFile, "ref %s goes through too many symbolic refs", name)
}

// readRef reads one ref without following it; fs.ErrNotExist when it is absent.
func (r *Repo) readRef(name string) (refValue, error) {
	if err := CheckRefName(name); err != nil {
		return refValue{}, err
	}
	data, err := os.ReadFile(r.refFile(name))
	if err == nil {
		return parseRef(name, string(data))
	}
	if info, statErr := os.Stat(r.refFile(name)); !errors.Is(err, fs.ErrNotExist) && !(statErr == nil && info.IsDir()) && !isNotDir(err) {
		return refValue{}, fmt.Errorf("read ref %s: %w", name, err)
	}
	packed, err := r.packedRefs()
	if err != nil {
		return refValue{}, err
	}
	if p, ok := packed[name]; ok {
		return refValue{hash: p.hash}, nil
	}
	return refValue{}, fmt.Errorf("ref %s: %w", name, fs.ErrNotExist)
}

func parseRef(name, text string) (refValue, error) {
	text = strings.TrimRight(text, " \t\r\n")
	if target, ok := strings.CutPrefix(text, "ref:"); ok {
		target = strings.TrimSpace(target)
		if err := CheckRefName(target); err != nil {
			return refValue{}, errs.New(errs.ProjectFile, "ref %s leads to a bad name: %w", name, err)
		}
		return refValue{symbolic: target}, nil
	}
	if len(text) > 40 { // FETCH_HEAD has more behind the hash
		text = strings.Fields(text)[0]
	}
	if !isHash(text) {
		return refValue{}, errs.New(errs.ProjectFile, "ref %s is broken: %q is not a hash", name, text)
	}
	return refValue{hash: strings.ToLower(text)}, nil
}

type packedRef struct {
	hash   string
	peeled string // the commit of an annotated tag, when the file tells it
}

func (r *Repo) packedRefs() (map[string]packedRef, error) {
	data, err := os.ReadFile(filepath.Join(r.commonDir, "packed-refs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read packed refs: %w", err)
	}
	refs := map[string]packedRef{}
	last := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		if peeled, ok := strings.CutPrefix(line, "^"); ok {
			refs[last] = packedRef{hash: refs[last].hash, peeled: peeled}
			continue
		}
		hash, name, ok := strings.Cut(line, " ")
		if !ok || !isHash(hash) {
			return nil, errs.New(errs.ProjectFile, "%s: bad line %q", filepath.Join(r.commonDir, "packed-refs"), line)
		}
		refs[name] = packedRef{hash: hash}
		last = name
	}
	return refs, nil
}

// Refs gives the refs whose full name begins with prefix ("refs/heads/"),
// sorted by name. Broken refs and symbolic refs without a target are left out.
func (r *Repo) Refs(prefix string) ([]Ref, error) {
	// Loose refs first: one that git packs meanwhile is in one of the two.
	all, symbolic, lost := map[string]packedRef{}, map[string]string{}, map[string]bool{}
	top := "refs"
	if strings.HasPrefix(prefix, "refs/") {
		top, _ = filepath.Split(filepath.FromSlash(prefix))
	}
	for _, dir := range slices.Compact([]string{r.commonDir, r.gitDir}) {
		err := r.walkLoose(dir, top, func(name string) {
			v, err := r.readRef(name)
			if err != nil {
				return // a lock file, or vanished, or broken: not a ref
			}
			if v.symbolic != "" {
				hash, ok, err := r.Ref(name)
				if err != nil || !ok {
					lost[name] = true
					return
				}
				symbolic[name], v.hash = v.symbolic, hash
			}
			all[name] = packedRef{hash: v.hash}
		})
		if err != nil {
			return nil, fmt.Errorf("list refs %s: %w", prefix, err)
		}
	}
	packed, err := r.packedRefs()
	if err != nil {
		return nil, err
	}
	for name, p := range packed {
		if _, loose := all[name]; !loose && !lost[name] {
			all[name] = p
		}
	}
	var refs []Ref
	for name, p := range all {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		ref := Ref{Name: name, Commit: p.hash, Symbolic: symbolic[name]}
		if p.peeled != "" {
			ref.Commit = p.peeled
		} else if strings.HasPrefix(name, "refs/tags/") {
			if commit, err := r.peel(p.hash); err == nil {
				ref.Commit = commit
			}
		}
		refs = append(refs, ref)
	}
	slices.SortFunc(refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
	return refs, nil
}

// walkLoose calls found for each file below top that may be a ref of dir.
func (r *Repo) walkLoose(dir, top string, found func(name string)) error {
	return filepath.WalkDir(filepath.Join(dir, top), func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if name := filepath.ToSlash(rel); r.refFile(name) == path {
			found(name)
		}
		return nil
	})
}

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
