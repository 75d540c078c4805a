// Package gitops is what ctrx does with a Git repository: resolve revisions,
// read the files of a commit, make commits and refs, and bring the files of a
// commit into the work tree.
//
// Three promises hold for everything here. HEAD, the current branch and the
// index are never touched (AddToIndex is the one exception, and says so): a
// commit is made from the work tree with a tree of its own. Refs change in one
// step and only from an expected value, under the same lock files that git
// takes. A question writes nothing, not even the index that git would refresh.
//
// Objects, the index and the configuration are read with go-git. The git
// program is asked where go-git cannot know the answer: for line end conversion
// and other filters, for a user name that comes from an included file, and to
// write the index.
package gitops

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/cache"

	"ctrx/internal/errs"
	"ctrx/internal/ignore"
)

// Repo is an open repository. Its methods may be called by several goroutines.
type Repo struct {
	root      string // work tree
	gitDir    string // HEAD and index of this work tree
	commonDir string // refs and objects; differs from gitDir in a linked work tree
	env       func(string) string
	now       func() time.Time
	config    *config.Config // of the repository only

	mu      sync.Mutex // go-git's storage and trees are not safe for concurrent use
	storage *objects
	ignores *ignore.Set
	cached  *index
}

// Options are what Open takes from the surroundings.
type Options struct {
	Env func(string) string // os.Getenv
	Now func() time.Time    // time.Now; used for reflogs and commits without a time
}

// Open opens the repository that dir is in. dir may be any folder of the work
// tree, also of a linked one. No repository is errs.NotFound.
func Open(dir string) (*Repo, error) {
	return OpenWith(dir, Options{Env: os.Getenv, Now: time.Now})
}

// OpenWith is Open with a chosen environment and clock.
func OpenWith(dir string, o Options) (*Repo, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open repository %s: %w", dir, err)
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	r := &Repo{env: o.Env, now: o.Now}
	if r.root, r.gitDir, err = discover(abs); err != nil {
		return nil, err
	}
	if r.commonDir, err = commonDir(r.gitDir); err != nil {
		return nil, err
	}
	// Objects, configuration and the shallow boundary are common to all work
	// trees; HEAD, refs and the index are read without go-git's storage.
	r.storage = openObjects(r.commonDir, cache.NewObjectLRUDefault(), 0)
	if r.config, err = r.storage.Config(); err != nil {
		return nil, errs.New(errs.ProjectFile, "read %s: %w", filepath.Join(r.commonDir, "config"), err)
	}
	return r, r.checkFormat()
}

// discover finds the work tree that dir is in and its Git folder.
func discover(dir string) (root, gitDir string, err error) {
	for at := dir; ; at = filepath.Dir(at) {
		dotGit := filepath.Join(at, ".git")
		info, statErr := os.Stat(dotGit)
		switch {
		case statErr != nil:
		case info.IsDir():
			if _, err := os.Lstat(filepath.Join(dotGit, "HEAD")); err == nil {
				return at, dotGit, nil
			}
		default:
			gitDir, err := gitFile(dotGit)
			return at, gitDir, err
		}
		if at == filepath.Dir(at) {
			return "", "", errs.Hint(errs.New(errs.NotFound, "%s is not inside a Git repository", dir), "git init")
		}
	}
}

// gitFile follows a .git file ("gitdir: PATH"), which linked work trees and
// submodules have in place of a folder.
func gitFile(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("open repository: %w", err)
	}
	target, ok := strings.CutPrefix(strings.TrimRight(string(data), "\r\n"), "gitdir: ")
	if !ok {
		return "", errs.New(errs.ProjectFile, "%s does not begin with \"gitdir: \"", file)
	}
	if target = filepath.FromSlash(target); !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(file), target)
	}
	if _, err := os.Stat(target); err != nil {
		return "", errs.Hint(errs.New(errs.NotFound, "%s leads to %s, which is missing", file, target), "git worktree repair")
	}
	return target, nil
}

func commonDir(gitDir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(gitDir, "commondir"))
	if errors.Is(err, fs.ErrNotExist) {
		return gitDir, nil
	}
	if err != nil {
		return "", fmt.Errorf("open repository: %w", err)
	}
	dir := filepath.FromSlash(strings.TrimRight(string(data), "\r\n"))
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(gitDir, dir)
	}
	return dir, nil
}

// checkFormat refuses repositories whose objects or refs are not where this
// package looks for them.
func (r *Repo) checkFormat() error {
	if !r.config.Raw.HasSection("extensions") {
		return nil
	}
	for _, o := range r.config.Raw.Section("extensions").Options {
		name, value := strings.ToLower(o.Key), strings.ToLower(o.Value)
		switch {
		case name == "noop", name == "noop-v1", name == "partialclone", name == "preciousobjects", name == "worktreeconfig", name == "relativeworktrees",
			name == "objectformat" && value == "sha1", name == "compatobjectformat" && value == "", name == "refstorage" && value == "files":
		default:
			return errs.Hint(errs.New(errs.ProjectFile, "%s: Git repositories with %s = %s are not supported", r.root, name, value),
				"a new repository made by `git init --object-format=sha1 --ref-format=files` is")
		}
	}
	return nil
}

// Root is the absolute path of the work tree.
func (r *Repo) Root() string { return r.root }

// Dir is the absolute path of the Git folder of this work tree.
func (r *Repo) Dir() string { return r.gitDir }

// CommonDir is the absolute path of the Git folder that all work trees of the
// repository share; for the main work tree it is Dir.
func (r *Repo) CommonDir() string { return r.commonDir }

// boolOption reads a boolean of the repository's own configuration.
func (r *Repo) boolOption(section, key string, otherwise bool) bool {
	if !r.config.Raw.HasSection(section) || !r.config.Raw.Section(section).HasOption(key) {
		return otherwise
	}
	switch strings.ToLower(r.config.Raw.Section(section).Option(key)) {
	case "", "false", "no", "off", "0":
		return false
	}
	return true
}
