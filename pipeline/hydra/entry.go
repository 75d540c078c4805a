package hydra

import (
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// entry is an entry of a defaults list.
//
//   - name                       a config beside this one
//   - group: option              a config of a group; null is none
//   - group: [option, ...]
//   - override group: option     changes an entry of another list
//   - optional group: option     may be missing
//   - group@package: option      its content goes below package
//   - /group: option             counts from the top
//   - _self_                     the content of this config
type entry struct {
	pos     errs.Pos
	isGroup bool
	path    string   // of the group, or of the config
	option  *string  // of a group; nil is null
	options []string // of a group with several; nil for one
	pkg     *string  // behind @

	optional bool
	override bool
	external bool // from an override +group=option
	primary  bool

	// Where it stands, known once its list is looked at.
	placed    bool
	parentDir string // the folder of the config that has the list
	parentPkg string
	header    *string // the package of its own file
	deleted   bool
}

// single tells that an entry names one config or none.
func (e *entry) single() bool { return e.options == nil }

func (e *entry) isSelf() bool {
	if e.isGroup {
		return e.option != nil && *e.option == "_self_"
	}
	return e.path == "_self_"
}

// parseEntry reads an item of the defaults list of a config.
func parseEntry(config string, n *dvcfile.Node) (*entry, error) {
	switch v := n.Value.(type) {
	case string:
		e := &entry{pos: n.Pos}
		e.path, e.pkg = splitPackage(v)
		if e.isSelf() && e.pkg != nil {
			return nil, errs.At(n.Pos, "_self_@PACKAGE is not supported")
		}
		return e, nil
	case *dvcfile.Map:
		switch v.Len() {
		case 0:
			return nil, errs.At(n.Pos, "In %s: Missing group name in {}", config)
		case 1:
			return parseGroup(config, n)
		}
		return nil, errs.At(n.Pos, "In %s: Too many keys in default item %s", config, dvcfile.PyStr(v))
	}
	return nil, errs.At(n.Pos, "Unsupported type in defaults : %s", pyType(n.Value))
}

func parseGroup(config string, n *dvcfile.Node) (*entry, error) {
	key, ok := n.Keys[0].Value.(string)
	if !ok {
		return nil, errs.At(n.Keys[0].Pos, "In %s: a config group is a string, not %s", config, dvcfile.PyStr(n.Keys[0].Value))
	}
	e := &entry{pos: n.Keys[0].Pos, isGroup: true}
	key, e.pkg = splitPackage(key)
	words := strings.Split(key, " ")
	e.path = words[len(words)-1]
	for _, word := range words[:len(words)-1] {
		if word != "optional" && word != "override" {
			break
		}
		e.optional = e.optional || word == "optional"
		e.override = e.override || word == "override"
	}
	if e.path == "" {
		return nil, errs.At(e.pos, "In %s: Missing group name", config)
	}
	item := n.Items[0]
	switch v := item.Value.(type) {
	case nil:
	case string:
		e.option = &v
	case []dvcfile.Value:
		e.options = []string{}
		for i, o := range v {
			s, ok := o.(string)
			if !ok {
				return nil, errs.At(item.Items[i].Pos, "Unsupported item value in defaults : %s, nested list items must be strings", pyType(o))
			}
			e.options = append(e.options, s)
		}
	default:
		return nil, errs.At(item.Pos, "Unsupported item value in defaults : %s. Supported: string or list", pyType(v))
	}
	return e, nil
}

// splitPackage cuts the package off group@package. Of a rename, group@old:new,
// the first counts.
func splitPackage(s string) (group string, pkg *string) {
	group, after, ok := strings.Cut(s, "@")
	if !ok {
		return s, nil
	}
	after, _, _ = strings.Cut(after, ":")
	if after == "_here_" {
		after = ""
	}
	return group, &after
}

// place tells the entry where its list stands.
func (e *entry) place(dir, pkg string) {
	e.placed, e.parentDir, e.parentPkg = true, dir, pkg
	if e.pkg != nil && strings.Contains(*e.pkg, "_group_") {
		full := "_global_." + strings.ReplaceAll(*e.pkg, "_group_", e.defaultPackage())
		e.pkg = &full
	}
}

// local is the path without the slash of an absolute one.
func (e *entry) local() (path string, absolute bool) {
	path, absolute = strings.CutPrefix(e.path, "/")
	return path, absolute || e.parentDir == ""
}

// groupPath is the group from the top; for a config, its folder.
func (e *entry) groupPath() string {
	group, absolute := e.local()
	if !e.isGroup {
		group = dirOf(group)
	}
	switch {
	case absolute:
		return group
	case group == "":
		return e.parentDir
	}
	return e.parentDir + "/" + group
}

func dirOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}

// name is the config's own name; ok is false for the option null.
func (e *entry) name() (name string, ok bool) {
	if e.isGroup {
		if e.option == nil {
			return "", false
		}
		return *e.option, true
	}
	return e.path[strings.LastIndexByte(e.path, '/')+1:], true
}

// shownName is the name for messages.
func (e *entry) shownName() string {
	if name, ok := e.name(); ok {
		return name
	}
	return "None"
}

// configPath is the config from the top.
func (e *entry) configPath() string {
	if e.isGroup {
		return e.groupPath() + "/" + e.shownName()
	}
	path, absolute := e.local()
	if absolute {
		return path
	}
	return e.parentDir + "/" + path
}

func (e *entry) defaultPackage() string { return strings.ReplaceAll(e.groupPath(), "/", ".") }

// ownPackage is what stands behind @, else the file's header; nil for neither.
func (e *entry) ownPackage(withHeader bool) *string {
	if e.pkg == nil && withHeader {
		return e.header
	}
	return e.pkg
}

// finalPackage is where the content goes.
func (e *entry) finalPackage(withHeader bool) string {
	var pkg string
	if own := e.ownPackage(withHeader); own != nil {
		pkg = *own
	} else {
		group, _ := strings.CutPrefix(e.path, "/")
		if !e.isGroup {
			group = dirOf(group)
		}
		pkg = strings.ReplaceAll(group, "/", ".")
	}
	switch {
	case e.parentPkg == "":
	case pkg == "":
		pkg = e.parentPkg
	default:
		pkg = e.parentPkg + "." + pkg
	}
	const global = "_global_"
	if i := strings.LastIndex(pkg, global); i >= 0 {
		pkg = pkg[min(len(pkg), i+len(global)+1):]
	}
	return pkg
}

// key names the entry in overrides: its group, with the package where that is
// another one.
func (e *entry) key() string {
	pkg := e.finalPackage(false)
	if pkg == e.defaultPackage() {
		return e.groupPath()
	}
	if pkg == "" {
		pkg = "_global_"
	}
	return e.groupPath() + "@" + pkg
}

// setHeader takes the package of the entry's file, which counts from the top.
func (e *entry) setHeader(pkg string) {
	if pkg != "_global_" && !strings.HasPrefix(pkg, "_global_.") {
		pkg = "_global_." + pkg
	}
	e.header = &pkg
}

func (e *entry) isMissing() bool {
	name, ok := e.name()
	return e.single() && ok && name == "???"
}

// interpolated is the text with ${} of an entry that has one.
func (e *entry) interpolated() (string, bool) {
	text := ""
	switch {
	case !e.isGroup:
		text = e.configPath()
	case e.single() && e.option != nil:
		text = *e.option
	}
	return text, strings.Contains(text, "${")
}
