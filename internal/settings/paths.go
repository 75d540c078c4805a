package settings

import (
	"os/user"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// pathKeys are the options of a section that hold a path of this machine. In
// the file a relative one is relative to the file's folder.
func pathKeys(kind, name string) []string {
	switch {
	case kind == "" && name == "cache":
		return []string{"dir"}
	case kind == "remote":
		return []string{"url", "gdrive_user_credentials_file", "gdrive_service_account_json_file_path",
			"credentialpath", "configpath", "keyfile", "cert_path", "key_path"}
	case kind == "machine":
		return []string{"startup_script", "setup_script"}
	}
	return nil
}

var hasScheme = regexp.MustCompile(`^[\pL\pN_]+://`)

// resolvePaths makes the paths of a file absolute and remembers for each how
// it is to be written.
func (f *file) resolvePaths(home string) error {
	dir := filepath.Dir(f.path)
	for _, s := range f.sections {
		for _, o := range s.keys {
			if !slices.Contains(pathKeys(s.kind, s.name), o.key) {
				continue
			}
			if o.value.many {
				return f.fail(o.line, "%s %s", o.key, rule{}.check(o.value))
			}
			o.value = resolvePath(o.value.text, dir, home)
		}
	}
	return nil
}

func resolvePath(path, dir, home string) value {
	if hasScheme.MatchString(path) || isAbs(path) {
		return value{text: path}
	}
	if expanded := expandUser(path, home); isAbs(expanded) {
		return value{text: expanded, written: path, hasWrite: true}
	}
	abs := filepath.Join(dir, filepath.FromSlash(path))
	return value{text: abs, written: relative(dir, abs), hasWrite: true}
}

// typedPath is what to write for a path that a user typed in folder cwd.
func typedPath(path, dir, cwd, home string) value {
	if hasScheme.MatchString(path) || isAbs(path) {
		return value{text: path}
	}
	if expanded := expandUser(path, home); expanded != path {
		return value{text: expanded, written: filepath.ToSlash(path), hasWrite: true}
	}
	abs := filepath.Join(cwd, filepath.FromSlash(path))
	return value{text: abs, written: relative(dir, abs), hasWrite: true}
}

func relative(dir, abs string) string {
	rel, err := filepath.Rel(dir, abs)
	if err != nil {
		return filepath.ToSlash(abs) // another drive
	}
	return filepath.ToSlash(rel)
}

// isAbs also takes /path for absolute on Windows, where a config file that
// Unix users share may hold one.
func isAbs(path string) bool {
	return filepath.IsAbs(path) || runtime.GOOS == "windows" && strings.HasPrefix(path, "/")
}

func expandUser(path, home string) string {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok {
		return path
	}
	name, tail := rest, ""
	if i := strings.IndexAny(rest, `/`+string(filepath.Separator)); i >= 0 {
		name, tail = rest[:i], rest[i:]
	}
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return path
		}
		home = u.HomeDir
	}
	if home == "" {
		return path
	}
	return strings.TrimRight(home, `/`) + filepath.FromSlash(tail)
}
