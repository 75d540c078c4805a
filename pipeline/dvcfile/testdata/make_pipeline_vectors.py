"""Makes the *_vectors.json files that the tests of dvc.yaml, templates, params
files and overrides compare with. Needs dvc 3.67.1:

    python make_pipeline_vectors.py params > params_vectors.json

With --input the cases are read as JSON from standard input instead of from the
tables below: so the differential tests ask the real program.

Values travel as the text of Python's repr(), which tells 1 from 1.0 from '1'.
"""

import contextlib
import json
import os
import sys
import tempfile


def listed(data):
    """Go has lists only, and takes bytes and complex numbers for no parameters."""
    if isinstance(data, dict):
        return {k: listed(v) for k, v in data.items() if not isinstance(v, (bytes, complex))}
    if isinstance(data, (list, tuple, set)):
        return [listed(v) for v in data]
    return data


def params_case(case):
    import dpath
    from dvc.utils.flatten import flatten
    from dvc.utils.serialize import PARSERS

    suffix = "." + case["file"].rpartition(".")[2]
    out = dict(case)
    try:
        data = PARSERS[suffix.lower()](case["text"], case["file"])
    except Exception:  # any failure to read is one kind of answer
        out["error"] = True
        return out
    if suffix == ".py":
        data = listed(data)
    out["repr"] = repr(data)
    out["found"] = {}
    for key in case.get("lookup", []):
        try:
            out["found"][key] = repr(dpath.get(data, key, separator="."))
        except (KeyError, ValueError):
            out["found"][key] = None
    if isinstance(data, dict):
        out["flat"] = repr(flatten(data))
    return out


PARAMS = [
    {"file": "p.yaml", "text": "a: 1\nb: {c: [1, {d: x}], e: 1e-3}\nf: yes\ng: 017\nh: 2020-01-01\n1: int\n",
     "lookup": ["a", "b.c.0", "b.c.1.d", "b.c.-1.d", "b.c.-3", "b.c.2", "b.*", "b.e", "b.e.x", "1", "*.e", "**.d", ".a", "b.[!c]", "nope", "a.0"]},
    {"file": "p.yaml", "text": ""},
    {"file": "p.yaml", "text": "[]"},
    {"file": "p.yaml", "text": "a: {}\nb: []\nc: {d: {}}\n", "lookup": ["a", "c.d"]},
    {"file": "p.json", "text": '{"a": 1, "b": 1.0, "c": [1e5, 1E400, -0], "a": 2, "d": "\\u00e9\\ud83d\\ude00\\n", "n": null, "t": [true, false]}'},
    {"file": "p.json", "text": '{"a": NaN, "b": [Infinity, -Infinity], "big": 123456789012345678901234567890}'},
    {"file": "p.json", "text": "{}"},
    {"file": "p.json", "text": "[]"},
    {"file": "p.json", "text": '{"a": 01}'},
    {"file": "p.json", "text": '{"a": 1,}'},
    {"file": "p.json", "text": ""},
    {"file": "p.json", "text": '{"a": .5}'},
    {"file": "p.JSON", "text": '{"a": 0.5}'},
    {"file": "p.toml", "text": 'a = 1_000\nb = 0x1F\nc = 1e5\nd = inf\ne = -nan\nf = +1\ng = "x\\ty"\nh = \'lit\\t\'\ni = """\nml"""\n'
     "[t.u]\nz = 1\n[t]\ny = [1, [2, 3], {k = 1}]\n[[aot]]\nn = 1\n[[aot]]\nn = 2\n[aot.sub]\nq = 1\n",
     "lookup": ["t.u.z", "t.y.1.0", "t.y.2.k", "aot.0.n", "aot.1.sub.q"]},
    {"file": "p.toml", "text": "a = 2020-01-01\nb = 2020-01-01T10:00:00\nc = 2020-01-01 10:00:00.5\n"},
    {"file": "p.toml", "text": 'b.c = 2\n"quoted key" = 1\nb."d.e" = 3\nx = {y = {z = 1}}\n'},
    {"file": "p.toml", "text": "a = 1\na = 2\n"},
    {"file": "p.toml", "text": "a = \n"},
    {"file": "p.py", "text": '''"""Doc with a = 1 inside."""
import os
lr = 0.1  # rate = 5
name = "a" 'b' \\
    r"c\\d"
x: int = 5
y: int
neg, other = -1, 2
lst = [1, 2.5, "three", None, (4,), {"five": 6}]
d = {"a": 1, "b": {"c": [2]}, 3: "int",}
b = True
tup = 1, 2
par = (1)
empty = ()
a = z = 4
computed = 1 + 2
call = dict(a=1)
cplx = 2j
f = f"{lr}"
neg = -1_000
pos = +1.5e-3
hexa = 0xFF; octa = 0o17; semi = "x"
ml = [
    1,  # one
    2
]
bytez = b"x"
text = """two
lines"""
esc = "\\x41\\u00e9\\t\\q\\101"
big = 123456789012345678901234567890
class Train(Base):
    """Doc."""
    EPOCHS = 70
    class Inner:
        z = 3
    def method(self):
        self.no = 1
    def __init__(self, q=3):
        super().__init__()
        self.k = 4
        local = 3
        self.k2: float = 5.0
        if q:
            self.skipped = 1
    AFTER = 1
class One: inline = 1
if True:
    nested = 1
@decorated
def g(a: int = 3) -> dict:
    h = 1
    return {"a": h}
async def agen():
    pass
last = lambda q=1: q
lr = 0.2
self.attr = 7
''', "lookup": ["Train.Inner.z", "Train.k", "lst.0", "d.3", "d.b.c.0"]},
    {"file": "p.py", "text": "a = 'unclosed\n"},
    {"file": "p.py", "text": "a = (1\n"},
    {"file": "p.py", "text": ""},
    {"file": "p.py", "text": "a = 1\n  b = 2\n"},
    {"file": "p.py", "text": "if 1:\n    a = 1\n  b = 2\n"},
]

def new_repo(folder, config):
    """Empties the folder up to .dvc, which is made only once: that is slow."""
    import shutil

    from dvc.repo import Repo

    if not os.path.isdir(os.path.join(folder, ".dvc")):
        Repo.init(folder, no_scm=True)
    for entry in os.scandir(folder):
        if entry.name != ".dvc":
            shutil.rmtree(entry.path) if entry.is_dir() else os.unlink(entry.path)
    repo = Repo(folder)
    for section, options in (config or {}).items():
        repo.config.setdefault(section, {}).update(options)
    return repo


def plot_props(out):
    plot = out.plot
    return repr(plot) if isinstance(plot, dict) and plot else None


def stage_row(name, stage, dvcfile):
    from dvc.dependency import ParamsDependency

    deps = [d for d in stage.deps if not isinstance(d, ParamsDependency)]
    params = [d for d in stage.deps if isinstance(d, ParamsDependency)]
    return {
        "name": name,
        "cmd": repr(stage.cmd),
        "wdir": dvcfile.resolver.resolve_one(name)[name].get("wdir", ""),
        "deps": [d.def_path for d in deps],
        "params": [[p.def_path, list(dict.fromkeys(p.params)) or None] for p in params],
        "outs": [
            {
                "path": o.def_path,
                "kind": 1 if o.metric else 2 if o.plot or o.plot == {} else 0,
                "cache": o.use_cache,
                "persist": bool(o.persist),
                "push": bool(o.can_push),
                "remote": o.remote or "",
                "desc": o.annot.desc or "",
                "type": o.annot.type or "",
                "labels": o.annot.labels or None,
                "meta": repr(o.annot.meta or None),
                "plot": plot_props(o),
            }
            for o in stage.outs
        ],
        "frozen": bool(stage.frozen),
        "always_changed": bool(stage.always_changed),
        "desc": "" if stage.desc is None else str(stage.desc),
        "meta": repr(stage.meta),
        "tracked": repr({k: dict(v) for k, v in stage.tracked_vars.items()}),
        "parametrized": bool(stage.raw_data.parametrized),
        "group": stage.raw_data.generated_from or "",
    }


def pipeline_case(case):
    from dvc.dvcfile import load_file
    from dvc.exceptions import DvcException

    out = dict(case)
    try:
        repo = new_repo(os.getcwd(), case.get("config"))
        for path, text in case["files"].items():
            os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        dvcfile = load_file(repo, "dvc.yaml")
        stages = dvcfile.stages
        out["stages"] = [stage_row(name, stages[name], dvcfile) for name in stages]
        out["top"] = {
            "params": dvcfile.params,
            "metrics": dvcfile.metrics,
            "plots": repr(dvcfile.plots),
            "artifacts": repr(dvcfile.artifacts),
        }
    except Exception as exc:  # the real program fails in many ways
        out.pop("stages", None)
        out["error"] = str(exc) if isinstance(exc, DvcException) else "crash: " + type(exc).__name__
    return out


def stages(text, params=None, **files):
    made = {"dvc.yaml": text}
    if params is not None:
        made["params.yaml"] = params
    made.update(files)
    return {"files": made}


def with_config(case, **parsing):
    return {**case, "config": {"parsing": parsing}}


OPTS = """\
opts:
  lr: 0.1
  name: "two words"
  verbose: true
  quiet: false
  list: [a, "b c", 1, true, null]
  nested: {deep: {x: 1e-5, s: "it's"}}
  none: null
  empty: []
  nothing: {}
"""

PIPELINES = [
    stages(""),
    stages("[]\n"),
    stages("[1]\n"),
    stages("stages:\n"),
    stages("stages: {}\n"),
    stages("stage: {}\n"),
    stages("stages: {a: {cmd: x, outz: [y]}}\n"),
    stages("stages: {a: {cmd: x}, a: {cmd: y}}\n"),
    stages("stages: {a: [x]}\n"),
    stages("stages: {a: }\n"),
    stages("stages: {a: {}}\n"),
    stages("stages: {a: {cmd: 1}}\n"),
    stages("stages: {1: {cmd: x}}\n"),
    stages("stages: {a@b: {cmd: x}}\n"),
    stages("stages: {a.b: {cmd: x}, c/d: {cmd: y}}\n"),
    stages("stages: {a: {cmd: x, deps: y}}\n"),
    stages("stages: {a: {cmd: x, frozen: 'yes'}}\n"),
    stages("stages: {a: {cmd: x, outs: [{y: }]}}\n"),
    stages("stages: {a: {cmd: x, outs: [{y: {hash: md5}}]}}\n"),
    stages("stages: {a: {cmd: x, plots: [{y: [{x: 1}]}]}}\n"),
    stages("stages: {a: {cmd: x, plots: [{y: [{x: a}]}]}}\n"),
    stages("stages: {a: {foreach: [1], do: {cmd: x}, cmd: y}}\n"),
    stages("stages: {a: {foreach: [1]}}\n"),
    stages("stages: {a: {foreach: 1, do: {cmd: x}}}\n"),
    stages("stages: {a: {matrix: {x: [1]}, foreach: [1], do: {cmd: x}}}\n"),
    stages("artifacts: {a: {type: model}}\n"),
    stages("artifacts: {a: {path: x, labels: l}}\n"),
    stages("plots: {a: b}\n"),
    stages("plots: [{a: {z: 1}}]\n"),
    stages(
        """\
stages:
  full:
    cmd:
    - echo 1
    - |
      echo 2
      echo 3
    wdir: sub
    deps: [in.txt, in.txt, s3://b/k]
    params: [lr, train.x, {other.json: [a, b.c]}, lr, {whole.toml: }, {other.json: [a, d]}, {empty.yaml: []}]
    outs:
    - plain
    - flags: {cache: false, persist: true, remote: r, push: false, desc: d, type: t, labels: [l1, l2], meta: {k: [1]}}
    - plain: {persist: true}
    - checked: {checkpoint: true}
    metrics:
    - m.json: {cache: false}
    - m2.json
    plots:
    - p.csv: {x: a, y: b, template: t, x_label: xl, y_label: yl, title: ti, header: false, cache: false}
    - q.csv
    frozen: true
    always_changed: true
    desc: text
    meta: {owner: me, n: 1}
  text:
    cmd: |
      one
      two
params: [conf.yaml]
metrics: [m3.json]
plots:
- p1.csv
- {id: {x: {f.csv: a}, y: {g.csv: [b, c], h.csv: d}, title: t}, other: }
- {third: {x: a, y: [b, c], x_label: l, y_label: m, template: u}}
artifacts:
  model: {path: m.pkl, type: model, desc: d, labels: [a], meta: {x: 1}}
"""
    ),
    stages("stages: {a: {cmd: x, params: [lr, {params.yaml: }, {p2.yaml: [x]}, z]}}\n"),
    stages("stages: {a: {cmd: x, params: [{f.yaml: x}]}}\n"),
    stages("stages: {a: {cmd: 'run ${x} ${y.z[1]} ${y.z.0} ${ t } ${f} ${n} ${s}', deps: ['${s}', '${f}x'], desc: '${s}', meta: {'${s}': '${y.z[0]}'}, outs: ['${s}/o': {cache: false}]}}\n",
           "x: 1e-5\ny: {z: [3, 4.0]}\nt: true\nf: false\nn: null\ns: text\n"),
    stages("stages: {a: {cmd: 'x ${no.such}'}}\n", "no: {suck: 1}\n"),
    stages("stages: {a: {cmd: 'x ${l}'}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: x, deps: ['${d}']}}\n", "d: {a: 1}\n"),
    stages("stages: {a: {cmd: x, deps: ['${l}']}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: 'x ${l.5}'}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: 'x ${l.-1} ${l[ -1 ]}'}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: 'x ${l.x}'}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: 'x ${l[0].z}'}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: 'x ${}'}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: 'x ${l..x}'}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: 'x ${l[0}'}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: 'x ${l]}'}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: 'x ${l[0]x}'}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: 'x ${l[0] }'}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: 'x ${ l [ 0 ] }'}}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: \"x ${l['a']}\"}}\n", "l: {\"'a'\": 1}\n"),
    stages("stages: {a: {cmd: 'x \\${l} $${l[0]} ${l', deps: ['\\${q}', '$HOME', 'a}b'] }}\n", "l: [1]\n"),
    stages("stages: {a: {cmd: 'x ${a ${b}'}}\n", "'a ${b': 1\n"),
    stages("stages: {a: {cmd: 'python t.py ${opts} end'}}\n", OPTS),
    stages("stages: {a: {cmd: ['a ${opts}', 'b ${opts.nested}']}}\n", OPTS),
    with_config(stages("stages: {a: {cmd: 'python t.py ${opts}'}}\n", OPTS), bool="boolean_optional", list="append"),
    stages("stages: {a: {cmd: 'x ${opts}'}}\n", "opts: {a: [[1]]}\n"),
    stages("stages: {a: {cmd: 'x ${opts}|'}}\n", "opts: {a: [], b: false}\n"),
    stages("vars:\n- {a: {b: 1}}\n- {a: {c: 2}, d: 3}\n- v.json\n- v.json\n- v.toml:k,l\n- v.toml:m\n- {a: {e: {f: 4}}}\n"
           "stages: {s: {cmd: '${a.b} ${a.c} ${d} ${e.k} ${k} ${l.x} ${m} ${a.e.f}x'}}\n",
           None, **{"v.json": '{"e": {"k": "v"}}', "v.toml": "k = 1\nm = 'mm'\n[l]\nx = 2\n"}),
    stages("vars: [{a: 1}]\nstages: {s: {cmd: x}}\n", "a: 2\n"),
    stages("vars: [{a: {b: {c: 1}}}, {a: {b: 2}}]\nstages: {s: {cmd: x}}\n"),
    stages("vars: [nope.yaml]\nstages: {s: {cmd: x}}\n"),
    stages("vars: ['v.yaml:nope']\nstages: {s: {cmd: x}}\n", None, **{"v.yaml": "a: 1\n"}),
    stages("vars: [v.yaml, 'v.yaml:a']\nstages: {s: {cmd: x}}\n", None, **{"v.yaml": "a: 1\n"}),
    stages("vars: ['v.yaml:a', v.yaml]\nstages: {s: {cmd: x}}\n", None, **{"v.yaml": "a: 1\n"}),
    stages("vars: ['v.yaml:a', 'v.yaml:a']\nstages: {s: {cmd: x}}\n", None, **{"v.yaml": "a: 1\n"}),
    stages("vars: [params.yaml, 'params.yaml:a']\nstages: {s: {cmd: x}}\n", "a: 1\n"),
    stages("vars: [params.yaml]\nstages: {s: {cmd: 'x ${a}'}}\n", "a: 1\n"),
    stages("vars: [v.yaml]\nstages: {s: {cmd: x}}\n", None, **{"v.yaml": "[1]\n"}),
    stages("vars: ['${a}.yaml']\nstages: {s: {cmd: x}}\n", "a: 1\n"),
    stages("vars: [{a: '${b}'}]\nstages: {s: {cmd: x}}\n", "b: 1\n"),
    stages("stages: {s: {cmd: x, vars: ['${a}.yaml']}}\n", "a: 1\n"),
    stages("stages:\n  s: {cmd: 'x ${q.a} ${q.b} ${w}', wdir: sub, vars: [v.yaml, {q: {b: 2}}]}\n  t: {cmd: 'x ${w}'}\n",
           "w: 1\n", **{"sub/v.yaml": "q: {a: 1}\n"}),
    stages("stages:\n  s: {cmd: 'x ${q}', wdir: '${w}', vars: [v.yaml]}\n", "w: sub\n", **{"sub/v.yaml": "q: 1\n"}),
    stages("stages:\n  s: {cmd: x, vars: [{w: 2}]}\n", "w: 1\n"),
    stages("stages:\n  s: {cmd: x, vars: [nope.yaml]}\n", "w: 1\n"),
    stages("stages:\n  s: {cmd: x, vars: ['params.yaml:w']}\n", "w: 1\n"),
    stages("stages: {s: {foreach: [x, y, x, 1, 1.5, true, null], do: {cmd: 'echo ${item}', outs: ['${item}.txt']}}}\n"),
    stages("stages: {s: {foreach: '${l}', do: {cmd: 'echo ${item}'}}}\n", "l: [x, 1, 1.5, true, null, 1e-3]\n"),
    stages("stages: {s: {foreach: ['${b}', '${b}y', \"${d}\"], do: {cmd: 'echo ${item}'}}}\n", "b: true\nd: 2\n"),
    stages("stages: {s: {foreach: [{a: 1}, x, [2, 3]], do: {cmd: 'echo ${key}'}}}\n"),
    stages("stages: {s: {foreach: [{a: 1}, {a: 2}], do: {cmd: 'echo ${item.a}', desc: '${item.a}'}}}\n"),
    stages("stages: {s: {foreach: {us: {t: 10}, uk: {t: '${n}'}, 1: {t: 3}, true: {t: 4}}, do: {cmd: 'echo ${key} ${item.t}'}}}\n", "n: 5\n"),
    stages("stages: {s: {foreach: '${m}', do: {cmd: 'echo ${key} ${item}', params: ['m.${key}']}}}\n", "m: {a: 1, b: x, 3: q}\n"),
    stages("stages: {s: {foreach: '${m}', do: {cmd: x}}}\n", "m: 5\n"),
    stages("stages: {s: {foreach: 'plain', do: {cmd: x}}}\n"),
    stages("stages: {s: {foreach: '${no}', do: {cmd: x}}}\n"),
    stages("stages: {s: {foreach: [], do: {cmd: x}}}\n"),
    stages("stages: {s: {foreach: [a], do: {cmd: '${item} ${key}'}}}\n"),
    stages("stages: {s: {foreach: [a], do: {cmd: 'x ${item}', vars: [{item: 1}]}}}\n"),
    stages("stages: {s: {foreach: {k: a}, do: {cmd: 'x ${item}', vars: [{item: 1, key: 2}]}}}\n"),
    stages("stages: {s: {foreach: [a, b], do: {cmd: 'x ${item} ${v.w}', vars: [{v: {w: 1}}]}}, t: {cmd: 'y ${item}'}}\n", "item: 7\n"),
    stages("stages: {s: {foreach: [a], do: {cmd: 'x ${b.a..}'}}}\n", "b: {a: 1}\n"),
    stages("stages: {s: {foreach: [sub, '.'], do: {cmd: 'x ${q}', wdir: '${item}', vars: [v.yaml]}}}\n", None,
           **{"sub/v.yaml": "q: 1\n", "v.yaml": "q: 2\n"}),
    stages("stages: {s: {matrix: {m: [cnn, xgb], c: [{lr: 0.1}, [2]], f: '${f}', b: [true, null, 1.50]}, cmd: 'echo ${item.m} ${item.f} ${item.b} ${key}', outs: ['${key}']}}\n",
           "f: [f1, true]\n"),
    stages("stages: {s: {matrix: {c: [{lr: 0.1}, {lr: 2}]}, cmd: 'echo ${item.c.lr} ${item.c}'}}\n"),
    stages("stages: {s: {matrix: {c: '${c}'}, cmd: 'echo ${item.c.lr}'}}\n", "c: [{lr: 0.1}, {lr: 2}]\n"),
    stages("stages: {s: {matrix: {a: [], b: [1]}, cmd: 'echo'}}\n"),
    stages("stages: {s: {matrix: {a: [1, 1], b: [1]}, cmd: 'echo'}}\n"),
    stages("stages: {s: {matrix: {a: '${d}'}, cmd: 'echo ${item.a}'}}\n", "d: {x: 1, y: 2}\n"),
    stages("stages: {s: {matrix: {a: '${d}'}, cmd: 'echo ${item.a}'}}\n", "d: 3\n"),
    stages("stages: {s: {matrix: {a: ['${d}', '${e}']}, cmd: 'echo ${item.a}'}}\n", "d: 3\ne: [1]\n"),
    stages("stages: {s: {matrix: {a: [x]}, cmd: 'echo ${item.nope}'}}\n"),
    stages("stages: {s: {matrix: {a: x}, cmd: 'echo'}}\n"),
    stages("stages: {s: {matrix: [a], cmd: 'echo'}}\n"),
    stages("params: ['${a}.yaml']\nmetrics: ['${a}.json']\nplots: ['${a}.csv', {'${a}': {x: '${b}', y: ['${a}', q]}}]\nartifacts: {'${a}': {path: '${b}/m', desc: '${a}'}}\n",
           "a: one\nb: two\n"),
    stages("params: ['${z}']\n", "a: one\n"),
    stages("artifacts: {'${a}': {path: x}}\n", "a: 1\n"),
    stages("x: &x {cmd: a}\n"),
    stages("stages:\n  a: &a\n    cmd: x\n    deps: [d]\n  b:\n    <<: *a\n    outs: [o]\n"),
    stages("stages: {a: {cmd: x}}\n", "a: [\n"),
    stages("stages: {a: {cmd: x}}\n", "[1]\n"),
    stages("stages: {a: {cmd: '${c}'}}\n", "c: python x.py\n"),
    stages("stages: {a: {cmd: 'x ${1} ${q.2}'}}\n", "1: a\nq: {2: b}\n"),
    stages("stages: {a: {cmd: \"x ${a}\\n${b}\", deps: [\"${a\\n}\"]}}\n", "a: 1\nb: 2\n"),
    stages("stages: {a: {cmd: 'x', params: ['${k}', {'${f}': ['${k}']}]}}\n", "k: 'a.b'\nf: other.yaml\n"),
    stages("stages: {a: {cmd: 'x ${big} ${neg} ${exp}'}}\n", "big: 123456789012345678901\nneg: -0.0\nexp: 1e22\n"),
]

def override_case(case):
    """Applies -S arguments of one file, given without the file's name."""
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides

    out = dict(case)
    path = case["file"]
    if os.path.exists(path):
        os.unlink(path)
    if case.get("text") is not None:
        with open(path, "w", encoding="utf-8") as f:
            f.write(case["text"])
    try:
        apply_overrides(path, case["args"])
    except Exception as exc:
        cause = exc.__cause__ if isinstance(exc, DvcException) and exc.__cause__ else exc
        out["error"] = f"{type(cause).__name__}: {cause}"
        return out
    with open(path, encoding="utf-8") as f:
        out["result"] = f.read()
    return out


def sweep_case(case):
    """Groups, parses and expands -S arguments as `dvc exp run --queue` does."""
    from dvc.utils.cli_parse import to_path_overrides
    from dvc.utils.hydra import get_hydra_sweeps, to_hydra_overrides

    def canonical(override):
        key = override.get_key_element()
        return f"{key}={override.get_value_element_as_str()}"

    out = dict(case)
    try:
        by_path = to_path_overrides(case["args"])
        parsed = {p: to_hydra_overrides(o) for p, o in by_path.items()}
        out["sweep"] = any(o.is_sweep_override() for os_ in parsed.values() for o in os_)
        if out["sweep"]:
            out["sets"] = get_hydra_sweeps(by_path)
        else:
            out["sets"] = [{p: [canonical(o) for o in os_] for p, os_ in parsed.items()}]
        out["values"] = [
            [repr(o.value()) for texts in s.values() for o in to_hydra_overrides(texts)]
            for s in (out["sets"] if out["sweep"] else [by_path])
        ]
    except Exception as exc:
        out.pop("sets", None)
        out.pop("sweep", None)
        out["error"] = f"{type(exc).__name__}: {exc}"
    return out


YAML = """\
# top
a: 1  # one
b: {x: 1, y: [1, 2], z: {w: "q"}}
l: [1, 2]  # list
m:
  # before
  n: 1e-3
  o: 'quoted'  # o
s:
- 1 # c1
- {k: v}  # c2
t: null
2: int key
v: yes
d: 2020-01-01
mls: |
  line
  line2
base: &base
  k: 1
der:
  <<: *base
  j: 2
nan: .nan
"""
TREE = """\
a: 1
d: {x: 1, n: null, m: {k: v}, l: [1]}
l: [1, {k: v}, [3]]
n: null
1: int
s: ${a}
"""
TOML = """\
# top
a = 1_000 # num
b = 0x10
c = 1e-3   # c
d = 'lit'
e = \"\"\"multi
line\"\"\"
f = [1, 2,
  3, # three
]
g = {x = 1, y = {z = 'q'}}
h = 2020-01-01
j = true
k."dotted key".l = 5

[t] # table
x = 1.0
y = [ "a", 'b' ]
[t.sub]
z = 1

[other]
w = "end"
"""
PY = """\
import os
lr = 0.1  # rate
name = "abc"
x: int = 5
lst = [1, 2]
b = True
class Train:
    EPOCHS = 70
    N = None
    class Inner:
        z = 3
    def __init__(self):
        self.k = 4
        y = 3
"""


def overrides(file, text, *lines):
    return [{"file": file, "text": text, "args": line if isinstance(line, list) else [line]} for line in lines]


OVERRIDES = [
    *overrides("params.yaml", YAML, "a=2", "b={x: 5}", "b={nope: 5}", "+b={nope: 5}", "l=[]", "l.0=7", "l.5=7", ["b.y=[7,8,9]", "s.1.k=w"],
               "++b.new.deep=3", "+a.b=1", "m.n={}", "m={}", "m=null", "~m.o", "~t", "~a=2", "~a=1", "nope=1", "nope.x=1", "a.x=1", "2=3",
               "+l.2=5", "+l=[9]", "der.k=5", "+x", "a=${m.n}0", "a=\"\\${m.n}\"", "a=\"${m.n}x\"", "a=${nope}", "a@b=1", "=1", "a=", "a=(x)", "a=x=y",
               "a=é", "a='é'", ["a=int(3.7)", "+z=str(1)", "+w=float(1)", "+bb=bool(0)"], "a=sort([3,1,2])", "a=\"1\"", "a=1e400", "a=???",
               "d=2021-01-01", "v=no", "mls='one\ntwo\n'", "a=0x10", "a=1_000", "a=017", "a='a: b'", "m.n=0.001", ["a=5", "a=6", "~a"], "a= spaced  out ",
               "a=a:b", "a=a\\,b", "a=\\\\", "a='it\\'s'", "a=\"x\\\\\"", "a=[a,[b,{c: 'd, e'}],null,true]"),
    *overrides("params.yaml", TREE, "+a/b=1", "d=[1]", "l={x: 1}", "d={l: {q: 1}}", "d={m: 5}", "d={m: {z: 1}}", "d={x: {z: 1}}", "+d={x: {z: 1}}", "~l.0",
               "~l.1.k", "~d.m", "~d.m={k: v}", "~d={}", "+n=5", "n=5", "n.x=5", "+n.x=5", "l.1.k=5", "l.1={z: 1}", "l.2=[4,5]", "l.-1=5", "l.x=1",
               "+1=2", "++d.1=2", "d.2=2", "l.1.z=3", "+l.1.z=3", "s=5", "s.x=5", "+s=1", "++s.t=1", "d.m=null", "a={1: x, true: y, 1.5: z}",
               "+e={1: x, true: y, 1.5: z}", "+e={null: x}", "a=\"${d.x}-${.n}\"", "a=${d}", "a=${l}", "a=${l[1].k}", "a=${a}", "d.x=${.n}", "d.x=${..a}",
               "a=${s}", "+q={z: \"${a}\"}", "a=\"\\\\\\\\${d.x}\"", "a=\"x${d.m}y\"", "a=\"${d.n}\"", "a=\"x${n}y\"", "$x=1", "+$x=1", "a=$x", "a.b@c=1", "~", "++=1",
               "a=${d.x", "a=\"${\"", "a=${1}"),
    *overrides("params.yaml", None, "+a.b=1", "a=1"),
    *overrides("params.yaml", "", "+a.b=1", "+a={}"),
    *overrides("p.json", '{"a": {"b": false}, "z": 1.0, "é": "ü\\n", "l": [1, {"k": null}]}\n', "a.b=true", ["z=1e-7", "l.1.k=[a]", "+n.m={x: 1}"], "~z", "q=1", "z=inf", "a={b: {c: 1}}"),
    *overrides("p.json", None, "+a=1"),
    *overrides("p.toml", TOML, "a=2", ["t.x=5", "j=false", "d=\"q'\\\"z\""], ["b=1e22", "c=inf", "f=[a,[1]]"], "g.x=5", "+g.n=6", "~g.x", "~b", ["~t.y", "t.sub.z=2"],
               "a=null", "+other.k=1", "k.\"dotted key\".l=6", "h=x", "t.y=[1.5,true,x,{a: {b: 1}}]"),
    *overrides("p.toml", "a=1", "+b=2", "a=x", "+t.k=1"),
    *overrides("p.toml", "a = 1\n\n# end\n", "+b=2"),
    *overrides("p.toml", "a=1\n[t]\nx=1\n\n\n# end\n[u]\ny=1\n", ["+t.b=2", "+u.k=1"], ["~t", "~a"], "+b=1", "+v={a: 1, b: {c: [2]}}"),
    *overrides("p.toml", "a=1\n\n[t]\nx=1\n", "+b=1"),
    *overrides("p.py", PY, ["lr=0.5", "x=6", "lst=[3]", "b=false", "Train.EPOCHS=5", "Train.Inner.z=1", "Train.k=9"], "Train.N=3", "lr=1", "nope=1", "lst=[1,2,a]"),
]


def sweeps(*lines):
    return [{"args": line if isinstance(line, list) else [line]} for line in lines]


SWEEPS = sweeps(
    "a=1", "a=1,2", "a=a,b", "a=choice(1)", "a=choice(1,b,'c d',[1,2],{x: y})", "a=range(3)", "a=range(1,4)", "a=range(0,1,0.25)", "a=range(0,1,0.1)",
    "a=range(5,1,-2)", "a=range(1,2,0)", "a=range(3.5)", "a=range(stop=3,start=1)", "a=range(1,2,3,4)", "a=range(x)", "a=sort(3,1,2)", "a=sort(choice(c,a,b))", "a=sort(range(5,1,-1))",
    "a=sort(range(1,5),reverse=true)", "a=sort(3,1,2,reverse=true)", "a=sort([3,1,2])", "a=sort([b,a])", "a=sort(1,a)", "a=sort(x)", "a=sort()", "a=tag(t1,t2,choice(1,2))", "a=tag(x)", "a=tag(1,choice(a))",
    "a=float(range(1,3))", "a=int(choice(1.5,2))", "a=str(1,2)", "a=str(1)", "a=str([1,true,{a: 1.5}])", "a=bool(yes)", "a=bool('true')", "a=bool([0,1,x])", "a=int('12 ')", "a=int(x)", "a=float('1e3')", "a=float(inf)", "a=int(true)", "a=int(null)", "a=str(null)",
    "a=interval(0,1)", "a=glob(*)", "a=foo(x)", "a=choice()", "a=choice(choice(1,2))", "a=choice(range(2))", "a=choice(null,1)", "a=int(1,2,3)", "a=int(value=3)", "a=int(valu=3)", "a=int(3,value=3)",
    "a='1','2'", "a=\"x,y\",z", "a=choice('1','2')", "a=1, 2 ,3", "a=[1,2],[3]", "a={x: 1},{x: 2}", "a=null,1", "a=true,False", "a=2e-5,1.0", "a=a:b,c", "a=x\\,y,z", "a=a b,c", "~a,b", "~a", "~a=1,2", "+a=1,2", "++a.b=1,2",
    ["a=1,2", "b=x,y"], ["a=1", "b=x,y"], ["a=1,2", "f.json:b=x,y", "c=3"], ["f.json:b=x,y", "a=1,2"], ["a=1,2", "a=3"], ["a=1", "a=2"], ["a=1,2", "b=1", "a=3,4"], ["f.yaml:x.y=1"], ["f.yaml:+x=1,2"], ["x=a:b"], ["a:b=c:d"],
    "a=2e-5", "a=TRUE", "a=1_000", "a=+5", "a=-5", "a=-.5", "a=1.", "a=1.e5", "a=.5e-3", "a=01", "a=1.2.3", "a=nan", "a=-inf", "a=infx", "a=0x10", "a=1e5", "a=1e", "a=123abc", "a=a-b", "a=-x", "a=x/y.z", "a=@x", "a=a@b", "a=%x", "a=a|b?c*d$e+f",
    "a=x y", "a=  x  ", "a= ", "a='  '", "a=\\ ", "a=\\ x\\ ", "a=\\\\", "a=\\x", "a=\\(x\\)", "a=\\{\\[\\]\\}", "a=a\\=b", "a=a:b:c", "a=:", "a=a : b", "a=a ,b", "a='x'y", "a=x'y'", "a='x", "a=\"x\\\"y\"", "a='x\\\\'", "a='\\\\\\'x'", "a='\\a'", "a=\"it's\"", "a=''", "a=\"a\tb\"",
    "a=${b}", "a=${b}c", "a=x${b.c}", "a=${b:c}", "a=${", "a=${}", "a=[]", "a=[ 1 , 2 ]", "a=[1,2", "a=[1 2]", "a=[,]", "a=[1,]", "a={}", "a={a:1,b:2}", "a={a: 1, b: {c: [1]}}", "a={a}", "a={a:1", "a={1: x, 1.5: y, true: z, null: w}", "a={'a': 1}", "a={a b: 1}", "a={a\\:b: 1}", "a={a:b:c}", "a={a: ${b}}", "a={${b}: 1}",
    "a==", "a=b=c", "a=!", "a=#", "a=&", "a=;x", "a=<", "a=~", "a=^", "a=`", "a=é", "é=1", "a.b.c=1", "a..b=1", "a.=1", ".a=1", "a.0=1", "a.01=1", "a.b-c=1", "a-b=1", "a b=1", "a[0]=1", "0.a=1", "0=1", "$a=1", "a$b.c=1", "a/b=1", "a/b/c=1", "a/$b=1", "a/=1", "a@=1", "a@b=1", "a/b@c.d=1", "a@b@c=1", "a", "+a", "++a", "+++a=1", "~", "~a=", "=1", "", "a= b", "a=\tb", " a=1", "a =1",
    "a=b\\", "a=x\\\\y", "a=x\\ty", "a=(x)", "a=x)", "a=int( 3 )", "a=int (3)", "a=int(3) x", "a=x int(3)", "a=[int(3)]", "a={a: float(1)}", "a=[choice(1,2)]", "a=sort([1,choice(1)])", "a=str(choice(1,true))", "a=choice(a,b),c", "a=shuffle([1])", "a=shuffle(1)", "a=range(0.1,0.5,0.1)", "a=range(10,0,-2.5)", "a=range(1,10,3)", "a=float(range(0,1,0.5))", "a=int(range(0,3.7))", "a=str(range(3))",
)

CASES = {
    "params": (params_case, PARAMS),
    "pipeline": (pipeline_case, PIPELINES),
    "override": (override_case, OVERRIDES),
    "sweep": (sweep_case, SWEEPS),
}


def main():
    make, table = CASES[sys.argv[1]]
    if "--input" in sys.argv:
        table = json.load(sys.stdin)
    start = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        os.chdir(os.path.realpath(folder))
        try:
            rows = [make(case) for case in table]
        finally:
            os.chdir(start)
    print("[\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]")


if __name__ == "__main__":
    main()
