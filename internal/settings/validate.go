package settings

import (
	"maps"
	"slices"
	"strings"

	"ctrx/internal/errs"
)

// Validate checks the merged configuration as DVC does: unknown sections and
// options, and values of a wrong form, are errors of kind ProjectFile with file
// and line.
func (d *DVC) Validate() error { return d.validate(d.files) }

func (d *DVC) validate(files []*file) error {
	seen := map[string]bool{}
	for _, f := range slices.Backward(files) {
		for _, s := range f.sections {
			if s.kind == "remote" {
				if seen[s.name] {
					continue
				}
				seen[s.name] = true
				if err := d.validateRemote(files, s.name); err != nil {
					return err
				}
				continue
			}
			if err := f.validateSection(s); err != nil {
				return err
			}
		}
	}
	return d.validateHydra(files)
}

func (f *file) validateSection(s *section) error {
	name := s.name
	if s.kind != "" {
		name = s.kind
	}
	known, open, ok := sectionKeys(name)
	if !ok {
		err := f.fail(s.line, "unknown section [%s]", s.name)
		names := append(sectionNames(), namedSections()...)
		if n := nearest(s.name, names); n != "" {
			return errs.Hint(err, "did you mean [%s]?", n)
		}
		return errs.Hint(err, "the sections are %s, and ['remote \"NAME\"']", strings.Join(sectionNames(), ", "))
	}
	for _, o := range s.keys {
		if err := f.validateOption(name, s.title(), o, known, open); err != nil {
			return err
		}
	}
	return nil
}

// title is how messages call a section.
func (s *section) title() string {
	if s.kind == "" {
		return "section " + s.name
	}
	return s.kind + " " + s.name
}

func (f *file) validateOption(schema, title string, o *option, known keys, open bool) error {
	r, ok := known[o.key]
	if !ok {
		if open {
			return nil
		}
		err := f.fail(o.line, "unknown option %s in %s", o.key, title)
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(known)), func(k string) bool { return obsolete(schema, k) })
		if n := nearest(o.key, names); n != "" {
			return errs.Hint(err, "did you mean %s?", n)
		}
		return errs.Hint(err, "the options are %s", strings.Join(names, ", "))
	}
	if wrong := r.check(o.value); wrong != "" {
		return f.fail(o.line, "%s of %s %s", o.key, title, wrong)
	}
	return nil
}

// validateRemote checks the options of a remote, which may be spread over
// several files, against what its URL allows.
func (d *DVC) validateRemote(files []*file, name string) error {
	url, hasURL := "", false
	var last *file
	line := 0
	for _, f := range files {
		if s := f.find("remote", name); s != nil {
			last, line = f, s.line
			if o := s.option("url"); o != nil {
				url, hasURL = o.value.text, true
				line = o.line
			}
		}
	}
	if !hasURL {
		flag := map[Level]string{System: " --system", Global: " --global", Local: " --local"}[last.level]
		return errs.Hint(last.fail(line, "remote %s has no url", name),
			"give it one: ctrx remote add -f %s URL; or drop what is left of it: ctrx remote remove%s %s", name, flag, name)
	}
	known, open, ok := remoteKeys(urlScheme(url))
	if !ok {
		return last.fail(line, "remote %s: no storage is known for %s://", name, urlScheme(url))
	}
	for _, f := range files {
		if s := f.find("remote", name); s != nil {
			for _, o := range s.keys {
				if err := f.validateOption("remote", s.title(), o, known, open); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (d *DVC) validateHydra(files []*file) error {
	var dir, module bool
	for _, f := range files {
		s := f.find("", "hydra")
		if s == nil {
			continue
		}
		dir = dir || s.option("config_dir") != nil
		module = module || s.option("config_module") != nil
		if dir && module {
			return f.fail(s.line, "section hydra has both config_dir and config_module; only one may be set")
		}
	}
	return nil
}
