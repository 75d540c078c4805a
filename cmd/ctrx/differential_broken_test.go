package main

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// mutation breaks one thing. It gets the definition of a stage (the part with
// cmd), the whole dvc.yaml and params.yaml and gives the changed ones.
type mutation struct {
	name  string
	stage func(m *maker, def dict) dict
	root  func(m *maker, root dict) dict
	other func(m *maker, root, params dict) (dict, dict)
}

// breakIt applies a mutation. Some break nothing: dvc is the judge.
func (m *maker) breakIt(b *mutation, root, params dict) (dict, dict) {
	switch {
	case b.stage != nil:
		stages := slices.Clone(root.get("stages").(dict))
		i := m.r.IntN(len(stages))
		def := slices.Clone(stages[i].value.(dict))
		if do, ok := def.get("do").(dict); ok {
			stages[i].value = def.with("do", b.stage(m, slices.Clone(do)))
		} else {
			stages[i].value = b.stage(m, def)
		}
		return root.with("stages", stages), params
	case b.root != nil:
		return b.root(m, root), params
	}
	return b.other(m, root, params)
}

// set gives a mutation of a stage's key.
func set(key string, v any) mutation {
	return mutation{name: key + " of a stage is " + strings.TrimSpace(shortText(v)), stage: func(_ *maker, d dict) dict { return d.with(key, v) }}
}

// shortText is a value on one line.
func shortText(v any) string {
	w := yamlWriter{r: rand.New(rand.NewPCG(1, 1))}
	return w.flow(v)
}

func top(key string, v any) mutation {
	return mutation{name: key + " at the top is " + strings.TrimSpace(shortText(v)), root: func(_ *maker, d dict) dict { return d.with(key, v) }}
}

func stageNamed(name string, def any) mutation {
	return mutation{name: "stage " + name + " is " + shortText(def), root: func(_ *maker, d dict) dict {
		return d.with("stages", append(slices.Clone(d.get("stages").(dict)), pair{name, def}))
	}}
}

func text(name, content string) mutation {
	return mutation{name: name + " is " + content, root: func(m *maker, d dict) dict { m.files[name] = content; return d }}
}

// mutations are all of them but four in which ctrx differs on purpose: an empty
// dvc.lock has recorded nothing (dvc wants it to be removed), a metrics entry that
// resolves to a list is refused by every command (dvc breaks where it shows
// metrics), and so is a file that asks for YAML 1.1; an output that is the lock
// file is refused (dvc lets it overwrite what was recorded).
func mutations() []mutation {
	one, yes := raw("1"), raw("true")
	echo := dict{{"cmd", "echo x"}}
	return []mutation{
		{name: "no cmd", stage: func(_ *maker, d dict) dict { return d.without("cmd") }},
		{name: "key twice", stage: func(_ *maker, d dict) dict { return append(d, pair{"cmd", "echo again"}) }},
		{name: "stage twice", root: func(_ *maker, d dict) dict {
			stages := d.get("stages").(dict)
			return d.with("stages", append(slices.Clone(stages), stages[0]))
		}},
		{name: "params.yaml is a list", other: func(m *maker, d, p dict) (dict, dict) { m.files["dvc.yaml"] = yamlText(m.r, d); return d, nil }},
		{name: "a date in params.yaml", other: func(_ *maker, d, p dict) (dict, dict) { return d, append(p, pair{"day", raw("2020-01-01")}) }},
		{name: "a time in params.yaml", other: func(_ *maker, d, p dict) (dict, dict) {
			return d, append(p, pair{"day", dict{{"at", list{raw("2020-01-01T10:00:00Z")}}}})
		}},
		{name: "a number as key in params.yaml", other: func(_ *maker, d, p dict) (dict, dict) {
			return d, append(p, pair{"nums", raw("{1: a, 2.5: b, null: c, true: d}")})
		}},
		{name: "a key twice in params.yaml", other: func(_ *maker, d, p dict) (dict, dict) { return d, append(p, pair{"num", one}) }},
		{name: "the loop variable is taken", other: func(_ *maker, d, p dict) (dict, dict) { return d, append(p, pair{"item", one}, pair{"key", "k"}) }},
		{name: "no params.yaml", other: func(_ *maker, d, p dict) (dict, dict) { return d, dict{} }},

		set("cmd", "echo ${nope}"), set("cmd", "echo ${train.nope}"), set("cmd", "echo ${list}"), set("cmd", "echo ${words[7]}"), set("cmd", "${train}"),
		set("cmd", "echo ${"), set("cmd", "echo ${}"), set("cmd", "echo ${ word }"), set("cmd", "echo ${word."), set("cmd", "echo ${a b}"), set("cmd", "echo ${list[-1]}"),
		set("cmd", "echo ${deep}"), set("cmd", "echo ${dicts}"), set("cmd", "echo \\${word} ${word}"), set("cmd", "echo $${word}"), set("cmd", "exit 3"), set("cmd", "nosuchprogram"),
		set("cmd", ""), set("cmd", raw("")), set("cmd", one), set("cmd", list{}), set("cmd", list{one}), set("cmd", dict{{"a", "b"}}), set("cmd", list{"echo a", "false", "echo b"}), set("cmd", "false\necho b"),
		set("deps", "data/a.txt"), set("deps", list{one}), set("deps", list{"nosuch"}), set("deps", list{"${list}"}), set("deps", list{"${num}"}), set("deps", list{"data/a.txt", "data/a.txt"}), set("deps", list{raw("")}), set("deps", list{""}),
		set("deps", list{dict{{"data/a.txt", dict{}}}}), set("deps", dict{{"a", "b"}}), set("deps", raw("")), set("deps", list{}),
		set("outs", "x"), set("outs", list{"never-made"}), set("outs", list{one}), set("outs", list{dict{{"x", one}}}), set("outs", list{dict{{"x", raw("")}}}), set("outs", list{dict{{"x", dict{{"cach", yes}}}}}),
		set("outs", list{dict{{"x", dict{{"cache", "yes"}}}}}), set("outs", list{dict{{"x", dict{{"cache", one}}}}}), set("outs", list{"data/a.txt/x"}), set("outs", list{"."}), set("outs", list{".."}), set("outs", list{"../escape"}), set("outs", list{""}),
		set("outs", list{dict{{"x", dict{{"labels", "a"}}}}}), set("outs", list{dict{{"x", dict{{"template", "a"}}}}}), set("outs", list{dict{{"x", dict{{"hash", "md5"}}}}}), set("outs", list{"${word}", "${word}"}), set("outs", list{dict{{"x", dict{{"desc", one}}}}}),
		set("metrics", list{dict{{"m.json", dict{{"x", "a"}}}}}), set("plots", list{dict{{"p.csv", list{dict{{"x", "a"}}}}}}), set("plots", list{dict{{"p.csv", dict{{"x", one}}}}}), set("plots", list{dict{{"p.csv", dict{{"title", "${list}"}}}}}),
		set("params", "num"), set("params", list{"nokey"}), set("params", list{one}), set("params", list{dict{{"nofile.yaml", list{"a"}}}}), set("params", list{dict{{"p.json", "j"}}}), set("params", list{dict{{"p.json", list{"nokey"}}}}),
		set("params", list{dict{{"p.json", list{one}}}}), set("params", list{dict{{"p.json", dict{{"j", one}}}}}), set("params", list{"${list}"}), set("params", list{dict{{"${word}.yaml", list{"a"}}}}), set("params", list{dict{{"data/a.txt", list{"a"}}}}),
		set("params", list{"num", "num"}), set("params", list{"t?ain.lr", "*.*.k"}), set("params", list{"train.", ".train"}), set("params", list{""}),
		set("wdir", "nosuch"), set("wdir", one), set("wdir", "${list}"), set("wdir", "../.."), set("wdir", "data/a.txt"), set("wdir", raw("")), set("wdir", ""), set("wdir", "."),
		set("frozen", "yes"), set("frozen", one), set("always_changed", "${train.flag}"), set("desc", one), set("desc", "${list}"), set("desc", "${train}"), set("meta", "${train}"), set("meta", one), set("desc", raw("")),
		set("vars", "v.yaml"), set("vars", list{"nofile.yaml"}), set("vars", list{"v.yaml:nokey"}), set("vars", list{"v.yaml", "v.yaml"}), set("vars", list{"v.yaml:fromv", "v.yaml"}), set("vars", list{"v.yaml", "v.yaml:fromv"}), set("vars", list{dict{{"word", "x"}}}),
		set("vars", list{dict{{"train", one}}}), set("vars", list{dict{{"train", dict{{"new", one}}}}}), set("vars", list{one}), set("vars", list{"${word}.yaml"}), set("vars", list{dict{{"q", "${word}"}}}), set("vars", list{dict{{"item", one}}}), set("vars", list{}),
		set("vars", list{"data/a.txt"}), set("vars", list{"v.yaml:vd,fromv"}),
		set("nokey", one), set("Cmd", "x"), set("outputs", list{"x"}), set("foreach", list{"a"}), set("do", echo), set("matrix", list{"a"}), set("matrix", dict{}), set("matrix", dict{{"a", one}}), set("matrix", dict{{"a", list{}}}), set("matrix", dict{{"a", "${word}"}}),
		set("matrix", dict{{"a", "${train}"}}), set("matrix", dict{{"a", "${num}"}}), set("matrix", dict{{"a", dict{{"b", one}}}}), set("matrix", dict{{"a", list{list{one}}}}), set("matrix", "${map}"), set("matrix", raw("")),

		stageNamed("a@b", echo), stageNamed("a b", echo), stageNamed("a/b", echo), stageNamed("", echo), stageNamed("x:y", echo), stageNamed("${word}", echo), stageNamed("nobody", raw("")), stageNamed("nobody", one), stageNamed("nobody", list{}), stageNamed("nobody", dict{}),
		stageNamed("loop", dict{{"foreach", list{"a"}}}), stageNamed("loop", dict{{"foreach", "${word}"}, {"do", echo}}), stageNamed("loop", dict{{"foreach", one}, {"do", echo}}), stageNamed("loop", dict{{"foreach", raw("")}, {"do", echo}}),
		stageNamed("loop", dict{{"foreach", list{}}, {"do", echo}}), stageNamed("loop", dict{{"foreach", dict{}}, {"do", echo}}), stageNamed("loop", dict{{"foreach", list{"a"}}, {"do", dict{{"cmd", "echo ${item.x}"}}}}), stageNamed("loop", dict{{"foreach", list{"a"}}, {"do", dict{{"cmd", "echo ${key}"}}}}),
		stageNamed("loop", dict{{"foreach", list{"a"}}, {"do", echo}, {"cmd", "x"}}), stageNamed("loop", dict{{"foreach", list{"a"}}, {"do", echo}, {"matrix", dict{{"a", list{one}}}}}), stageNamed("loop", dict{{"foreach", list{"a", "b"}}, {"do", dict{{"cmd", "echo > same"}, {"outs", list{"same"}}}}}),
		stageNamed("loop", dict{{"foreach", "${nope}"}, {"do", echo}}), stageNamed("loop", dict{{"foreach", list{"${nope}"}}, {"do", echo}}), stageNamed("loop", dict{{"foreach", list{"a", list{"b"}}}, {"do", dict{{"cmd", "echo ${item}"}}}}), stageNamed("loop", dict{{"foreach", list{"a"}}, {"do", list{"x"}}}),
		stageNamed("loop", dict{{"foreach", "${words} x"}, {"do", echo}}), stageNamed("loop", dict{{"foreach", list{"x", "x"}}, {"do", echo}}), stageNamed("loop", dict{{"foreach", list{raw("1"), raw("1.0"), yes}}, {"do", echo}}), stageNamed("loop", dict{{"foreach", list{"a"}}, {"do", dict{{"foreach", list{"b"}}, {"do", echo}}}}),
		stageNamed("loop", dict{{"foreach", dict{{"${word}", one}}}, {"do", echo}}), stageNamed("loop", dict{{"foreach", dict{{"${word}x", one}}}, {"do", echo}}), stageNamed("grid", dict{{"matrix", dict{{"${word}", list{one}}}}, {"cmd", "echo"}}),
		stageNamed("circle", dict{{"cmd", "cp c1 c2"}, {"deps", list{"c1"}}, {"outs", list{"c1"}}}), stageNamed("over", dict{{"cmd", "echo"}, {"outs", list{"data"}}}), stageNamed("both", dict{{"cmd", "mkdir -p z; echo > z/y"}, {"outs", list{"z", "z/y"}}}),
		stageNamed("twice", dict{{"cmd", "echo > z"}, {"outs", list{"z"}}, {"metrics", list{"z"}}}), stageNamed("twice", dict{{"cmd", "echo > z"}, {"outs", list{"z", dict{{"z", dict{{"cache", raw("false")}}}}}}}), stageNamed("twice", dict{{"cmd", "echo > z"}, {"outs", list{"z", "./z"}}}),
		stageNamed("config", dict{{"cmd", "echo"}, {"outs", list{".dvc/config"}}}),
		stageNamed("num", dict{{"cmd", "echo"}, {"deps", list{"s3://nosuch/x"}}}), stageNamed("cloud", dict{{"cmd", "echo"}, {"deps", list{"remote://nosuch/x"}}}),

		top("stages", list{"a"}), top("stages", raw("")), top("stages", "a"), top("vars", "v.yaml"), top("vars", dict{{"a", one}}), top("vars", list{"nofile.yaml"}), top("vars", list{dict{{"num", one}}}), top("vars", list{"v.yaml:nokey"}), top("vars", list{one}), top("vars", list{"${word}"}),
		top("vars", list{"v.yaml", dict{{"fromv", one}}}), top("vars", list{"params.yaml:num"}), top("vars", list{"data/a.txt"}), top("vars", list{dict{{"dirs", dict{{"more", "x"}}}}}), top("vars", list{"v.yaml:", "conf/v.json:ka,"}), top("vars", list{dict{{"x", raw("2020-01-01")}}}), top("vars", raw("")), top("vars", list{}),
		top("stage", dict{{"a", echo}}), top("params", "p.json"), top("params", list{one}), top("metrics", dict{{"a", one}}), top("metrics", list{"${nope}"}), top("params", list{"nofile.json"}), top("params", raw("")),
		top("plots", list{one}), top("plots", list{dict{{"p", dict{{"z", one}}}}}), top("plots", list{dict{{"p", dict{{"x", list{"a"}}}}}}), top("plots", dict{{"p", dict{{"x", "a"}}}}), top("plots", list{dict{{"p", raw("")}}}), top("plots", list{dict{{"p", dict{{"y", "${nope}"}}}}}),
		top("artifacts", list{"a"}), top("artifacts", dict{{"a", dict{}}}), top("artifacts", dict{{"a", raw("")}}), top("artifacts", dict{{"a", dict{{"path", one}}}}), top("artifacts", dict{{"bad name!", dict{{"path", "x"}}}}), top("artifacts", dict{{"a", dict{{"path", "x"}, {"nokey", one}}}}),
		top("artifacts", dict{{"a", dict{{"path", "${nope}"}}}}), top("artifacts", dict{{"a", dict{{"path", "x"}, {"labels", "l"}}}}), top("artifacts", dict{{"${word}", dict{{"path", "x"}}}}),

		text("dvc.yaml", ""), text("dvc.yaml", "[]"), text("dvc.yaml", "- a\n"), text("dvc.yaml", "text"), text("dvc.yaml", "stages: {"), text("dvc.yaml", "stages:\n\ta: b\n"), text("dvc.yaml", "stages:\n  a:\n    cmd: x: y\n"), text("dvc.yaml", "stages:\n  a: {cmd: 'x}\n"),
		text("dvc.yaml", "stages:\n  a: &x {cmd: echo a}\n  b: *x\n"), text("dvc.yaml", "stages:\n  a: *nope\n"), text("dvc.yaml", "stages:\n  a: &x {cmd: echo a}\n  b:\n    <<: *x\n    desc: d\n"), text("dvc.yaml", "stages:\n  1: {cmd: echo}\n"), text("dvc.yaml", "stages:\n  true: {cmd: echo}\n"),
		text("dvc.yaml", "stages:\n  a: !tag {cmd: echo}\n"), text("dvc.yaml", "stages: {}\n---\nstages: {}\n"), text("dvc.yaml", "\ufeffstages:\n  a: {cmd: echo}\n"), text("dvc.yaml", "stages:\r\n  a:\r\n    cmd: echo\r\n"), text("dvc.yaml", "stages:\n  a: {cmd: \xff}\n"),
		text("v.yaml", "fromv: [\n"), text("v.yaml", "- x\n"), text("params.toml", "x"), text("p.json", "{"), text("p.json", "[1]"), text("p.toml", "t = "), text("p.py", "x = (\n"), text("conf/v.json", "{'a': 1}"),
		text("dvc.lock", "schema: '2.0'\nstages: []\n"), text("dvc.lock", "schema: '1.0'\nstages: {}\n"), text("dvc.lock", "schema: '2.0'\n"), text("dvc.lock", "schema: '2.0'\nstages:\n  s1:\n    cmd: x\n    nokey: 1\n"), text("dvc.lock", "schema: '2.0'\nstages:\n  gone:\n    cmd: echo gone\n"),
		text("dvc.lock", "schema: 2.0\nstages: {}\n"), text("dvc.lock", "# kept\nschema: '2.0' # here\nstages:\n  gone:\n    cmd: 'quoted'  # c\n"),
		text("x.dvc", "outs:\n- path: x\n  hash: md5\n"), text("x.dvc", "outs:\n- pth: x\n"), text("x.dvc", "outs: x\n"), text("x.dvc", "nokey: 1\n"), text("x.dvc", "outs:\n- path: data/a.txt\n  md5: 0\n  hash: md5\n"), text("x.dvc", "outs:\n- path: data\n  hash: md5\n"), text("x.dvc", ""), text("x.dvc", "outs: []\n"),
		text(".dvcignore", "data/\n"), text(".dvcignore", "*.txt\n"),
	}
}
