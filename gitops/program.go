package gitops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"ctrx/internal/errs"
)

// errNoGit tells that the git program is not installed.
var errNoGit = errors.New("the git program is not on PATH")

// git runs the git program in the root of the work tree and gives its output.
func (r *Repo) git(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	return r.gitWith(ctx, nil, stdin, args...)
}

// gitWith is git with more variables in its environment.
func (r *Repo) gitWith(ctx context.Context, env []string, stdin io.Reader, args ...string) ([]byte, error) {
	program, err := exec.LookPath("git")
	if err != nil {
		return nil, errNoGit
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = r.root
	cmd.Env = append(gitEnv(os.Environ()), env...)
	cmd.Stdin = stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}

// gitEnv drops what a surrounding git (a hook, an alias) says about its own
// repository, keeps git from asking questions and from refreshing the index
// on the side, and makes it take paths literally.
func gitEnv(env []string) []string {
	var kept []string
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY",
			"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_PREFIX", "GIT_NAMESPACE", "GIT_LITERAL_PATHSPECS":
		default:
			kept = append(kept, v)
		}
	}
	return append(kept, "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "GIT_LITERAL_PATHSPECS=1", "LC_ALL=C")
}

// needGit turns errNoGit into an error for the user.
func needGit(err error, what string) error {
	if errors.Is(err, errNoGit) {
		return errs.Hint(errs.New(errs.NotFound, "%s needs the git program, which is not on PATH", what), "install git")
	}
	return err
}
