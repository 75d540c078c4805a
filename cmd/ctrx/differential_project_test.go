package main

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
)

// project is a random project. What a seed gives never changes but with this
// file.
type project struct {
	seed   uint64
	args   []string            // of repro
	loose  bool                // dvc runs the stages of args in no fixed order
	steps  []map[string]string // files to write, each time before a repro
	broken string              // what was broken on purpose, or ""
}

// maker makes a project.
type maker struct {
	r     *rand.Rand
	files map[string]string
	// names of values that templates of every stage may use
	safe  []string // in paths and unquoted in commands
	any   []string // at the end of a command
	dicts []string // unpacked in a command
	keys  []string // of params.yaml that a stage may depend on
	made  []string // outputs of stages before, from the project's root
	count int
}

// randomProject makes the project of a seed, broken in one way where that is
// given.
func randomProject(seed uint64, b *mutation) *project {
	m := &maker{r: rand.New(rand.NewPCG(seed, 2)), files: map[string]string{}}
	p := &project{seed: seed, args: []string{"repro"}}
	m.files[".dvc/config"] = m.config()
	for _, f := range []string{"data/a.txt", "data/dir/b", "data/dir/deep/c.txt", "data/ü"} {
		m.files[f] = pick(m.r, someWords) + f + "\n"
	}
	params := m.params()
	stages := 1 + m.r.IntN(3)
	if b != nil {
		stages = 1
	}
	root := m.pipeline(stages)
	if b == nil && chance(m.r, 20) {
		m.files["sub/params.yaml"] = yamlText(m.r, m.subParams())
		m.files["sub/dvc.yaml"] = yamlText(m.r, m.subPipeline())
		p.args = pick(m.r, [][]string{{"repro", "-P"}, {"repro", "-R", "."}, {"repro", "sub/dvc.yaml"}, {"repro", "-R", "sub"}, {"repro", "dvc.yaml", "sub/dvc.yaml:loop"}})
		p.loose = p.args[1] != "-P" && p.args[len(p.args)-1] != "."
	}
	if b != nil {
		p.broken = b.name
		root, params = m.breakIt(b, root, params)
	}
	m.files["params.yaml"] = yamlText(m.r, params)
	if _, written := m.files["dvc.yaml"]; !written {
		m.files["dvc.yaml"] = yamlText(m.r, root)
	}
	p.steps = append(p.steps, m.files)
	if b == nil && chance(m.r, 25) {
		p.steps = append(p.steps, m.change(root, params))
	}
	return p
}

func (m *maker) config() string {
	text := "[core]\n    no_scm = True\n    analytics = False\n    check_update = False\n['remote \"store\"']\n    url = .home/store\n"
	if chance(m.r, 40) {
		text += "[parsing]\n"
		if chance(m.r, 60) {
			text += "    bool = " + pick(m.r, []string{"store_true", "boolean_optional"}) + "\n"
		}
		if chance(m.r, 60) {
			text += "    list = " + pick(m.r, []string{"nargs", "append"}) + "\n"
		}
	}
	return text
}

// params makes params.yaml and the other files of parameters.
func (m *maker) params() dict {
	r := m.r
	safe := func() any {
		return pick(r, []any{pick(r, someWords), pick(r, someInts), pick(r, someFloats), raw("true"), raw("null"), raw("False"), pick(r, someWords)})
	}
	d := dict{
		{"word", pick(r, someWords)}, {"num", pick(r, someInts)}, {"flt", pick(r, someFloats)}, {"safe", safe()},
		{"text", pick(r, someTexts)}, {"long", pick(r, someLong)}, {"other", pick(r, someOthers)}, {"wide", longWords(r)},
		{"list", list{safe(), safe(), pick(r, someWords)}}, {"words", m.items(1 + r.IntN(3))},
		{"dicts", list{dict{{"name", "d0"}, {"v", safe()}}, dict{{"name", "d1"}, {"v", safe()}}}},
		{"map", dict{{"k1", dict{{"name", "m1"}, {"v", safe()}}}, {"k-2", dict{{"name", "m2"}, {"v", safe()}}}}},
		{"tree", randomValue(r, 3)}, {"deep", dict{{"er", dict{{"list", list{pick(r, someInts), dict{{"x", randomScalar(r)}}}}, {"empty", dict{}}}}}},
		{"train", dict{{"lr", pick(r, someFloats)}, {"flag", pick(r, []raw{"true", "false"})}, {"name", pick(r, someTexts)}, {"steps", list{safe(), pick(r, someTexts)}},
			{"opt", dict{{"on", pick(r, []raw{"true", "false"})}, {"k", safe()}}}, {"nothing", raw("null")}}},
		{"dirs", dict{{"out", "out"}, {"work", "work/here"}}},
	}
	r.Shuffle(len(d), func(i, j int) { d[i], d[j] = d[j], d[i] })
	m.safe = []string{"word", "num", "flt", "safe", "list[1]", "list[2]", "words[0]", "map.k1.name", "dicts[1].name", "dirs.out", "train.lr", "train.opt.k"}
	m.any = []string{"long", "wide", "other", "text", "train.name"}
	m.dicts = []string{"train", "train.opt"}
	m.keys = []string{"word", "num", "flt", "safe", "text", "long", "other", "wide", "list", "words", "dicts", "map", "tree", "deep", "train", "train.lr", "train.opt",
		"deep.er.list.1.x", "dicts.0.name", "deep.er.empty", "deep.er", "tra*", "**.steps"}
	if chance(r, 20) {
		d = append(d, pair{"anchored", raw("&anchor {lr: 1, steps: [1, 2]}")}, pair{"alias", raw("*anchor")}, pair{"merged", raw("{<<: *anchor, lr: 2}")})
		m.keys = append(m.keys, "anchored", "alias", "merged", "alias.steps", "merged.lr")
	}
	m.files["p.json"] = jsonText(map[string]any{"j": r.IntN(9), "f": pick(r, []float64{1e-7, 1e22, 0.1, 5, 1e300}), "s": pick(r, someTexts), "n": nil,
		"in": map[string]any{"b": true, "l": []any{1, 2.5, "x", nil}}, "long": pick(r, someLong)})
	m.files["p.toml"] = fmt.Sprintf("t = %s\nx = 0x1F\nf = %s\ns = \"t\\u00e9 it's\"\n[in]\nl = [1, 2]\nb = false\n[[rows]]\nn = 1\n[[rows]]\nn = %d\n",
		pick(r, []string{"1", "1_000", "-3"}), pick(r, []string{"1.0", "1e-5", "inf", "1e16"}), r.IntN(5))
	m.files["p.py"] = fmt.Sprintf("import os\nlr = %s\nname: str = 'py'  # c\nlayers = (1, 2)\nopts = {'a': [1, None], 'b': -1.5}\nclass Train:\n    n = %d\n    def __init__(self):\n        self.k = 3\n",
		pick(r, []string{"0.1", "1e-5", "-2", "1_0"}), r.IntN(9))
	m.files["v.yaml"] = yamlText(r, dict{{"fromv", pick(r, someWords)}, {"vd", dict{{"a", safe()}, {"b", list{safe(), safe()}}}}, {"dirs", dict{{"extra", "ex"}}}})
	m.files["conf/v.json"] = jsonText(map[string]any{"ka": pick(r, someWords), "kb": r.IntN(9), "kc": map[string]any{"x": r.Float64()}})
	m.files["v.toml"] = "tv = 2\n[tt]\nz = \"zed\"\n"
	m.files["v.py"] = "pyv = 1.5\nclass P:\n    q = 'cue'\n"
	return d
}

// items are distinct values that make safe names.
func (m *maker) items(n int) list {
	var l list
	for _, w := range distinctWords(m.r, n) {
		l = append(l, w)
	}
	if chance(m.r, 30) {
		l = append(l, pick(m.r, []raw{"1", "2.0", "1e-05", "true", "null", "017", "0x1F"}))
	}
	return l
}

// pipeline makes a dvc.yaml.
func (m *maker) pipeline(stages int) dict {
	r := m.r
	var root dict
	if vars := m.globalVars(); len(vars) > 0 {
		root = append(root, pair{"vars", vars})
	}
	entries := dict{}
	for range stages {
		name, def := m.stage()
		entries = append(entries, pair{name, def})
	}
	root = append(root, pair{"stages", entries})
	if chance(r, 15) {
		root = append(root, pair{"params", list{"p.json", "conf/${word}.yaml"}})
	}
	if chance(r, 15) {
		root = append(root, pair{"metrics", list{"m-${safe}.json"}})
	}
	if chance(r, 15) {
		root = append(root, pair{"plots", list{"plot.csv", dict{{"some.csv", dict{{"x", "a"}, {"y", list{"b", "c"}}}}}, dict{{"id-${word}", dict{{"y", dict{{"p.csv", "${word}"}}}}}}}})
	}
	if chance(r, 15) {
		root = append(root, pair{"artifacts", dict{{"mod-el", dict{{"path", "out/${word}"}, {"type", "model"}, {"labels", list{"l", "${safe}x"}}, {"meta", dict{{"x", raw("1")}}}}}}})
	}
	if chance(r, 30) {
		r.Shuffle(len(root), func(i, j int) { root[i], root[j] = root[j], root[i] })
	}
	return root
}

func (m *maker) globalVars() list {
	r := m.r
	var vars list
	if chance(r, 30) {
		vars = append(vars, dict{{"inline", dict{{"a", pick(r, someInts)}, {"w", pick(r, someWords)}}}, {"top", pick(r, someWords)}})
		m.safe = append(m.safe, "inline.a", "inline.w", "top")
	}
	if chance(r, 20) {
		vars = append(vars, "v.yaml")
		m.safe = append(m.safe, "fromv", "vd.a", "vd.b.1", "dirs.extra")
	}
	if chance(r, 20) {
		vars = append(vars, pick(r, []any{"conf/v.json:ka,kb", "conf/v.json"}))
		m.safe = append(m.safe, "ka", "kb")
	}
	if chance(r, 10) {
		vars = append(vars, "v.toml", "v.py")
		m.safe = append(m.safe, "tv", "tt.z", "pyv", "P.q")
	}
	if chance(r, 10) {
		vars = append(vars, "params.yaml")
	}
	return vars
}

// scope is what the templates of one stage may name.
type stageScope struct {
	m     *maker
	id    string
	name  string // part of every output's path
	safe  []string
	wdir  string // from the project's root
	mixed bool   // the definition makes several stages
}

func (m *maker) stage() (string, dict) {
	r := m.r
	m.count++
	id := fmt.Sprint("s", m.count)
	s := &stageScope{m: m, id: id, name: id, safe: slices.Clone(m.safe)}
	name := id + pick(r, []string{"", "-x", "_y", ".z", "-этап"})
	switch r.IntN(10) {
	case 0:
		return name, s.foreach(m.items(1+r.IntN(3)), "${item}", "item")
	case 1:
		return name, s.foreach("${words}", "${item}", "item")
	case 2:
		return name, s.foreach(list{dict{{"n", "x"}, {"v", pick(r, someFloats)}}, dict{{"n", "y"}, {"v", "${word}"}}}, "${item.n}", "item.v", "item.n")
	case 3:
		data := any(dict{{"k1", dict{{"v", pick(r, someInts)}}}, {"k 2", dict{{"v", "${flt}"}}}, {"3.5", dict{{"v", raw("null")}}}})
		if chance(r, 40) {
			data = "${map}"
		}
		return name, s.foreach(data, "${key}", "item.v", "key")
	case 4, 5:
		return name, s.matrix()
	}
	return name, s.body()
}

func (s *stageScope) foreach(data any, part string, names ...string) dict {
	s.name, s.mixed = s.name+"-"+part, true
	s.safe = append(s.safe, names...)
	return dict{{"foreach", data}, {"do", s.body()}}
}

func (s *stageScope) matrix() dict {
	r := s.m.r
	axes := dict{{"one", s.m.items(1 + r.IntN(2))}}
	s.safe = append(s.safe, "item.one", "item[one]", "key")
	if chance(r, 60) {
		axes = append(axes, pair{"two", list{dict{{"n", "p"}}, dict{{"n", "q"}}}})
		s.safe = append(s.safe, "item.two.n")
	}
	if chance(r, 30) {
		axes = append(axes, pair{"three", "${words}"})
		s.safe = append(s.safe, "item.three")
	}
	s.name, s.mixed = s.name+"-${key}", true
	return append(dict{{"matrix", axes}}, s.body()...)
}

// fill gives a template of a safe value, or a word.
func (s *stageScope) fill() string {
	if chance(s.m.r, 60) {
		return "${" + pick(s.m.r, s.safe) + "}"
	}
	return pick(s.m.r, someWords)
}

// body is one stage without what makes several of it.
func (s *stageScope) body() dict {
	r := s.m.r
	var d dict
	if chance(r, 15) {
		d = append(d, pair{"vars", list{dict{{"own" + s.id, dict{{"a", pick(r, someInts)}}}}, dict{{"own2", "o"}}}})
		s.safe = append(s.safe, "own"+s.id+".a", "own2")
	}
	if chance(r, 25) {
		s.wdir = pick(r, []string{"work", "work/here"})
		s.m.files[s.wdir+"/keep"] = "k\n"
		text := s.wdir
		if text == "work/here" && chance(r, 50) {
			text = "${dirs.work}"
		}
		d = append(d, pair{"wdir", text})
	}
	deps := s.deps()
	outs, commands := s.outputs()
	d = append(d, pair{"cmd", s.cmd(commands)})
	if len(deps) > 0 {
		d = append(d, pair{"deps", deps})
	}
	if params := s.params(); len(params) > 0 {
		d = append(d, pair{"params", params})
	}
	d = append(d, outs...)
	if chance(r, 10) {
		d = append(d, pair{"always_changed", raw("true")})
	}
	if chance(r, 3) {
		d = append(d, pair{"frozen", pick(r, []raw{"true", "false"})})
	}
	if chance(r, 15) {
		d = append(d, pair{"desc", "about " + s.fill()})
	}
	if chance(r, 15) {
		d = append(d, pair{"meta", dict{{"owner", s.fill()}, {"n", pick(r, someFloats)}}})
	}
	if chance(r, 40) {
		r.Shuffle(len(d), func(i, j int) { d[i], d[j] = d[j], d[i] })
	}
	return d
}

// up is the way from the working folder to the project's root.
func (s *stageScope) up() string {
	if s.wdir == "" {
		return ""
	}
	return strings.Repeat("../", 1+strings.Count(s.wdir, "/"))
}

func (s *stageScope) deps() list {
	r := s.m.r
	var deps list
	for _, d := range []string{"data/a.txt", "data/dir", "data", "data/ü", "data/dir/deep/c.txt"} {
		if chance(r, 20) {
			deps = append(deps, s.up()+d)
		}
	}
	for _, d := range s.m.made {
		if chance(r, 30) && !slices.Contains(deps, any(s.up()+d)) {
			deps = append(deps, s.up()+d)
		}
	}
	return deps
}

func (s *stageScope) params() list {
	r := s.m.r
	var l list
	keys := func(from []string, n int) list {
		var out list
		for _, i := range r.Perm(len(from))[:min(n, len(from))] {
			out = append(out, from[i])
		}
		return out
	}
	if chance(r, 70) {
		if s.wdir == "" {
			l = append(l, keys(s.m.keys, 1+r.IntN(5))...)
		} else {
			l = append(l, dict{{s.up() + "params.yaml", keys(s.m.keys, 1+r.IntN(5))}})
		}
	}
	others := map[string][]string{"p.json": {"j", "f", "s", "n", "in", "in.l", "long"}, "p.toml": {"t", "x", "f", "s", "in", "rows", "rows.1.n"},
		"p.py": {"lr", "name", "layers", "opts", "Train", "Train.k", "opts.a"}}
	for _, file := range []string{"p.json", "p.toml", "p.py"} {
		if !chance(r, 15) {
			continue
		}
		var v any = keys(others[file], 1+r.IntN(4))
		if chance(r, 25) {
			v = pick(r, []any{raw(""), raw("null"), list{}})
		}
		l = append(l, dict{{s.up() + file, v}})
	}
	if chance(r, 5) && s.wdir == "" {
		l = append(l, dict{{"params.yaml", raw("")}})
	}
	return l
}

// outputs gives the lists of outputs and the commands that make them.
func (s *stageScope) outputs() (lists dict, commands []string) {
	r := s.m.r
	var outs, metrics, plots list
	for i := range r.IntN(3) {
		name := fmt.Sprintf("%s-o%d", s.name, i)
		switch r.IntN(4) {
		case 0:
			name = path.Join("${dirs.out}", name)
		case 1:
			name = path.Join(s.fill(), name)
		}
		quoted := "'" + name + "'"
		before := "mkdir -p '" + path.Dir(name) + "' && "
		switch r.IntN(4) {
		case 0:
			commands = append(commands, "rm -rf "+quoted+" && mkdir -p "+quoted+"/e && echo 1 > "+quoted+"/a && echo "+s.fill()+" > "+quoted+"/e/b")
		case 1:
			commands = append(commands, before+"echo x > "+quoted+" && chmod +x "+quoted)
		default:
			commands = append(commands, before+"echo "+s.fill()+" > "+quoted)
		}
		outs = append(outs, s.flagged(name, nil))
		if !s.mixed && !strings.Contains(name, "own") {
			s.m.made = append(s.m.made, path.Join(s.wdir, name))
		}
	}
	if chance(r, 20) {
		name := s.name + "-m.json"
		commands = append(commands, `echo '{"acc": 0.5}' > '`+name+"'")
		metrics = append(metrics, s.flagged(name, nil))
	}
	if chance(r, 15) {
		name := s.name + "-p.csv"
		commands = append(commands, "(echo x,y; echo 1,2) > '"+name+"'")
		plots = append(plots, s.flagged(name, dict{{"x", "x"}, {"y", "y"}, {"title", s.fill()}, {"header", raw("true")}, {"template", "linear"}}))
	}
	for _, l := range []pair{{"outs", outs}, {"metrics", metrics}, {"plots", plots}} {
		if len(l.value.(list)) > 0 {
			lists = append(lists, l)
		}
	}
	return lists, commands
}

// flagged is an output, perhaps with flags.
func (s *stageScope) flagged(name string, more dict) any {
	r := s.m.r
	flags := dict{}
	for _, f := range slices.Concat(dict{{"cache", raw("false")}, {"cache", raw("true")}, {"persist", raw("true")}, {"push", raw("false")}, {"desc", "an " + s.fill()},
		{"type", "t"}, {"labels", list{"l1", s.fill() + "_"}}, {"meta", dict{{"k", randomScalar(r)}}}, {"remote", "store"}}, more) {
		if chance(r, 12) && flags.get(f.key) == nil {
			flags = append(flags, f)
		}
	}
	if len(flags) == 0 {
		return name
	}
	return dict{{name, flags}}
}

// cmd joins the commands and dresses them up.
func (s *stageScope) cmd(commands []string) any {
	r := s.m.r
	if chance(r, 30) {
		commands = append(commands, ": "+pick(r, []string{`"it's"`, `\${HOME}`, "'a: b'", "$((1+1))", "x # y", "--lr ${flt} --n=${num}", s.fill() + "/" + s.fill()}))
	}
	if chance(r, 25) {
		commands = append(commands, ": run ${"+pick(r, s.m.dicts)+"} end")
	}
	if chance(r, 20) {
		commands = append(commands, ": "+strings.ReplaceAll(longWords(r), "'", "")+" 'q'")
		if strings.Contains(commands[len(commands)-1], `"`) {
			commands = commands[:len(commands)-1]
		}
	}
	if len(commands) == 0 {
		commands = []string{"echo " + s.fill()}
	}
	switch r.IntN(6) {
	case 0:
		l := list{}
		for _, c := range commands {
			l = append(l, c)
		}
		return l
	case 1:
		return strings.Join(commands, "\n") + pick(r, []string{"", "\n"})
	}
	return strings.Join(commands, " && ")
}

func (m *maker) subParams() dict {
	return dict{{"sub", pick(m.r, someWords)}, {"rate", pick(m.r, someFloats)}, {"names", list{"n1", "n2"}}}
}

// subPipeline is a second dvc.yaml that uses what the first one makes.
func (m *maker) subPipeline() dict {
	deps := list{"../data/a.txt"}
	for _, d := range m.made {
		if !strings.Contains(d, "${") {
			deps = append(deps, "../"+d)
		}
	}
	return dict{{"stages", dict{
		{"loop", dict{{"foreach", "${names}"}, {"do", dict{{"cmd", "echo ${rate} > f-${item}"}, {"deps", deps}, {"params", list{"rate"}}, {"outs", list{"f-${item}"}}}}}},
		{"end", dict{{"cmd", "cat f-n1 f-n2 > ${sub}.all"}, {"deps", list{"f-n1", "f-n2"}}, {"outs", list{"${sub}.all"}}}},
	}}}
}

// change gives files that are different the second time.
func (m *maker) change(root, params dict) map[string]string {
	r := m.r
	files := map[string]string{}
	if chance(r, 80) {
		for _, key := range []string{"flt", "text", "long", "other", "wide", "tree"} {
			if chance(r, 40) {
				params = params.with(key, randomScalar(r))
			}
		}
		files["params.yaml"] = yamlText(r, params)
	}
	if chance(r, 40) {
		files["data/a.txt"] = pick(r, someWords)
	}
	if chance(r, 40) {
		stages := root.get("stages").(dict)
		root = root.with("stages", append(slices.Clone(stages), pair{"added", dict{{"cmd", "echo new"}, {"deps", list{"data/a.txt"}}}}))
		files["dvc.yaml"] = yamlText(r, root)
	}
	return files
}
