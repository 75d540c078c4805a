package pipeline

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// globTargets replaces patterns by the paths that they match, as DVC's --glob does:
// relative to where the user stands, by the rules of Python's glob. What several
// patterns match comes once.
func (p *Project) globTargets(targets []string) ([]string, error) {
	var all []string
	for _, t := range targets {
		found, err := globPaths(p.Abs(p.Dir), filepath.ToSlash(t))
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	if len(all) == 0 && len(targets) > 0 {
		return nil, errs.New(errs.NotFound, "Glob ['%s'] has no matches.", strings.Join(targets, "', '"))
	}
	return all, nil
}

// globPaths lists what a pattern matches in a folder, sorted. A * does not match
// the dot that a hidden name begins with, and ** is any number of folders that are
// not hidden.
func globPaths(dir, pattern string) ([]string, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, errs.New(errs.Usage, "the pattern '%s' is not one: %w", pattern, err)
	}
	base := dir
	if path.IsAbs(pattern) || filepath.IsAbs(filepath.FromSlash(pattern)) {
		base = ""
	}
	found := map[string]bool{}
	var step func(at string, parts []string)
	step = func(at string, parts []string) {
		if len(parts) == 0 {
			found[at] = true
			return
		}
		place, name := filepath.Join(base, filepath.FromSlash(at)), parts[0]
		if !strings.ContainsAny(name, "*?[") {
			next := joinGlob(at, name)
			if _, err := os.Lstat(filepath.Join(base, filepath.FromSlash(next))); err == nil {
				step(next, parts[1:])
			}
			return
		}
		if name == "**" {
			step(at, parts[1:])
		}
		entries, err := os.ReadDir(place)
		if err != nil {
			return
		}
		for _, e := range entries {
			hidden := strings.HasPrefix(e.Name(), ".")
			switch next := joinGlob(at, e.Name()); {
			case name == "**" && !hidden && isFolder(place, e):
				step(next, parts)
			case name == "**" && !hidden && len(parts) == 1:
				found[next] = true
			case name == "**" || hidden && !strings.HasPrefix(name, "."):
			default:
				if ok, err := path.Match(name, e.Name()); err == nil && ok {
					step(next, parts[1:])
				}
			}
		}
	}
	start, rest := "", pattern
	if base == "" {
		start = filepath.ToSlash(filepath.VolumeName(filepath.FromSlash(pattern))) + "/"
		rest = strings.TrimPrefix(pattern, start)
	}
	step(start, slices.DeleteFunc(strings.Split(rest, "/"), func(part string) bool { return part == "" }))
	delete(found, start)
	return sortedKeys(found), nil
}

func joinGlob(dir, name string) string {
	if dir == "" || strings.HasSuffix(dir, "/") {
		return dir + name
	}
	return dir + "/" + name
}

// isFolder tells whether an entry of a folder is one, or a link to one.
func isFolder(dir string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	info, err := os.Stat(filepath.Join(dir, e.Name()))
	return err == nil && info.IsDir()
}
