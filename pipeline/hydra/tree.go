package hydra

import (
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// node is an entry with the entries of its config's defaults list; without
// children it is the config itself.
type node struct {
	entry    *entry
	children []*node
	parent   *node
}

// result is a config in the order of composition.
type result struct {
	config  string
	pkg     string
	key     string // of a group
	primary bool
	pos     errs.Pos
}

// maxTree bounds how deep defaults lists may lead to another, against circles.
const maxTree = 100

// builder makes the tree of defaults lists.
type builder struct {
	repo    *repository
	choices *choices
	env     dvcfile.Surroundings
	depth   int
}

// order gives the configs in the order in which they are merged.
func (b *builder) order(name string) ([]result, error) {
	primary := &entry{path: name, primary: true}
	own := &entry{path: ownConfig}
	var trees []*node
	for _, e := range []*entry{primary, own} { // what the primary config chooses holds for Hydra's own
		e.place("", "")
		n := &node{entry: e}
		if err := b.expand(n, e.primary, false); err != nil {
			return nil, err
		}
		trees = append(trees, n)
	}
	var results []result
	for _, n := range []*node{trees[1], trees[0]} {
		results = n.collect(results)
	}
	seen := map[string]bool{}
	for _, r := range results {
		if r.key != "" && seen[r.key] {
			return nil, errs.At(r.pos, "%s appears more than once in the final defaults list", r.key)
		}
		seen[r.key] = true
	}
	return results, b.choices.checkUsed()
}

// collect walks the tree from the first entry to the last.
func (n *node) collect(results []result) []result {
	if len(n.children) > 0 {
		for _, child := range n.children {
			results = child.collect(results)
		}
		return results
	}
	e := n.entry
	if e.deleted || e.isMissing() {
		return results
	}
	if _, ok := e.name(); !ok || !e.single() {
		return results
	}
	if e.isSelf() && n.parent != nil {
		p := n.parent.entry
		return append(results, result{config: p.configPath(), pkg: p.finalPackage(true), primary: p.primary, pos: e.pos})
	}
	r := result{config: e.configPath(), pkg: e.finalPackage(true), primary: e.primary, pos: e.pos}
	if e.isGroup {
		r.key = e.key()
	}
	return append(results, r)
}

// expand looks at the defaults list of a node's config. deferred is a part of
// the tree that an interpolation led to.
func (b *builder) expand(n *node, primary, deferred bool) error {
	e := n.entry
	if b.depth++; b.depth > maxTree {
		return errs.At(e.pos, "the defaults lists lead in a circle through '%s'", e.configPath())
	}
	defer func() { b.depth-- }()
	if primary && !b.repo.hasConfig(e.configPath()) {
		return b.notFound(n)
	}
	loaded, err := b.load(e)
	if err != nil {
		return err
	}
	if b.choices.isDeleted(e) {
		e.deleted = true
		return nil
	}
	if err := b.choices.know(e); err != nil {
		return err
	}
	if _, ok := e.name(); !ok {
		return nil
	}
	if strings.HasSuffix(e.configPath(), "???") {
		return b.mustChoose(e)
	}
	if loaded == nil {
		if e.optional || e.isGroup && isOwnGroup(e.groupPath()) {
			e.deleted = true
			return nil
		}
		return b.notFound(n)
	}
	list, selfAdded, err := b.list(e, loaded, primary)
	if err != nil {
		return err
	}
	if err := b.placeAll(list, e, deferred); err != nil {
		return err
	}
	if err := b.addChildren(n, list, deferred); err != nil {
		return err
	}
	return b.addDeferred(n, list, selfAdded)
}

// load reads the config of an entry and tells the entry its package.
func (b *builder) load(e *entry) (*config, error) {
	if e.isMissing() {
		return nil, nil
	}
	loaded, err := b.repo.load(e.configPath())
	if err != nil || loaded == nil {
		return nil, err
	}
	if loaded.hasPkg {
		e.setHeader(loaded.pkg)
	}
	return loaded, nil
}

// list gives a copy of the defaults list of a config, with _self_ at its end
// where it names none, and what was appended from outside.
func (b *builder) list(e *entry, loaded *config, primary bool) (list []*entry, selfAdded bool, err error) {
	for _, d := range loaded.defaults {
		own := *d
		list = append(list, &own)
	}
	if len(list) == 0 && !(primary && len(b.choices.appended) > 0) {
		return nil, false, nil
	}
	self, other := false, false
	for _, d := range list {
		other = other || !d.override
		if d.isSelf() {
			if self {
				return nil, false, errs.At(d.pos, "Duplicate _self_ defined in %s", e.configPath())
			}
			self = true
		}
	}
	if !self && other || len(list) == 0 {
		list = append(list, &entry{path: "_self_", pos: e.pos})
	}
	if primary {
		list = append(list, b.choices.appended...)
	}
	return list, !self, nil
}

// placeAll tells the entries of a list where they stand, and takes the
// overrides among them, which stand at the end.
func (b *builder) placeAll(list []*entry, e *entry, deferred bool) error {
	var last *entry
	for _, d := range list {
		if d.isSelf() {
			continue
		}
		d.place(e.groupPath(), e.finalPackage(true))
		if last != nil && !d.override && !d.external {
			return errs.At(d.pos, "In %s: Override '%s : %s' is defined before '%s: %s'. Overrides must be at the end of the defaults list",
				e.configPath(), last.key(), last.shownName(), d.key(), d.shownName())
		}
		if !d.isGroup || !d.override {
			continue
		}
		last = d
		if deferred {
			return errs.At(d.pos, "%s: Default List Overrides are not allowed in the subtree of an in interpolated config group (override %s=%s).",
				e.configPath(), d.key(), d.shownName())
		}
		b.choices.override(e.configPath(), d)
	}
	return nil
}

// addChildren goes through a list from its end, so that an override in a later
// config counts for the earlier ones.
func (b *builder) addChildren(n *node, list []*entry, deferred bool) error {
	e := n.entry
	var children []*node // the last one first
	add := func(child *entry) error {
		made := &node{entry: child, parent: n}
		children = append(children, made)
		return b.expand(made, false, deferred)
	}
	for i := len(list) - 1; i >= 0; i-- {
		d := list[i]
		switch {
		case d.isSelf():
			children = append(children, &node{entry: d, parent: n})
			continue
		case d.override:
			continue
		}
		b.choices.apply(d)
		if !d.single() {
			for k := len(d.options) - 1; k >= 0; k-- {
				option := d.options[k]
				if strings.Contains(option, "${") {
					return errs.At(d.pos, "In '%s': Defaults List interpolation is not supported in options list items", e.configPath())
				}
				one := &entry{pos: d.pos, path: d.path + "/" + option, pkg: d.pkg, optional: d.optional}
				one.place(e.groupPath(), e.finalPackage(true))
				if err := add(one); err != nil {
					return err
				}
			}
			continue
		}
		if _, ok := d.interpolated(); ok {
			children = append(children, &node{entry: d, parent: n}) // when all groups are known
			continue
		}
		if err := add(d); err != nil {
			return err
		}
	}
	for i := len(children) - 1; i >= 0; i-- {
		n.children = append(n.children, children[i])
	}
	return nil
}

// addDeferred resolves the entries that refer to the choices of other groups.
func (b *builder) addDeferred(n *node, list []*entry, selfAdded bool) error {
	known := b.choices.known.Clone()
	known.Set("defaults", listValue(list, selfAdded))
	for i := len(n.children) - 1; i >= 0; i-- {
		child := n.children[i]
		d := child.entry
		text, ok := d.interpolated()
		if !ok || len(child.children) > 0 || d.isSelf() {
			continue
		}
		resolved, err := b.interpolate(d, text, known)
		if err != nil {
			return err
		}
		if d.isGroup {
			d.option = &resolved
		} else {
			d.path = resolved
		}
		if err := b.expand(child, false, true); err != nil {
			return err
		}
	}
	return nil
}

// interpolate resolves ${group} against the chosen options.
func (b *builder) interpolate(d *entry, text string, known *dvcfile.Map) (string, error) {
	if d.isGroup && legacyReference(text) {
		return "", errs.At(d.pos, "Defaults list element '%s=%s' is using a deprecated interpolation form: write ${group}", d.key(), text)
	}
	v, err := dvcfile.ResolveText(text, known, b.env)
	if err != nil {
		keys := slices.DeleteFunc(slices.Clone(known.Keys()), func(k string) bool { return k == "defaults" })
		if len(keys) == 0 {
			return "", errs.At(d.pos, "Error resolving interpolation '%s'", text)
		}
		return "", errs.At(d.pos, "Error resolving interpolation '%s', possible interpolation keys: %s", text, strings.Join(keys, ", "))
	}
	s, ok := v.(string)
	if !ok {
		return "", errs.At(d.pos, "the interpolation '%s' gives %s, not the name of a config", text, dvcfile.PyStr(v))
	}
	return s, nil
}

// legacyReference tells whether a text begins with ${defaults.0.group}.
func legacyReference(text string) bool {
	rest, ok := strings.CutPrefix(text, "${defaults.")
	return ok && len(rest) > 1 && rest[0] >= '0' && rest[0] <= '9' && rest[1] == '.'
}

// listValue is a defaults list as an interpolation sees it.
func listValue(list []*entry, selfAdded bool) []dvcfile.Value {
	out := []dvcfile.Value{}
	for _, d := range list {
		switch {
		case selfAdded && d.isSelf():
		case !d.isGroup:
			out = append(out, d.configPath())
		case d.single():
			var option dvcfile.Value
			if name, ok := d.name(); ok {
				option = name
			}
			out = append(out, dvcfile.NewMap(d.key(), option))
		}
	}
	return out
}

// mustChoose is the error about a group without an option.
func (b *builder) mustChoose(e *entry) error {
	if !e.isGroup {
		return errs.At(e.pos, "Missing ConfigDefault is not supported : %s", e.configPath())
	}
	key := e.key()
	err := errs.At(e.pos, "You must specify '%s', e.g, %s=<OPTION>", key, key)
	if options := b.repo.options(e.groupPath()); len(options) > 0 {
		return errs.Hint(err, "ctrx exp run -S %s=%s; available options: %s", key, options[0], strings.Join(options, ", "))
	}
	return err
}

// notFound is the error about a config that is not there.
func (b *builder) notFound(n *node) error {
	e := n.entry
	var folders []string
	for _, f := range b.repo.folders {
		folders = append(folders, f.name)
	}
	where := "; searched: " + strings.Join(folders, ", ")
	if e.primary {
		return errs.Hint(errs.New(errs.ProjectFile, "Cannot find primary config '%s'. Check that it's in your config search path%s", e.configPath(), where),
			"ctrx config hydra.config_name NAME")
	}
	in := ""
	if n.parent != nil {
		in = "In '" + n.parent.entry.configPath() + "': "
	}
	if !e.isGroup {
		return b.fail(e, "%sCould not load '%s'.%s", in, e.configPath(), strings.TrimPrefix(where, ";"))
	}
	err := b.fail(e, "%sCould not find '%s'%s", in, e.configPath(), where)
	if options := b.repo.options(e.groupPath()); len(options) > 0 {
		return errs.Hint(err, "available options in '%s': %s", e.groupPath(), strings.Join(options, ", "))
	}
	return err
}

// fail points at the entry, or at the override that chose its option.
func (b *builder) fail(e *entry, format string, args ...any) error {
	if e.isGroup {
		if ch := b.choices.made[e.key()]; e.external || ch != nil && ch.from == nil {
			return usage(format, args...)
		} else if ch != nil {
			return errs.At(ch.from.pos, format, args...)
		}
	}
	return errs.At(e.pos, format, args...)
}
