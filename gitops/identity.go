package gitops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/config"

	"ctrx/internal/fsx"
	"ctrx/internal/ignore"
)

// Identity is who commits: as GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL or the
// configuration say, else ctrx <ctrx@localhost> with Default set. The git
// program is asked first, as it also knows included configuration files. When
// is not set.
func (r *Repo) Identity(ctx context.Context) Signature {
	// Without this option git makes up a name from the machine's.
	out, err := r.git(ctx, nil, "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT")
	if err == nil {
		if s, ok := parseSignature(strings.TrimSpace(string(out))); ok {
			return Signature{Name: s.Name, Email: s.Email}
		}
	}
	return r.configuredIdentity("AUTHOR")
}

// configuredIdentity is Identity without the git program; role is AUTHOR or
// COMMITTER.
func (r *Repo) configuredIdentity(role string) Signature {
	s := Signature{Name: r.env("GIT_" + role + "_NAME"), Email: r.env("GIT_" + role + "_EMAIL")}
	for _, c := range []*config.Config{r.config, r.userConfig()} {
		if s.Name == "" {
			s.Name = c.User.Name
		}
		if s.Email == "" {
			s.Email = c.User.Email
		}
	}
	if s.Name == "" && s.Email == "" {
		return Signature{Name: "ctrx", Email: "ctrx@localhost", Default: true}
	}
	if s.Email == "" {
		s.Email = "ctrx@localhost"
	}
	if s.Name == "" {
		s.Name, _, _ = strings.Cut(s.Email, "@")
	}
	return s
}

// userConfig reads the user's own configuration; a broken one counts as empty.
func (r *Repo) userConfig() *config.Config {
	for _, file := range r.userFiles("config") {
		if data, err := os.ReadFile(file); err == nil {
			c := config.NewConfig()
			if c.Unmarshal(data) == nil {
				return c
			}
		}
	}
	return config.NewConfig()
}

// userFiles are the places of the user's config or ignore file.
func (r *Repo) userFiles(name string) []string {
	home := r.env("HOME")
	if home == "" {
		home = r.env("USERPROFILE")
	}
	var files []string
	if name == "config" {
		if file := r.env("GIT_CONFIG_GLOBAL"); file != "" {
			return []string{file}
		}
		files = append(files, filepath.Join(home, ".gitconfig"))
	}
	xdg := r.env("XDG_CONFIG_HOME")
	if xdg == "" {
		xdg = filepath.Join(home, ".config")
	}
	return append(files, filepath.Join(xdg, "git", name))
}

// RemoteURL gives the URL of a Git remote ("origin").
func (r *Repo) RemoteURL(name string) (string, bool) {
	c, ok := r.config.Remotes[name]
	if !ok || len(c.URLs) == 0 {
		return "", false
	}
	return c.URLs[0], true
}

// Remotes lists the names of the Git remotes: origin first, the others sorted.
func (r *Repo) Remotes() []string {
	names := slices.Sorted(maps.Keys(r.config.Remotes))
	if i := slices.Index(names, "origin"); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, "origin")
	}
	return names
}

// IgnoreSet is the set of rules behind Ignored, for ignore.Add.
func (r *Repo) IgnoreSet() *ignore.Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ignores != nil {
		return r.ignores
	}
	var extra []ignore.File
	files := r.userFiles("ignore")
	for _, c := range []*config.Config{r.userConfig(), r.config} {
		if c.Raw.Section("core").HasOption("excludesfile") {
			file := c.Raw.Section("core").Option("excludesfile")
			if rest, ok := strings.CutPrefix(file, "~/"); ok {
				file = filepath.Join(r.env("HOME"), rest)
			}
			files = []string{file}
		}
	}
	for _, file := range append(files, filepath.Join(r.commonDir, "info", "exclude")) {
		if data, err := os.ReadFile(file); err == nil {
			extra = append(extra, ignore.File{Name: file, Data: data})
		}
	}
	r.ignores = ignore.NewGit(os.DirFS(r.root), extra...)
	return r.ignores
}

// Ignored tells whether Git ignores a path, given relative to the root with
// slashes. It looks at patterns only: a tracked path may be ignored too.
func (r *Repo) Ignored(path string, isDir bool) bool {
	return r.IgnoreSet().Ignored(path, isDir)
}

// Exclude adds a pattern to .git/info/exclude, unless it is there.
func (r *Repo) Exclude(pattern string) error {
	file := filepath.Join(r.commonDir, "info", "exclude")
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("exclude %s: %w", pattern, err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.TrimRight(line, "\r\n") == pattern {
			return nil
		}
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return fmt.Errorf("exclude %s: %w", pattern, err)
	}
	if err := fsx.WriteFile(file, append(data, pattern+"\n"...), 0o666); err != nil {
		return fmt.Errorf("exclude %s: %w", pattern, err)
	}
	r.mu.Lock()
	r.ignores = nil
	r.mu.Unlock()
	return nil
}

// AddToIndex stages paths (relative to the root, with slashes) as `git add`
// does: new and changed ones, and tracked ones that are gone. It is the one
// method that changes the index, and it leaves that to the git program: go-git
// would write the index without the extensions that git keeps there.
func (r *Repo) AddToIndex(ctx context.Context, paths ...string) error {
	var list strings.Builder
	for _, p := range paths {
		p, err := r.clean(p)
		if err != nil {
			return err
		}
		if _, err := os.Lstat(filepath.Join(r.root, filepath.FromSlash(p))); err != nil && !r.Tracked(p) {
			continue // neither there nor known: nothing to stage
		}
		list.WriteString(p + "\x00")
	}
	if list.Len() == 0 {
		return nil
	}
	_, err := r.git(ctx, strings.NewReader(list.String()), "add", "--all", "--pathspec-from-file=-", "--pathspec-file-nul")
	if err != nil {
		return fmt.Errorf("stage files: %w", needGit(err, "git add"))
	}
	return nil
}
