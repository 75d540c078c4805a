"""Asks the real Hydra, through DVC, what it composes.

    python make_vectors.py vectors > compose_vectors.json     the recorded cases
    python make_vectors.py random SEED COUNT                  other ones, for a test with Python

A case is a folder of config files, the name of the primary config, overrides
and environment variables; its answer is what dvc.utils.hydra.compose_and_dump
writes, or the first line of the error. Needs dvc with hydra-core 1.3.
"""

import json
import logging
import os
import random
import sys
import tempfile
import warnings


def ask(case):
    from dvc.utils.hydra import compose_and_dump

    with tempfile.TemporaryDirectory() as top:
        for name, text in case["files"].items():
            path = os.path.join(top, "conf", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        out = os.path.join(top, "params.yaml")
        before = dict(os.environ)
        os.environ.update(case.get("env", {}))
        try:
            compose_and_dump(
                out, os.path.join(top, "conf"), None, case.get("name", "config"), top, case.get("overrides", [])
            )
        except BaseException as e:  # noqa: BLE001
            lines = str(e).strip().splitlines()
            kind = type(e).__name__
            case["error"] = kind + ": " + (lines[0].replace(top, "TOP") if lines else "")
        else:
            with open(out, encoding="utf-8") as f:
                case["out"] = f.read()
        finally:
            os.environ.clear()
            os.environ.update(before)
    return case


# ---- cases by hand --------------------------------------------------------


def by_hand():
    def case(name, files, *overrides, config="config", env=None):
        c = {"about": name, "files": files, "overrides": list(overrides)}
        if config != "config":
            c["name"] = config
        if env:
            c["env"] = env
        return c

    groups = {
        "db/mysql.yaml": "driver: mysql\nport: 3306\n",
        "db/pg.yaml": "driver: pg\nport: 5432\nuser: ${oc.env:WHO,nobody}\n",
        "model/cat.yaml": "# @package _global_\nmodel:\n  name: cat\nlr: 0.00001\n",
        "model/lgbm.yaml": "# @package learner.inner\nname: lgbm\n",
    }

    def tree(config, **more):
        files = {"config.yaml": config, **groups}
        for name, text in more.items():
            files[name.replace("__", "/") + ".yaml"] = text
        return files

    db = "defaults:\n- db: mysql\n"
    yield case("one group", tree(db + "- _self_\na: 1\n"))
    yield case("self first", tree("defaults:\n- _self_\n- db: mysql\ndb:\n  port: 1\n  more: 2\n"))
    yield case("self last", tree("defaults:\n- db: mysql\n- _self_\ndb:\n  port: 1\n  more: 2\n"))
    yield case("no self", tree(db + "db:\n  port: 1\n  more: 2\n"))
    yield case("two selves", tree("defaults:\n- _self_\n- db: mysql\n- _self_\n"))
    yield case("choose", tree(db), "db=pg")
    yield case("choose with a variable", tree(db), "db=pg", env={"WHO": "me"})
    yield case("no such option", tree(db), "db=nosuch")
    yield case("no such option in a list", tree("defaults:\n- db: nosuch\n"))
    yield case("no such group", tree("defaults:\n- nosuch: a\n"))
    yield case("no such config", tree("defaults:\n- nosuch\n"))
    yield case("no such primary", tree(db), config="other")
    yield case("group not in the list", tree("a: 1\n"), "db=pg")
    yield case("append", tree("a: 1\n"), "+db=pg")
    yield case("append twice", tree(db), "+db=pg")
    yield case("append at a package", tree(db), "+db@backup=pg")
    yield case("append list", tree("a: 1\n"), "+db=[mysql,pg]")
    yield case("append at top", tree("a: 1\n"), "+db@_global_=mysql")
    yield case("append here", tree("a: 1\n"), "+db@_here_=mysql")
    yield case("force add of a group", tree(db), "++db=pg")
    yield case("delete a group", tree(db + "- model: cat\n"), "~db")
    yield case("delete a group with its option", tree(db), "~db=mysql")
    yield case("delete a group with another option", tree(db), "~db=pg")
    yield case("delete an unknown group", tree("a: 1\n"), "~db")
    yield case("null option", tree("defaults:\n- db: null\na: 1\n"))
    yield case("null option chosen", tree("defaults:\n- db: null\na: 1\n"), "db=pg")
    yield case("group set to null", tree(db), "db=null")
    yield case("must choose", tree("defaults:\n- db: ???\n"))
    yield case("must choose, chosen", tree("defaults:\n- db: ???\n"), "db=pg")
    yield case("several options", tree("defaults:\n- db: [mysql, pg]\n"))
    yield case("several options chosen", tree(db), "db=[pg,mysql]")
    yield case("no options", tree("defaults:\n- db: []\na: 1\n"))
    yield case("several to one", tree("defaults:\n- db: [mysql, pg]\n"), "db=pg")
    yield case("option is a number", tree("defaults:\n- db: 1\n"))
    yield case("option is YAML 1.1's true", tree("defaults:\n- db: on\n"))
    yield case("optional", tree("defaults:\n- optional db: nosuch\n- optional db@x: pg\na: 1\n"))
    yield case("optional group is missing", tree("defaults:\n- optional nosuch: a\na: 1\n"))
    yield case("optional overridden", tree("defaults:\n- optional db: mysql\n"), "db=nosuch")
    yield case("package", tree("defaults:\n- db@main: mysql\n- db@backup: pg\n"))
    yield case("package, chosen", tree("defaults:\n- db@main: mysql\n- db@backup: pg\n"), "db@backup=mysql")
    yield case("package, not named", tree("defaults:\n- db@main: mysql\n- db@backup: pg\n"), "db=mysql")
    yield case("package, one not named", tree("defaults:\n- db@main: mysql\n"), "db=mysql")
    yield case("package of packages", tree("defaults:\n- db@a.b.c: mysql\n"))
    yield case("package _global_", tree("defaults:\n- db@_global_: mysql\n"))
    yield case("package _group_", tree("defaults:\n- db@_group_.x: mysql\n"))
    yield case("package _here_", tree("defaults:\n- db@_here_: mysql\n"))
    yield case("package with brackets", tree("defaults:\n- db@a[b]: mysql\n"))
    yield case("headers", tree("defaults:\n- model: cat\n"))
    yield case("header with a path", tree("defaults:\n- model: lgbm\n"))
    yield case("header and package", tree("defaults:\n- model@x: lgbm\n"))
    for header in ("_group_", "_global_.a.b", "a.b", "_group_.x", "a b", "", "_name_"):
        yield case("header " + header, tree("defaults:\n- h: one\n", h__one="# @package %s\na: 1\n" % header))
    yield case("header after a comment", tree("defaults:\n- h: one\n", h__one="# hi\n# @package x\na: 1\n"))
    yield case("header after blank lines", tree("defaults:\n- h: one\n", h__one="\n\n  #@package x\na: 1\n"))
    yield case("header of the primary", tree("# @package p.q\ndefaults:\n- db: mysql\na: 1\n"))
    yield case("same group twice", tree("defaults:\n- db: mysql\n- db: pg\n"))
    yield case("same option twice", tree("defaults:\n- db: mysql\n- db: mysql\n"))
    nested = {
        "server__apache": "defaults:\n- db: mysql\n- /db@backup: pg\n- _self_\nname: apache\n",
        "server__nginx": "defaults:\n- conf\n- _self_\nname: nginx\n",
        "server__conf": "workers: 4\n",
        "server__db__mysql": "driver: mysql of the server\n",
        "server__db__pg": "driver: pg of the server\n",
    }
    srv = "defaults:\n- server: apache\n"
    yield case("nested", tree(srv, **nested))
    yield case("nested, beside", tree("defaults:\n- server: nginx\n", **nested))
    yield case("nested, chosen", tree(srv, **nested), "server/db=pg")
    yield case("nested, absolute chosen", tree(srv, **nested), "db@server.backup=mysql")
    yield case("nested, wrong key", tree(srv, **nested), "db=pg")
    yield case("nested at a package", tree("defaults:\n- server@s: apache\n", **nested))
    yield case("override in a list", tree("defaults:\n- db: mysql\n- override db: pg\n"))
    yield case("override from below", tree("defaults:\n- db: mysql\n- exp: x\n", exp__x="defaults:\n- override /db: pg\n"))
    yield case("override from below, too early", tree("defaults:\n- exp: x\n- db: mysql\n", exp__x="defaults:\n- override /db: pg\n"))
    yield case("override beaten from outside", tree("defaults:\n- db: mysql\n- override db: pg\n"), "db=mysql")
    yield case("override of nothing", tree("defaults:\n- override db: pg\na: 1\n"))
    yield case("override of a near key", tree("defaults:\n- db@x: mysql\n- override db: pg\n"))
    yield case("override before an entry", tree("defaults:\n- override db: pg\n- db: mysql\n"))
    yield case("override of a package", tree("defaults:\n- db@x: mysql\n- override db@x: pg\n"))
    yield case("override to null", tree("defaults:\n- db: mysql\n- override db: null\na: 1\n"))
    yield case("override with a list", tree("defaults:\n- db: mysql\n- override db: [pg]\n"))
    yield case(
        "experiment",
        tree(srv + "- db: pg\n- _self_\n- optional exp: null\nseed: 1\n", exp__big="# @package _global_\ndefaults:\n- override /server: nginx\n- override /db: mysql\nseed: 2\n", **nested),
        "exp=big",
    )
    inter = {"pair__mysql_cat": "what: mysql and cat\n", "pair__pg_cat": "what: pg and cat\n"}
    yield case("interpolated option", tree("defaults:\n- db: mysql\n- model: cat\n- pair: ${db}_${model}\n", **inter))
    yield case("interpolated option, chosen", tree("defaults:\n- pair: ${db}_${model}\n- db: mysql\n- model: cat\n", **inter), "db=pg")
    yield case("interpolated option, missing", tree("defaults:\n- db: pg\n- model: lgbm\n- pair: ${db}_${model}\n", **inter))
    yield case("interpolated option, optional", tree("defaults:\n- db: pg\n- model: lgbm\n- optional pair: ${db}_${model}\n", **inter))
    yield case("interpolated option, unknown", tree("defaults:\n- db: pg\n- pair: ${nosuch}\n", **inter))
    yield case("interpolated option, old form", tree("defaults:\n- db: pg\n- pair: ${defaults.0.db}\n", **inter))
    yield case("interpolated config", tree("defaults:\n- db: pg\n- pair/${db}_cat\n", **inter))
    yield case("interpolated in a list", tree("defaults:\n- db: pg\n- pair: ['${db}_cat']\n", **inter))
    yield case("interpolated with a variable", tree("defaults:\n- db: ${oc.env:DB,mysql}\n"), env={"DB": "pg"})
    yield case("primary in a folder", {"sub/config.yaml": "defaults:\n- db: x\n- /top: y\na: 1\n", "sub/db/x.yaml": "b: 2\n", "top/y.yaml": "c: 3\n"}, config="sub/config")
    yield case("primary with its extension", tree(db), config="config.yaml")
    yield case("circle", {"config.yaml": "defaults:\n- a\n", "a.yaml": "defaults:\n- config\n"})
    yield case("out of the folder", {"config.yaml": "defaults:\n- ../x\n"})
    for text in ("", "a\n", "- 1\n", "5\n", "'a: 1'\n", "null\n", "a: 1\na: 2\n", "a: [\n", "1: x\ntrue: y\n1.5: z\n", "? null\n: 1\n", "? [1]\n: 1\n"):
        yield case("primary is %r" % text, {"config.yaml": text})
    for text in ("x", "{}", "null", "[1]", "[null]", "[[a]]", "[{}]", "[{a: b, c: d}]", "['_self_@x']", "???", "[{1: a}]", "[{a: {b: c}}]", "[{a: [1]}]", "[]"):
        yield case("defaults are " + text, {"config.yaml": "defaults: %s\na: 1\n" % text, "a/b.yaml": "x: 1\n"})
    yield case("a list in a group", tree("defaults:\n- l: one\n", l__one="[1, 2]\n"))
    yield case("a list at the top", tree("defaults:\n- l@_global_: one\n", l__one="[1, 2]\n"))
    yield case("a list over a mapping", tree("defaults:\n- db: mysql\n- _self_\ndb: [1]\n"))
    yield case("a scalar over a mapping", tree("defaults:\n- db: mysql\n- _self_\ndb: 5\nb: 1\n"))
    yield case("a mapping over null", tree("defaults:\n- _self_\n- db: mysql\ndb: null\n"))
    yield case("a mapping over ???", tree("defaults:\n- _self_\n- db: mysql\ndb: ???\n"))
    yield case("??? over a value", tree("defaults:\n- db: mysql\n- _self_\ndb:\n  port: ???\n"))
    yield case("??? is kept", tree("a: ???\nb: ${a}\nc: x${a}\nd: ${oc.select:a,7}\n"))
    yield case("lists are replaced", tree("defaults:\n- l: one\n- _self_\nl:\n  v: [3]\n", l__one="v: [1, 2]\n"))
    yield case("merge into an interpolation", tree("defaults:\n- l: one\n- _self_\nl:\n  v:\n    b: 3\n", l__one="w:\n  a: 1\n  b: 2\nv: ${.w}\n"))
    yield case("merge into an interpolation of the top", tree("defaults:\n- db: mysql\n- x: a\n- x: b\n", x__a="a: 1\n"), "+x=a")
    yield case("hydra's settings", tree("defaults:\n- override hydra/job_logging: disabled\n- db: pg\nhydra:\n  run:\n    dir: x\n  job:\n    chdir: false\n  verbose: true\na: 1\n"))
    yield case("hydra's settings overridden", tree(db), "hydra.run.dir=/tmp/x", "hydra/job_logging=none", "hydra.job.name=x")
    yield case("hydra's unknown setting", tree("hydra:\n  nosuch: 1\n"))
    yield case("hydra's unknown setting overridden", tree("a: 1\n"), "hydra.nosuch=1")
    yield case("hydra's unknown setting below", tree("a: 1\n"), "hydra.run.nosuch=1")
    yield case("hydra group of the project", tree("defaults:\n- override hydra/launcher: mine\na: 1\n", hydra__launcher__mine="_target_: x\n"))
    yield case("hydra is not in the result", tree("a: ${hydra.run.dir}\n"))
    yield case("hydra resolver", tree("a: ${hydra:runtime.cwd}\n"))

    values = tree("a: 1\nb:\n  c: x\n  l: [1, 2, {d: 3}]\n  n: null\ni: ${b}\n")
    for o in (
        "a=2", "b.c=y", "nokey=1", "b.nokey=1", "+new=1", "+new.sub.key=1", "+a=1", "++a=5", "++z.y=5", "~a", "~b.c", "~b.c=x", "~b.c=z", "~nokey",
        "b={c: z}", "b={q: 1}", "+b={q: 1}", "++b={q: {r: 1}}", "b={}", "b=5", "b=null", "b.l=[7]", "b.l.0=9", "b.l.2.d=4", "b.l.7=1", "b.l.x=1", "~b.l.0",
        "b.n=1", "+b.n=2", "a.x=1", "+a.x=1", "b.c=${a}", "b.c=${nosuch}", "b.c='${a'", "b.c=a${a}b", "b.c='yes'", "b.c=1e-5", "b.c=nan", "b.c=-inf",
        "b.c='1.0'", "b.c=[1,{a: b},null]", "b.c=\"it's\"", "b.c=", "b.l={x: 1}", "b=[1]", "i.c=7", "+i.c=7", "~i.c", "i={c: 8}", "+i.q=1", "b.c=\\${a}",
        "a=1,2", "a=choice(1,2)", "a=range(3)", "a=glob(x)", "a=sort(3,1)", "a=int(3.7)", "b.l=sort([3,1,2])", "b.l=shuffle([1])", "a=b=c", "=1", "a", "a@b=1", "a/b=1",
        "a=???", "b.c=true", "b.c=TRUE", "b.c='true'", "b.c=0x10", "b.c=1_000", "b.c=007", "b.c=a b", "b.c='  '", "b.c=:", "b.c=a:b", "defaults=1", "+defaults=[1]",
        "+1=2", "b.c={a: {b: [1, x y]}}", "+x={1: a, true: b, null: c}", "+x={1: a, true: b, 1.5: c}", "b.c=str(1)", "b.c=bool(0)", "b.c=float(3)", "b.c=json_str({a: 1})",
    ):
        yield case("override " + o, values, o)
    yield case("overrides in order", values, "a=2", "a=3", "+q=1", "q=2", "~b", "+b.c=1")
    yield case("override of a missing value", tree("a: ???\n"), "+a=1")
    yield case("override keeps the place", tree("a: 1\nb: 2\n"), "b=3", "a={x: 1}")

    resolve = """\
a: 1
f: 1.5
t: true
n: null
s: text
e: ''
l: [1, two, 3.0]
m: {x: 1, y: {z: deep}, 1: one}
weird key: w
dollar$key: d
x-y: dash
"""
    for text in (
        "${a}", "${f}", "${t}", "${n}", "${s}", "${e}", "${l}", "${m}", "${l.0}", "${l[1]}", "${l.9}", "${l.-1}", "${l.x}", "${m.x}", "${m[y][z]}", "${m.y.z}", "${m.1}", "${m.q}",
        "x${a}", "x${f}${t}${n}${e}", "x${l}", "x${m}", "${a}${a}", "$a", "$${a}", "${ a }", "${a }", "${a.b}", "${s.x}", "${nosuch}", "${.a}", "${..a}", "${...a}", "${.self}", "${self}",
        "${dollar$key}", "${x-y}", "${m.${s}}", "${m.${k}}", "${${k2}}", "${l.${zero}}", "\\${a}", "\\\\${a}", "\\\\\\${a}", "a\\b\\\\c", "\\", "${a}\\", "${a}\\\\", "${", "${}", "${a", "${a b}", "${a.}", "${.}",
        "${oc.env:WHO}", "${oc.env:NOSUCH}", "${oc.env:NOSUCH,d}", "${oc.env:NOSUCH,null}", "${oc.env:NOSUCH,1.50}", "${oc.env:NOSUCH,true}", "${oc.env:NOSUCH,[1, a]}", "${oc.env:NOSUCH,${a}}", "${oc.env:NOSUCH,${l}}",
        "${oc.env:'WHO'}", "${oc.env: WHO , x }", "${oc.env:NOSUCH,''}", "${oc.env:NOSUCH,}", "${oc.env:NOSUCH,a,b}", "${oc.env:}", "${oc.env:1}", "${oc.env:NOSUCH,a b  c}", "${oc.env:NOSUCH,'a, ${s} \\'q\\' \\\\'}",
        "${oc.env:NOSUCH,\"say \\\"hi\\\"\"}", "${oc.env:NOSUCH,a\\,b}", "${oc.env:NOSUCH,a:b}", "${oc.env:NOSUCH,${s}.${a}}", "${oc.env:NOSUCH,{a: 1, b: [2]}}", "${oc.env:NOSUCH,a=b}", "${oc.env:NOSUCH,http://x/y?z}",
        "${oc.decode:'1'}", "${oc.decode:'[1, 2]'}", "${oc.decode:'a b'}", "${oc.decode:null}", "${oc.decode:'1e3'}", "${oc.decode:'${a}'}", "${oc.decode:'\\${a}'}", "${oc.decode:${oc.env:NUM}}", "${oc.decode:''}", "${oc.decode:5}", "${oc.decode:' 1'}", "${oc.decode:'true'}", "${oc.decode:'{'}",
        "${oc.create:{a: 1, b: [1, 2]}}", "${oc.create:[1, x, {y: ${a}}]}", "${oc.create:'a: 1'}", "${oc.create:word}", "${oc.create:5}", "${oc.create:null}", "${oc.create:${m}}", "${oc.create:[]}", "${oc.create:{}}", "${oc.create:{null: 1}}", "${oc.create:'[1, yes, 017]'}",
        "${oc.select:a}", "${oc.select:nosuch}", "${oc.select:nosuch,5}", "${oc.select:m.y,5}", "${oc.select:m.x.q,5}", "${oc.select:.a}", "${oc.select:'weird key'}", "${oc.select:m[x]}", "${oc.select:bad,5}", "${oc.select:l.0}", "${oc.select:l.x,1}", "${oc.select:n,5}", "${oc.select:,5}", "${oc.select:5}",
        "${oc.dict.keys:m}", "${oc.dict.values:m}", "${oc.dict.values:.m}", "${oc.dict.keys:l}", "${oc.dict.keys:nosuch}", "${oc.dict.values:m.y}", "${oc.dict.keys:''}", "${oc.dict.keys:a}",
        "${oc.deprecated:a}", "${oc.deprecated:nosuch}", "${nosuch:1}", "${oc.nosuch:1}", "${:x}", "${oc.env:é}", "${oc.env:(}", "${oc.env:NOSUCH,'é'}", "${s}é", "${bad}", "${oc.${envname}:WHO}", "${oc.env:${s}}",
        "${oc.select:to_missing,5}", "${to_missing}", "x${to_missing}", "${oc.decode:${to_missing}}", "${oc.dict.keys:to_missing}", "${oc.select:gone,5}", "${gone.x}", "${.l.0}", "${oc.create:{a: '${..a}'}}", "${oc.create:'{a: \"${..a}\"}'}",
    ):
        quoted = "'" + text.replace("'", "''") + "'"
        extra = "k: x\nk2: s\nzero: 0\ngone: ???\nto_missing: ${gone}\nenvname: env\nbad: ${nosuch2}\n" if "bad" in text else "k: x\nk2: s\nzero: 0\ngone: ???\nto_missing: ${gone}\nenvname: env\n"
        for where in ("self: %s\n", "in:\n  m: {q: 7}\n  a: inner\n  self: %s\n", "in:\n- 5\n- %s\n"):
            if where != "self: %s\n" and not any(p in text for p in ("${.", "l.", "select", "values", "create", "${a}")):
                continue
            yield case("resolve " + text, {"config.yaml": resolve + extra + where % quoted}, env={"WHO": "me", "NUM": "[1,2]"})
            if "select" not in text and "${a}" == text:
                yield case("resolve early " + text, {"config.yaml": where % quoted + resolve + extra}, env={"WHO": "me"})
    yield case("chain", {"config.yaml": "a: ${b}\nb: ${c}\nc: ${d.e}\nd: ${f}\nf: {e: 5}\n"})
    yield case("cycle", {"config.yaml": "a: ${b}\nb: ${a}\n"})
    yield case("parent", {"config.yaml": "a:\n  b: ${a}\n"})
    yield case("deep cycle", {"config.yaml": "a:\n  b: ${c}\nc: ${a}\n"})
    yield case("escaped and referred to", {"config.yaml": "a: \\${b}\nb: 1\nc: ${a}\n"})
    yield case("escaped and referred to, before", {"config.yaml": "c: ${a}\na: \\${b}\nb: 1\n"})
    yield case("relative in a copy", {"config.yaml": "t: {x: 1, y: '${.x}'}\nu: ${t}\nv: ${u.y}\n"})
    yield case("keys in the text", {"config.yaml": "'a.b': 1\n'a b': 2\n'': 3\n? |\n  long\n  key\n: 4\n"})
    yield case("yaml 1.1", {"config.yaml": "a: yes\nb: 'yes'\nc: 017\nd: 1:30\ne: 1e5\nf: 2020-01-01\ng: 'null'\nh: ~\ni: 0x1f\nj: '1e5'\nk: y\nl: 1_000\nm: .inf\nn: 0.00001\no: 1e22\np: ' x '\nq: \"a\\nb\"\nr: '1_0'\ns: '='\n"})
    yield case("long text", {"config.yaml": "a: %s\nb: '%s'\nc: \"%s\"\n" % ("word " * 40, "it''s " * 40, "tab\\tand " * 30)})
    yield case("anchors", {"config.yaml": "a: &x {b: 1, c: 2}\nd:\n  <<: *x\n  c: 3\ne: *x\n"})
    yield case("tags", {"config.yaml": "a: !!str 5\nb: !!int '7'\n"})
    yield case("unknown tag", {"config.yaml": "a: !x 5\n"})


# ---- random cases -----------------------------------------------------------

GROUPS = ["db", "model", "server", "server/db", "opt", "a/b"]
OPTIONS = ["one", "two", "three"]
PACKAGES = ["_global_", "_here_", "_group_", "x", "x.y", "server", "_group_.z", "_global_.w"]
KEYS = ["name", "lr", "size", "layers", "path", "sub", "name", "tags"]


class Random:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def maybe(self, p):
        return self.r.random() < p

    def scalar(self):
        if self.maybe(0.1):
            return self.r.choice(
                ["'${top.lr}'", "'x${top.name}'", "'${top.sub}'", "'${top.layers}'", "'${top.layers.0}'", "'${top.layers[1]}'", "'a${top.size}b${top.lr}'", "'${top.sub.deep.x}'", "'${top.${top.key}}'",
                 "'${oc.env:CTRX_A,dflt}'", "'${oc.select:db.lr,9}'", "'${oc.select:.name,none}'", "'${oc.select:..name,none}'", "'${oc.dict.keys:top.sub}'", "'${oc.dict.values:top.sub}'", "'${oc.create:[1,x]}'",
                 "'\\\\${x}'", "'${oc.decode:\"1e3\"}'", "'???'", "'${top.gone}'", "'${oc.env:NOSUCH_CTRX,${top.lr}}'"]
            )
        if self.maybe(0.012):
            return self.r.choice(["'${.name}'", "'${db.name}'", "'${..name}'", "'${name}'", "'${sub}'", "'${oc.decode:\"[1]\"}'", "'${'", "'${server}'"])
        return self.r.choice(["1", "2.5", "1e-5", "true", "no", "null", "text", "'yes'", "'1e3'", "''", "\"it's\"", "100000000000000000000", "a b c", "0.1", "-3", "[]", "{}"])

    def value(self, depth=0):
        p = self.r.random()
        if depth > 2 or p < 0.7:
            return self.scalar()
        if p < 0.82:
            return "[" + ", ".join(self.value(depth + 2) for _ in range(self.r.randint(0, 3))) + "]"
        keys = self.r.sample(sorted(set(KEYS)), self.r.randint(0, 3))
        return "{" + ", ".join(k + ": " + self.value(depth + 1) for k in keys) + "}"

    def content(self, n=4):
        keys = self.r.sample(sorted(set(KEYS)), self.r.randint(0, n))
        return "".join("%s: %s\n" % (k, self.value()) for k in keys)

    def option(self):
        if self.maybe(0.02):
            return self.r.choice(["nosuch", "???", "null", "5", "'${db}'", "'${model}'"])
        return self.r.choice(OPTIONS)

    def entry(self, group):
        if self.maybe(0.08):
            return "- %s/%s" % (group, self.r.choice(OPTIONS))
        if self.maybe(0.05):
            group = "/" + group
        if self.maybe(0.2):
            group += "@" + self.r.choice(PACKAGES)
        if self.maybe(0.1):
            group = "optional " + group
        if self.maybe(0.07):
            return "- %s: [%s]" % (group, ", ".join(self.r.sample(OPTIONS, self.r.randint(0, 3))))
        return "- %s: %s" % (group, self.option())

    def defaults(self, groups, overrides, n):
        lines = [self.entry(g) for g in self.r.sample(groups, self.r.randint(min(n, 1), min(n, len(groups))))]
        if self.maybe(0.6):
            lines.insert(self.r.randint(0, len(lines)), "- _self_")
        if overrides and self.maybe(0.15):
            lines.append("- override /%s: %s" % (self.r.choice(groups).strip("/"), self.option()))
        if self.maybe(0.03):
            lines.append(self.r.choice(["- override db: one\n- db: two", "- hydra/job_logging: none", "- override hydra/job_logging: none", "- 5", "- _self_", "- nosuch"]))
        return "defaults:\n" + "\n".join(lines) + "\n" if lines else ""

    def override(self, config):
        p = self.r.random()
        named = [g for g in GROUPS if "\n- " + g + ":" in config]
        group = self.r.choice(named if named and self.maybe(0.85) else GROUPS)
        if p < 0.3:
            return "%s=%s" % (group, self.option().strip("'"))
        if p < 0.36:
            return "%s@%s=%s" % (group, self.r.choice(["x", "x.y", "_global_", "server"]), self.r.choice(OPTIONS))
        if p < 0.44:
            return "+%s=%s" % (group, self.r.choice(OPTIONS))
        if p < 0.48:
            return "+%s@%s=%s" % (group, self.r.choice(PACKAGES), self.r.choice(OPTIONS))
        if p < 0.54:
            return "~" + group + self.r.choice(["", "=one", "=two"])
        if p < 0.58:
            return "%s=[%s]" % (group, ",".join(self.r.sample(OPTIONS, 2)))
        if self.maybe(0.5):
            return "top.%s=%s" % (self.r.choice(["lr", "name", "sub.deep.x", "layers.0", "sub"]), self.r.choice(["1", "x", "{a: 1}", "null", "'${top.size}'", "[1,2]"]))
        path = ".".join(self.r.sample(["db", "model", "sub", "server"], self.r.randint(0, 2)) + [self.r.choice(KEYS)])
        value = self.r.choice(["1", "2.50", "null", "x", "[1,2]", "{name: q}", "{}", "'a b'", "${lr}", "1e-5", "true", "${.lr}", "'${oc.env:CTRX_A,z}'"])
        return self.r.choice(["", "+", "+", "++", "++", "~"]) + path + ("=" + value)

    def case(self, n):
        files = {}
        for group in GROUPS:
            for option in OPTIONS:
                if self.maybe(0.01):
                    continue
                text = ""
                if self.maybe(0.12):
                    text += "# @package %s\n" % self.r.choice(["_global_", "x", "x.y", "_group_"])
                if self.maybe(0.15):
                    below = {"server": ["db"], "a/b": ["/opt"], "model": ["/opt", "/db"]}.get(group, ["/opt"])
                    text += self.defaults(below, True, 1)
                files["%s/%s.yaml" % (group, option)] = text + self.content()
        config = self.defaults(["db", "model", "server", "opt", "a/b"], True, 4) + self.content(5)
        config += "top: {name: N, lr: 0.5, size: 3, layers: [8, x], sub: {a: 1, deep: {x: y}}, key: name, gone: '???'}\n"
        name = "config"
        if self.maybe(0.05):
            name = "server/config"
        files[name + ".yaml"] = config
        c = {"about": "random %d" % n, "files": files, "overrides": [self.override(config) for _ in range(self.r.choice([0, 0, 0, 1, 1, 1, 2, 3]))]}
        if name != "config":
            c["name"] = name
        if self.maybe(0.3):
            c["env"] = {"CTRX_A": self.r.choice(["1", "true", "word", ""])}
        return c


def main():
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    if sys.argv[1] == "vectors":
        cases = list(by_hand())
        source = Random(1)
        cases += [source.case(i) for i in range(60)]
    else:
        source = Random(int(sys.argv[2]))
        cases = [source.case(i) for i in range(int(sys.argv[3]))]
    answers = []
    for c in cases:
        answers.append(ask(c))
    json.dump(answers, sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
