package dvcfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ctrx/internal/errs"
)

// resolver turns a checked dvc.yaml into a Pipeline.
type resolver struct {
	file     string
	opts     ParseOptions
	files    varsFiles
	pipeline *Pipeline
}

func (r *resolver) resolve(root *Node) error {
	ctx := newScope()
	vars := root.Get("vars")
	if err := r.noTemplates(vars, "vars"); err != nil {
		return err
	}
	if err := ctx.load(&r.files, DefaultParamsFile, ""); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r.failure(root, "'vars'", nil, err, nil)
	}
	if vars != nil {
		if err := ctx.loadVars(&r.files, vars.Value.([]Value), "", ""); err != nil {
			return r.failure(vars, "'vars'", nil, err, nil)
		}
	}
	if stages := root.Get("stages"); stages != nil {
		for i, key := range stages.Keys {
			if err := r.definition(ctx, key, stages.Items[i]); err != nil {
				return err
			}
		}
	}
	return r.topLevel(ctx, root)
}

// noTemplates refuses ${} in vars.
func (r *resolver) noTemplates(n *Node, where string) error {
	if n == nil {
		return nil
	}
	if s, ok := n.Value.(string); ok && isTemplate(s) {
		return errs.At(n.Pos, "failed to parse '%s' in '%s': interpolating is not allowed", where, r.file)
	}
	for _, part := range slices.Concat(n.Keys, n.Items) {
		if err := r.noTemplates(part, where); err != nil {
			return err
		}
	}
	return nil
}

// failure puts the place into an error of the context or a template; f is what
// tried to fill n in, if anything. Errors in other files have their place already.
func (r *resolver) failure(n *Node, what string, f *filler, err error, ctx *scope) error {
	var asVars *varsError
	var asKey *keyError
	var asTemplate *templateError
	space := " "
	switch {
	case errors.As(err, &asVars):
		if asVars.lineBreak {
			space = "\n"
		}
	case errors.As(err, &asTemplate):
		space = "\n"
	case errors.As(err, &asKey):
	default:
		return fmt.Errorf("load the vars of %s: %w", r.file, err)
	}
	if asVars != nil && n.Keys == nil && asVars.item < len(n.Items) {
		n = n.Items[asVars.item]
	}
	pos := n.Pos
	if f != nil {
		if at := findText(n, f.failed); at != nil {
			pos = at.Pos.Find(f.token)
		}
	}
	located := errs.At(pos, "failed to parse %s in '%s':%s%w", what, r.file, space, err)
	if asKey != nil && ctx != nil {
		if near := nearest(asKey.expr, dottedKeys(ctx.root.plain().(*Map))); near != "" {
			return errs.Hint(located, "did you mean '${%s}'?", near)
		}
		return errs.Hint(located, "define '%s' in %s or under vars", asKey.expr, DefaultParamsFile)
	}
	return located
}

// findText gives the first string of that text inside n.
func findText(n *Node, text string) *Node {
	if n == nil || text == "" {
		return nil
	}
	if s, ok := n.Value.(string); ok && s == text {
		return n
	}
	for _, part := range slices.Concat(n.Keys, n.Items) {
		if found := findText(part, text); found != nil {
			return found
		}
	}
	return nil
}

// definition makes the stages of one entry of stages.
func (r *resolver) definition(ctx *scope, key, def *Node) error {
	name := key.Value.(string)
	if matrix := def.Get("matrix"); matrix != nil {
		return r.matrix(ctx, key, def, matrix)
	}
	if foreach := def.Get("foreach"); foreach != nil {
		return r.foreach(ctx, key, def.Get("do"), foreach)
	}
	return r.entry(ctx, name, "", key, def)
}

// expand fills in the data of foreach or matrix.
func (r *resolver) expand(ctx *scope, name, field string, data *Node) (Value, error) {
	f := filler{ctx: ctx, opts: r.opts, nodes: true}
	v, err := f.value(data.Value)
	if err != nil {
		return nil, r.failure(data, "'stages."+name+"."+field+"'", &f, err, ctx)
	}
	return v, nil
}

// shadow warns that item or key hide values of the same name.
func (r *resolver) shadow(ctx *scope, key *Node, names ...string) {
	var hidden []string
	for _, n := range names {
		if ctx.root.child(n) != nil {
			hidden = append(hidden, n)
		}
	}
	if len(hidden) == 0 {
		return
	}
	verb := "is"
	if len(hidden) > 1 {
		verb = "are"
	}
	r.pipeline.Warnings = append(r.pipeline.Warnings, fmt.Sprintf(
		"%s: %s %s already specified, will be overwritten for stages generated from '%s'",
		key.Pos, strings.Join(hidden, " and "), verb, key.Value))
}

// composite tells whether a value is a list or a mapping.
func (n *contextNode) composite() bool { return n.kind != scalarVar }

// entry makes one stage of a definition.
func (r *resolver) entry(ctx *scope, name, group string, key, def *Node) error {
	dir := ""
	if wdir := def.Get("wdir"); wdir != nil {
		f := filler{ctx: ctx, opts: r.opts}
		v, err := f.value(wdir.Value)
		if err != nil {
			return r.failure(wdir, "'stages."+name+".wdir'", &f, err, ctx)
		}
		dir = path.Join(dir, PyStr(v))
	}
	if vars := def.Get("vars"); vars != nil && len(vars.Items) > 0 {
		if err := r.noTemplates(vars, "stages."+name+".vars"); err != nil {
			return err
		}
		ctx = ctx.clone()
		if err := ctx.loadVars(&r.files, vars.Value.([]Value), dir, name); err != nil {
			what := "stage '" + name + "'"
			if twice := (*varsError)(nil); errors.As(err, &twice) && twice.twice {
				what = "'stages." + name + ".vars'"
			}
			return r.failure(vars, what, nil, err, ctx)
		}
	}
	tracked := *ctx
	tracked.used = &Map{}
	filled := &Map{}
	for i, k := range def.Keys {
		field := k.Value.(string)
		if field == "vars" || field == "matrix" {
			continue
		}
		f := filler{ctx: &tracked, opts: r.opts, field: field}
		v, err := f.value(def.Items[i].Value)
		if err != nil {
			return r.failure(def.Items[i], "'stages."+name+"."+field+"'", &f, err, ctx)
		}
		filled.Set(field, v)
	}
	s := &Stage{Name: name, Group: group, Pos: key.Pos, Vars: tracked.used,
		Parametrized: group != "" || !Equal(def.Value, filled)}
	b := stageBuilder{stage: s, def: def}
	if err := b.build(filled); err != nil {
		return err
	}
	r.pipeline.Stages = append(r.pipeline.Stages, s)
	r.pipeline.byName[name] = s
	return nil
}

// artifactName are the names that GTO, DVC's registry, accepts.
var artifactName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-/_]*[a-zA-Z0-9])?$`)

// topLevel fills in the keys beside stages.
func (r *resolver) topLevel(ctx *scope, root *Node) error {
	p := r.pipeline
	fill := func(where string, n *Node) (Value, error) {
		f := filler{ctx: ctx, opts: r.opts}
		v, err := f.value(n.Value)
		if err != nil {
			return nil, r.failure(n, "'"+where+"'", &f, err, ctx)
		}
		return v, nil
	}
	for _, section := range []string{"params", "metrics", "plots", "datasets"} {
		n := root.Get(section)
		if n == nil {
			continue
		}
		for i, item := range n.Items {
			v, err := fill(section+"."+strconv.Itoa(i), item)
			if err != nil {
				return err
			}
			if err := r.topItem(section, item, v); err != nil {
				return err
			}
		}
	}
	artifacts := root.Get("artifacts")
	if artifacts == nil {
		return nil
	}
	for i, k := range artifacts.Keys {
		where := "artifacts." + k.Value.(string)
		name, err := fill(where, k)
		if err != nil {
			return err
		}
		text, ok := name.(string)
		if !ok {
			return errs.At(k.Pos, "failed to resolve '%s' in '%s': expected str, got %s", where, r.file, pyTypeName(name))
		}
		v, err := fill(where, artifacts.Items[i])
		if err != nil {
			return err
		}
		p.Artifacts.Set(text, v)
		if !artifactName.MatchString(text) {
			p.Warnings = append(p.Warnings, fmt.Sprintf(
				"%s: the artifact '%s' has a name that model registries do not take: use letters, digits, -, _ and /", k.Pos, text))
		}
	}
	return nil
}

func (r *resolver) topItem(section string, n *Node, v Value) error {
	p := r.pipeline
	if section == "datasets" {
		p.Datasets = append(p.Datasets, v)
		return nil
	}
	text, ok := v.(string)
	switch {
	case ok && section == "params":
		p.Params = append(p.Params, text)
	case ok && section == "metrics":
		p.Metrics = append(p.Metrics, text)
	case ok:
		p.Plots = append(p.Plots, PlotSpec{ID: text, Pos: n.Pos})
	default:
		m, isMap := v.(*Map)
		if section != "plots" || !isMap {
			return errs.At(n.Pos, "an item of '%s' resolves to %s, expected a string", section, typeName(v))
		}
		for i := range m.Len() {
			id, def := m.At(i)
			p.Plots = append(p.Plots, plotSpec(id, def, n.Pos))
		}
	}
	return nil
}

func plotSpec(id string, def Value, pos errs.Pos) PlotSpec {
	m, _ := def.(*Map)
	text := func(key string) string {
		v, ok := m.Get(key)
		if !ok || v == nil {
			return ""
		}
		return PyStr(v)
	}
	s := PlotSpec{ID: id, Def: true, Pos: pos, XLabel: text("x_label"), YLabel: text("y_label"),
		Title: text("title"), Template: text("template")}
	s.X, _ = m.Get("x")
	s.Y, _ = m.Get("y")
	return s
}
