package pyenv

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"ctrx/internal/errs"
)

// projectFile is the part of a pyproject.toml that says what a project needs.
type projectFile struct {
	Project *struct {
		Name         string              `toml:"name"`
		Dependencies []string            `toml:"dependencies"`
		Optional     map[string][]string `toml:"optional-dependencies"`
		Dynamic      []string            `toml:"dynamic"`
		Python       string              `toml:"requires-python"`
	} `toml:"project"`
	Tool struct {
		UV     map[string]any `toml:"uv"`
		Poetry map[string]any `toml:"poetry"`
	} `toml:"tool"`
}

// readProject takes the dependencies of [project] with those of the extras.
func (src *source) readProject(o Options, data []byte, add func(...string)) error {
	var f projectFile
	if err := toml.Unmarshal(data, &f); err != nil {
		pos := errs.Pos{File: o.File}
		if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
			pos.Line, pos.Col = bad.Position()
		}
		return errs.At(pos, "%w", err)
	}
	at := errs.Pos{File: o.File, Line: 1, Col: 1}
	if f.Project == nil {
		err := errs.At(at, "there is no [project] with dependencies")
		if f.Tool.Poetry != nil {
			return errs.Hint(err, "poetry export -o requirements.txt, and name that file in meta.ctrx.python")
		}
		return err
	}
	if slices.Contains(f.Project.Dynamic, "dependencies") || len(o.Extras) > 0 && slices.Contains(f.Project.Dynamic, "optional-dependencies") {
		return errs.At(at, "the dependencies are dynamic: they are known only when the project is built, so name a requirements file instead")
	}
	requirements, err := f.needed(f.Project.Dependencies, o.Extras, map[string]bool{})
	if err != nil {
		return errs.At(at, "%w", err)
	}
	src.requirements, src.python = append([]string{}, requirements...), f.Project.Python
	add("pyproject.toml")
	add(requirements...)
	if len(f.Tool.UV) == 0 {
		return nil
	}
	// How uv is to install them; its sources may be folders beside the file.
	settings, err := json.Marshal(f.Tool.UV)
	if err != nil {
		return errs.At(at, "[tool.uv]: %w", err)
	}
	add(string(settings), filepath.Dir(o.File))
	if f.Tool.UV["sources"] != nil {
		src.uvOnly = "the project has [tool.uv.sources]"
	}
	return nil
}

// reference is a requirement with extras: "name[a, b]".
var reference = regexp.MustCompile(`^\s*([A-Za-z0-9._-]+)\s*\[([^\]]*)\]`)

// needed adds to requirements those of the extras. A requirement that names the
// project itself stands for extras of it.
func (f *projectFile) needed(requirements, extras []string, done map[string]bool) (out []string, err error) {
	for _, r := range requirements {
		if m := reference.FindStringSubmatch(r); m != nil && sameName(m[1], f.Project.Name) {
			for x := range strings.SplitSeq(m[2], ",") {
				extras = append(slices.Clone(extras), strings.TrimSpace(x))
			}
			continue
		}
		out = append(out, r)
	}
	for _, x := range extras {
		if done[x] {
			continue
		}
		done[x] = true
		lines, ok := []string(nil), false
		for name, group := range f.Project.Optional {
			if sameName(name, x) {
				lines, ok = group, true
			}
		}
		if !ok {
			known := slices.Sorted(maps.Keys(f.Project.Optional))
			return nil, fmt.Errorf("[project.optional-dependencies] has no %q; it has: %s", x, strings.Join(known, ", "))
		}
		more, err := f.needed(lines, nil, done)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	return out, nil
}

var nameSeparators = regexp.MustCompile(`[-_.]+`)

// sameName compares names of packages and extras as installers do.
func sameName(a, b string) bool {
	normal := func(s string) string { return strings.ToLower(nameSeparators.ReplaceAllString(s, "-")) }
	return normal(a) == normal(b)
}

// versionClause is one condition of requires-python that is about numbers.
var versionClause = regexp.MustCompile(`^(>=|<=|==|!=|~=|>|<)\s*(\d+(?:\.\d+)*)(\.\*)?$`)

// allows tells whether a version fits requires-python (">=3.10,<3.14").
// Conditions of another form are left to the installer.
func allows(spec, version string) bool {
	have := numbers(version)
	for clause := range strings.SplitSeq(spec, ",") {
		m := versionClause.FindStringSubmatch(strings.TrimSpace(clause))
		if m == nil {
			continue
		}
		want := numbers(m[2])
		order := compareVersions(have, want)
		prefix := compareVersions(have[:min(len(have), len(want))], want) == 0
		ok := true
		switch m[1] {
		case ">=":
			ok = order >= 0
		case "<=":
			ok = order <= 0
		case ">":
			ok = order > 0
		case "<":
			ok = order < 0
		case "==":
			ok = order == 0 || m[3] != "" && prefix
		case "!=":
			ok = order != 0 && (m[3] == "" || !prefix)
		case "~=":
			series := want[:max(1, len(want)-1)]
			ok = order >= 0 && compareVersions(have[:min(len(have), len(series))], series) == 0
		}
		if !ok {
			return false
		}
	}
	return true
}

// numbers gives the leading numbers of a version: 3, 13 and 0 of "3.13.0rc1".
func numbers(version string) (out []int) {
	for part := range strings.SplitSeq(version, ".") {
		digits := part[:len(part)-len(strings.TrimLeft(part, "0123456789"))]
		n, err := strconv.Atoi(digits)
		if err != nil {
			break
		}
		if out = append(out, n); digits != part {
			break
		}
	}
	return out
}

// compareVersions compares as if the shorter one had zeros behind it.
func compareVersions(a, b []int) int {
	for i := range max(len(a), len(b)) {
		x, y := 0, 0
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if c := cmp.Compare(x, y); c != 0 {
			return c
		}
	}
	return 0
}
