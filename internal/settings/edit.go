package settings

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// Name names an option: core.remote, or remote.NAME.url with Kind "remote"
// and Section NAME.
type Name struct {
	Kind    string // "remote", "db" or ""
	Section string
	Key     string
}

// String is the dotted form.
func (n Name) String() string {
	if n.Kind != "" {
		return n.Kind + "." + n.Section + "." + n.Key
	}
	return n.Section + "." + n.Key
}

var dotted = regexp.MustCompile(`^(?:(remote|db)\.)?([^.]*)\.([^.]*)$`)

// ParseName reads the dotted form; section and key are not case-sensitive.
func ParseName(s string) (Name, error) {
	m := dotted.FindStringSubmatch(s)
	if m == nil {
		return Name{}, errs.Hint(errs.New(errs.Usage, "%q does not name an option", s),
			"write section.option, remote.NAME.option or db.NAME.option")
	}
	return Name{Kind: m[1], Section: strings.ToLower(m[2]), Key: strings.ToLower(m[3])}, nil
}

// edit changes one level's file: change works on a fresh copy, which is
// checked together with the weaker levels and written only when that succeeds.
func (d *DVC) edit(level Level, change func(*file) error) error {
	if level == Merged {
		level = Repo
	}
	if d.paths[level] == "" {
		return errs.Hint(errs.New(errs.NotFound, "not inside a DVC repository"), "ctrx init, or --global to set it for all your repositories")
	}
	f, err := d.readFile(level)
	if err != nil {
		return err
	}
	if err := change(f); err != nil {
		return err
	}
	files := slices.DeleteFunc(slices.Clone(d.files), func(g *file) bool { return g.level >= level })
	if err := d.validate(append(files, f)); err != nil {
		return err
	}
	if err := f.save(); err != nil {
		return err
	}
	return d.reload()
}

// Set gives an option a value. A relative path is taken as relative to cwd.
func (d *DVC) Set(level Level, n Name, text, cwd string) error {
	return d.edit(level, func(f *file) error {
		f.set(n.Kind, n.Section, n.Key, d.typed(f, n, text, cwd))
		return nil
	})
}

func (d *DVC) typed(f *file, n Name, text, cwd string) value {
	if slices.Contains(pathKeys(n.Kind, n.Section), n.Key) {
		return typedPath(text, filepath.Dir(f.path), cwd, d.home)
	}
	return value{text: text}
}

// Unset removes an option; one that is not set at that level is errs.NotFound.
func (d *DVC) Unset(level Level, n Name) error {
	return d.edit(level, func(f *file) error {
		if f.unset(n.Kind, n.Section, n.Key) {
			return nil
		}
		if f.find(n.Kind, n.Section) == nil {
			return errs.New(errs.NotFound, "%s: there is no section %s in %s", n, n.Section, f.path)
		}
		return errs.New(errs.NotFound, "%s is not set in %s", n, f.path)
	})
}

// RemoteAdd defines a remote, on demand as the default one. A name that is
// taken at that level is errs.Conflict unless force is set, which replaces all
// of its options.
func (d *DVC) RemoteAdd(level Level, name, url, cwd string, asDefault, force bool) error {
	name = strings.ToLower(name)
	return d.edit(level, func(f *file) error {
		if s := f.find("remote", name); s != nil {
			if !force {
				return errs.Hint(errs.New(errs.Conflict, "remote %s already exists in %s", name, f.path), "-f replaces it")
			}
			s.keys = nil
		}
		n := Name{"remote", name, "url"}
		f.set(n.Kind, n.Section, n.Key, d.typed(f, n, url, cwd))
		if asDefault {
			f.set("", "core", "remote", value{text: name})
		}
		return nil
	})
}

// RemoteModify sets an option of a remote that is defined at that level or a
// weaker one.
func (d *DVC) RemoteModify(level Level, name, key, text, cwd string) error {
	name = strings.ToLower(name)
	return d.edit(level, func(f *file) error {
		if err := d.exists(f, name); err != nil {
			return err
		}
		n := Name{"remote", name, key}
		f.set(n.Kind, n.Section, n.Key, d.typed(f, n, text, cwd))
		return nil
	})
}

// RemoteUnset removes an option of a remote; one that is not set is no error.
func (d *DVC) RemoteUnset(level Level, name, key string) error {
	name = strings.ToLower(name)
	return d.edit(level, func(f *file) error {
		if err := d.exists(f, name); err != nil {
			return err
		}
		if f.find("remote", name) == nil {
			f.sections = append(f.sections, &section{kind: "remote", name: name})
		}
		f.unset("remote", name, key)
		return nil
	})
}

// exists checks that a remote is defined in f or at a weaker level.
func (d *DVC) exists(f *file, name string) error {
	if f.find("remote", name) != nil {
		return nil
	}
	for _, g := range d.files {
		if g.level < f.level && g.find("remote", name) != nil {
			return nil
		}
	}
	return d.missingAt(f, name)
}

// RemoteRemove removes a remote from a level, and core.remote where it names
// the remote, there and at the stronger levels.
func (d *DVC) RemoteRemove(level Level, name string) error {
	name = strings.ToLower(name)
	err := d.edit(level, func(f *file) error {
		if f.find("remote", name) == nil {
			return d.missingAt(f, name)
		}
		f.remove("remote", name)
		return nil
	})
	if err != nil {
		return err
	}
	return d.eachFrom(level, true, func(f *file) bool {
		if s := f.find("", "core"); s != nil && s.option("remote") != nil && s.option("remote").value.text == name {
			return f.unset("", "core", "remote")
		}
		return false
	})
}

// missingAt is noRemote that also says where the remote is defined instead.
func (d *DVC) missingAt(f *file, name string) error {
	for _, g := range d.files {
		if g.level != f.level && g.find("remote", name) != nil {
			return errs.Hint(errs.New(errs.NotFound, "remote %s is not defined in %s but in %s", name, f.path, g.path), "use --%s", g.level)
		}
	}
	return d.noRemote(name)
}

// RemoteRename renames a remote at a level, and core.remote where it names
// the remote, there and at the stronger levels.
func (d *DVC) RemoteRename(level Level, name, newName string) error {
	name, newName = strings.ToLower(name), strings.ToLower(newName)
	if slices.Contains(d.Remotes(), newName) {
		return errs.New(errs.Conflict, "remote %s already exists", newName)
	}
	rename := func(f *file) bool {
		s := f.find("", "core")
		if s == nil || s.option("remote") == nil || s.option("remote").value.text != name {
			return false
		}
		f.set("", "core", "remote", value{text: newName})
		return true
	}
	err := d.edit(level, func(f *file) error {
		s := f.find("remote", name)
		if s == nil {
			return d.missingAt(f, name)
		}
		f.remove("remote", name)
		f.sections = append(f.sections, &section{kind: "remote", name: newName, line: s.line, keys: s.keys})
		rename(f)
		return nil
	})
	if err != nil {
		return err
	}
	return d.eachFrom(level, false, rename)
}

// eachFrom edits the files from a level upwards (without the level itself
// unless including) in which change says that it changed something. A file
// that DVC would only rewrite or create empty is left alone.
func (d *DVC) eachFrom(level Level, including bool, change func(*file) bool) error {
	if level == Merged {
		level = Repo
	}
	if !including {
		level++
	}
	for ; level <= Local; level++ {
		if d.paths[level] == "" {
			continue
		}
		f, err := d.readFile(level)
		if err != nil {
			return err
		}
		if change(f) {
			if err := f.save(); err != nil {
				return err
			}
		}
	}
	return d.reload()
}

// SetDefaultRemote sets core.remote to a remote that is defined at that level
// or a weaker one.
func (d *DVC) SetDefaultRemote(level Level, name string) error {
	name = strings.ToLower(name)
	return d.edit(level, func(f *file) error {
		if err := d.exists(f, name); err != nil {
			return err
		}
		f.set("", "core", "remote", value{text: name})
		return nil
	})
}

// UnsetDefaultRemote removes core.remote from a level, if it is there.
func (d *DVC) UnsetDefaultRemote(level Level) error {
	return d.edit(level, func(f *file) error {
		f.unset("", "core", "remote")
		return nil
	})
}
