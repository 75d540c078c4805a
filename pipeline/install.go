package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
)

// InstallOptions says how Git gets to call ctrx.
type InstallOptions struct {
	PreCommitTool bool // hooks through .pre-commit-config.yaml instead of .git/hooks
}

// hookNames are the Git hooks that do something for a project.
var hookNames = []string{"pre-commit", "pre-push", "post-checkout"}

const mergeDriver = "ctrx git-hook merge-driver --ancestor %O --our %A --their %B --path %P"

// attributes name the merge drivers. DVC's own knows .dvc files only and fails
// on a dvc.lock, so that has a name that a repository with DVC's does not
// define: there Git merges it as text.
var attributes = []string{"*.dvc merge=dvc", "dvc.lock merge=ctrx"}

// Install makes Git call ctrx: on commit, checkout and push, and to merge
// dvc.lock and .dvc files. It may be repeated. A hook that somebody else wrote
// is an error, before anything is changed.
func (p *Project) Install(ctx context.Context, o InstallOptions) error {
	repo, err := p.Repo()
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("ctrx"); err != nil {
		p.Warn("ctrx is not on PATH, so Git will not find it: put it there before the next commit")
	}
	var config []byte
	var hooks []hook
	if o.PreCommitTool {
		if config, err = p.preCommitConfig(filepath.Join(repo.Root(), preCommitFile)); err != nil {
			return err
		}
	} else if hooks, err = p.freeHooks(ctx, repo); err != nil {
		return err
	}
	for _, set := range [][2]string{
		{"merge.dvc.name", "DVC merge driver"}, {"merge.dvc.driver", mergeDriver},
		{"merge.ctrx.name", "merge driver for dvc.lock"}, {"merge.ctrx.driver", mergeDriver},
	} {
		if err := repo.SetConfig(ctx, set[0], set[1]); err != nil {
			return err
		}
	}
	if err := p.installAttributes(); err != nil {
		return err
	}
	if o.PreCommitTool {
		return p.installPreCommit(repo, config)
	}
	for _, hook := range hooks {
		if err := hook.write(); err != nil {
			return err
		}
	}
	p.Info("Installed the Git hooks %s and the merge driver for dvc.lock and .dvc files.", strings.Join(hookNames, ", "))
	return nil
}

// hookCommand is the line of a hook. Git runs hooks at the root of its work
// tree, which the project may lie below.
func (p *Project) hookCommand(name string) string {
	if p.gitPrefix == "." {
		return "ctrx git-hook " + name
	}
	return "ctrx --cd " + errs.Arg(p.gitPrefix) + " git-hook " + name
}

// hook is a hook file that is to be written.
type hook struct{ file, text string }

// freeHooks gives the hooks that are to be written. One that calls ctrx only,
// for another project of the same repository, gets a line more.
func (p *Project) freeHooks(ctx context.Context, repo *gitops.Repo) ([]hook, error) {
	dir, err := repo.HooksDir(ctx)
	if err != nil {
		return nil, err
	}
	if !within(dir, repo.Root()) && !within(dir, repo.CommonDir()) {
		return nil, errs.Hint(errs.New(errs.Conflict, "the hooks of this repository are in %s (core.hooksPath), which other repositories may use, too", dir),
			"git config --local core.hooksPath .githooks, or: ctrx install --use-pre-commit-tool")
	}
	var free []hook
	for _, name := range hookNames {
		file := filepath.Join(dir, name)
		data, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("install hook %s: %w", name, err)
		}
		text := string(data)
		command := p.hookCommand(name)
		line := command + hookRest
		switch {
		case strings.Contains(text, command):
		case text == "":
			free = append(free, hook{file, "#!/bin/sh\n" + line})
		case callsOnlyCtrx(text, name):
			free = append(free, hook{file, text + line})
		case strings.Contains(text, "dvc git-hook "+name):
			return nil, errs.Hint(errs.New(errs.Conflict, "Hook '%s' already exists and calls dvc, which does the same: %s", name, file),
				"rm %s, and repeat the command", errs.Arg(file))
		default:
			return nil, errs.Hint(errs.New(errs.Conflict, "Hook '%s' already exists: %s", name, file),
				"add this line to it and repeat the command: %s", strings.TrimSpace(line))
		}
	}
	return free, nil
}

// hookRest is what follows the command in a hook's line.
const hookRest = " \"$@\" || exit\n"

func callsOnlyCtrx(text, name string) bool {
	lines, ok := strings.CutPrefix(text, "#!/bin/sh\n")
	for line := range strings.Lines(lines) {
		ok = ok && strings.HasPrefix(line, "ctrx ") && strings.HasSuffix(line, "git-hook "+name+hookRest)
	}
	return ok
}

func (h hook) write() error {
	err := os.MkdirAll(filepath.Dir(h.file), 0o777)
	if err == nil {
		err = fsx.WriteFile(h.file, []byte(h.text), 0o777)
	}
	if err != nil {
		return fmt.Errorf("install hook: %w", err)
	}
	return nil
}

func within(name, dir string) bool {
	rel, err := filepath.Rel(dir, name)
	return err == nil && filepath.IsLocal(rel)
}

// installAttributes adds what is missing to .gitattributes at the root of the
// project, for everybody who clones it.
func (p *Project) installAttributes() error {
	const rel = ".gitattributes"
	data, err := os.ReadFile(p.Abs(rel))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("install merge driver: %w", err)
	}
	text := string(data)
	for _, line := range attributes {
		if hasAttribute(text, line) {
			continue
		}
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		text += line + "\n"
	}
	if text == string(data) {
		return nil
	}
	if err := fsx.WriteFile(p.Abs(rel), []byte(text), 0o666); err != nil {
		return fmt.Errorf("install merge driver: %w", err)
	}
	p.touched(rel)
	return nil
}

// hasAttribute tells whether a line with the same pattern sets merge already,
// to whatever the user chose.
func hasAttribute(text, line string) bool {
	pattern := strings.Fields(line)[0]
	for have := range strings.Lines(text) {
		fields := strings.Fields(have)
		if len(fields) > 1 && fields[0] == pattern && strings.Contains(" "+strings.Join(fields[1:], " "), " merge") {
			return true
		}
	}
	return false
}

// preCommitFile configures the pre-commit tool, at the root of the Git
// repository.
const preCommitFile = ".pre-commit-config.yaml"

// preCommitConfig gives the file with an entry for ctrx; nil when it is there.
func (p *Project) preCommitConfig(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the configuration of pre-commit: %w", err)
	}
	doc, err := dvcfile.ParseDocument(preCommitFile, data)
	if err != nil {
		return nil, err
	}
	top, ok := doc.Value().(*dvcfile.Map)
	if doc.Value() != nil && !ok {
		return nil, errs.At(errs.Pos{File: preCommitFile, Line: 1, Col: 1}, "the file must be a mapping")
	}
	v, _ := top.Get("repos")
	repos, ok := v.([]dvcfile.Value)
	if v != nil && !ok {
		return nil, errs.At(errs.Pos{File: preCommitFile}, "repos must be a list")
	}
	if strings.Contains(string(dvcfile.JSON(repos)), string(dvcfile.JSON(p.hookCommand(hookNames[0])))) {
		return nil, nil
	}
	var hooks []dvcfile.Value
	for _, name := range hookNames {
		hooks = append(hooks, dvcfile.NewMap(
			"id", "ctrx-"+name, "name", "ctrx "+name, "entry", p.hookCommand(name), "language", "system",
			"always_run", true, "pass_filenames", false, "verbose", name == "pre-commit", "stages", []dvcfile.Value{name}))
	}
	entry := dvcfile.NewMap("repo", "local", "hooks", hooks)
	if v == nil {
		err = doc.Set([]dvcfile.Value{entry}, "repos")
	} else {
		err = doc.Set(entry, "repos", len(repos))
	}
	return doc.Encode(), err
}

func (p *Project) installPreCommit(repo *gitops.Repo, config []byte) error {
	if config != nil {
		if err := fsx.WriteFile(filepath.Join(repo.Root(), preCommitFile), config, 0o666); err != nil {
			return fmt.Errorf("install hooks: %w", err)
		}
		if rel, err := filepath.Rel(p.Root, repo.Root()); err == nil {
			p.touched(path.Join(filepath.ToSlash(rel), preCommitFile))
		}
	}
	p.Info("Installed the hooks into %s and the merge driver for dvc.lock and .dvc files. To activate the hooks, run:\n\n\tpre-commit install --hook-type pre-commit --hook-type pre-push --hook-type post-checkout", preCommitFile)
	return nil
}

// MayCheckout tells whether the post-checkout hook may touch the work tree:
// not in the middle of a rebase, which a checkout that fails would break.
func (p *Project) MayCheckout() bool {
	if p.Git == nil {
		return true
	}
	for _, name := range []string{"rebase-merge", "rebase-apply"} {
		if _, err := os.Stat(filepath.Join(p.Git.Dir(), name)); err == nil {
			return false
		}
	}
	return true
}
