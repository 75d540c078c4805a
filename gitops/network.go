package gitops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// The network is left to the git program, which knows the user's credentials,
// proxies and ssh. Unlike for other work it may ask the user at the terminal,
// unless GIT_TERMINAL_PROMPT forbids it. Hooks are not run: a pre-push hook of
// DVC's pushes data, which is for the caller to decide.

// RemoteRefs lists the refs of a Git remote, a name or URL, that match a
// pattern ("refs/exps/*"), sorted by name. A remote that is none is
// errs.NotFound, one that does not answer errs.Unreachable, refused credentials
// are errs.Auth.
func (r *Repo) RemoteRefs(ctx context.Context, remote, pattern string) ([]Ref, error) {
	out, err := r.overNetwork(ctx, "list refs", remote, "ls-remote", "--refs", "--", remote, pattern)
	if err != nil {
		return nil, err
	}
	var refs []Ref
	for line := range strings.Lines(out) {
		hash, name, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "\t")
		if ok && isHash(hash) && CheckRefName(name) == nil {
			refs = append(refs, Ref{Name: name, Commit: hash})
		}
	}
	slices.SortFunc(refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
	return refs, nil
}

// RefChange is what a push does to a ref of a remote.
type RefChange struct {
	Name     string
	New, Old string // hashes; "" where the ref is to be deleted, or must not exist yet
}

// batch bounds the refs of one call of git, for the length of a command line.
const batch = 100

// PushRefs changes refs of a remote, each only from its old value. What another
// user changed meanwhile is errs.Conflict.
func (r *Repo) PushRefs(ctx context.Context, remote string, changes []RefChange) error {
	for some := range slices.Chunk(changes, batch) {
		args := []string{"push", "--porcelain", "--no-verify"}
		for _, c := range some {
			args = append(args, "--force-with-lease="+c.Name+":"+c.Old)
		}
		args = append(args, "--", remote)
		for _, c := range some {
			args = append(args, c.New+":"+c.Name)
		}
		if _, err := r.overNetwork(ctx, "push refs", remote, args...); err != nil {
			return err
		}
	}
	return nil
}

// FetchObjects brings what refs of a remote lead to here. No ref changes.
func (r *Repo) FetchObjects(ctx context.Context, remote string, names []string) error {
	for some := range slices.Chunk(names, batch) {
		args := append([]string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=", "--", remote}, some...)
		if _, err := r.overNetwork(ctx, "fetch refs", remote, args...); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.storage.Reindex() // packs that are new
	return nil
}

// IsAncestor tells whether a commit is in the history of another. One that is
// not here is in none.
func (r *Repo) IsAncestor(ctx context.Context, old, new string) (bool, error) {
	if !r.Has(old) || !r.Has(new) {
		return false, nil
	}
	seen := map[string]bool{new: true}
	for next := []string{new}; len(next) > 0; next = next[1:] {
		if next[0] == old {
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, context.Cause(ctx)
		}
		c, err := r.commitObject(next[0])
		if errs.KindOf(err) == errs.NotFound {
			continue // a shallow clone ends here
		}
		if err != nil {
			return false, err
		}
		for _, p := range c.ParentHashes {
			if !seen[p.String()] {
				seen[p.String()] = true
				next = append(next, p.String())
			}
		}
	}
	return false, nil
}

// overNetwork runs git against a remote.
func (r *Repo) overNetwork(ctx context.Context, what, remote string, args ...string) (string, error) {
	program, err := exec.LookPath("git")
	if err != nil {
		return "", needGit(errNoGit, what)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = r.root
	cmd.Env = networkEnv(os.Environ(), r.env("GIT_TERMINAL_PROMPT"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", remoteFailure(what, remote, err, stdout.String()+stderr.String())
	}
	return stdout.String(), nil
}

// networkEnv is gitEnv that leaves to the user whether git may ask.
func networkEnv(env []string, prompt string) []string {
	env = slices.DeleteFunc(gitEnv(env), func(v string) bool { return strings.HasPrefix(v, "GIT_TERMINAL_PROMPT=") })
	if prompt != "" {
		env = append(env, "GIT_TERMINAL_PROMPT="+prompt)
	}
	return env
}

// remoteFailure finds out the kind of a failure. Git's exit code is the same
// for all of them, so its words, which are those of LC_ALL=C, must tell.
func remoteFailure(what, remote string, err error, text string) error {
	says := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	cause := fmt.Errorf("%s of '%s': %w: %s", what, remote, err, strings.TrimSpace(text))
	var exit *exec.ExitError
	switch {
	case !errors.As(err, &exit):
		return cause
	case says("Authentication failed", "could not read Username", "could not read Password", "Permission denied", "terminal prompts disabled"):
		return errs.Hint(errs.New(errs.Auth, "%w", cause), "git ls-remote %s asks for the same credentials", remote)
	case says("Could not resolve host", "Connection refused", "Connection timed out", "Failed to connect", "unable to access"):
		return errs.New(errs.Unreachable, "%w", cause)
	case says("does not appear to be a git repository", "not found", "does not exist"):
		return errs.Hint(errs.New(errs.NotFound, "'%s' is not a valid Git remote or URL: %w", remote, cause), "git remote -v")
	case says("[rejected]", "stale info", "[remote rejected]"):
		return errs.Hint(errs.New(errs.Conflict, "%w", cause), "run the command again")
	}
	return cause
}
