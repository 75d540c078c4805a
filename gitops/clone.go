package gitops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
)

// MirrorOptions says which repository to have a copy of, and where.
type MirrorOptions struct {
	URL string // what `git clone` takes: a URL, user@host:path or a local path
	Dir string // folder of the copy; made when it is missing
	Env []string
	// Have tells whether the copy already has what is wanted; then the other
	// repository is not asked. nil: it is always asked.
	Have func(*Repo) bool
}

// Mirror keeps a copy of another repository with the git program, which has the
// user's keys and passwords. Nothing of the other repository is checked out or
// run: no hooks, no filters, no submodules, and only transports that are no
// commands. Several processes may share a copy.
func Mirror(ctx context.Context, o MirrorOptions, open Options) (*Repo, error) {
	if strings.HasPrefix(o.URL, "-") || strings.ContainsAny(o.URL, "\x00\n\r") {
		return nil, errs.New(errs.Usage, "%q is not the address of a repository", o.URL)
	}
	if err := os.MkdirAll(filepath.Dir(o.Dir), 0o777); err != nil {
		return nil, fmt.Errorf("clone %s: %w", o.URL, err)
	}
	lock, err := fsx.Lock(ctx, o.Dir+".lock", cloneWait)
	if err != nil {
		return nil, fmt.Errorf("clone %s: %w", o.URL, err)
	}
	defer lock.Unlock()
	if _, err := os.Stat(filepath.Join(o.Dir, ".git")); errors.Is(err, fs.ErrNotExist) {
		if err := clone(ctx, o); err != nil {
			return nil, err
		}
		return OpenWith(o.Dir, open)
	}
	repo, err := OpenWith(o.Dir, open)
	if err != nil {
		return nil, err
	}
	if o.Have != nil && o.Have(repo) {
		return repo, nil
	}
	for _, args := range [][]string{
		{"fetch", "-q", "--prune", "--no-recurse-submodules", "--force", "origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"},
		{"remote", "set-head", "origin", "--auto"},
	} {
		if err := transport(ctx, o, o.Dir, args...); err != nil {
			return nil, err
		}
	}
	return OpenWith(o.Dir, open)
}

// cloneWait is how long one process waits for another that copies the same
// repository.
const cloneWait = 10 * 60e9

// clone makes the copy beside its place, so that it is whole or not there.
func clone(ctx context.Context, o MirrorOptions) error {
	temp, err := os.MkdirTemp(filepath.Dir(o.Dir), ".clone-*")
	if err != nil {
		return fmt.Errorf("clone %s: %w", o.URL, err)
	}
	defer os.RemoveAll(temp)
	to := filepath.Join(temp, "repo")
	if err := transport(ctx, o, temp, "clone", "-q", "--no-checkout", "--no-recurse-submodules", "--template=", "--", o.URL, to); err != nil {
		return err
	}
	return os.Rename(to, o.Dir)
}

// transport runs a git command that talks to the other repository.
func transport(ctx context.Context, o MirrorOptions, dir string, args ...string) error {
	program, err := exec.LookPath("git")
	if err != nil {
		return errs.Hint(errs.New(errs.NotFound, "other repositories need the git program, which is not on PATH"), "install git")
	}
	cmd := exec.CommandContext(ctx, program, append([]string{"-c", "core.hooksPath=" + os.DevNull}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(gitEnv(o.Env), "GIT_ALLOW_PROTOCOL=file:git:http:https:ssh")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return errs.Hint(errs.New(errs.Unreachable, "failed to clone repo '%s': git %s: %w: %s", o.URL, args[0], err, strings.TrimSpace(stderr.String())),
			"try it by hand: git ls-remote %s", o.URL)
	}
	return nil
}

// RemoteRevision resolves a revision of a copy: a branch of the other repository
// first, then a tag or commit; "" is its default branch.
func (r *Repo) RemoteRevision(rev string) (string, error) {
	if rev == "" {
		return r.Resolve("refs/remotes/origin/HEAD")
	}
	if CheckRefName("refs/remotes/origin/"+rev) == nil {
		if hash, ok, err := r.Ref("refs/remotes/origin/" + rev); err == nil && ok {
			return hash, nil
		}
	}
	return r.Resolve(rev)
}
