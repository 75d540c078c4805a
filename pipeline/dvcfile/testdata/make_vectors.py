"""Vectors for package dvcfile, made by the real DVC.

    python make_vectors.py [--seed N] [--scale N] OUT

writes JSON lines to OUT: values and the YAML and JSON that DVC writes for them,
files and what DVC makes of them after an edit, lock stages and their run-cache
keys, .dvc files and their checksums. The same seed and scale give the same
file. testdata/vectors.jsonl is made with the defaults and dvc 3.67.1.
"""

import argparse
import copy
import json
import os
import random
import struct
import tempfile
import warnings

warnings.simplefilter("ignore")

from dvc.annotations import ANNOTATION_FIELDS  # noqa: E402
from dvc.stage.cache import _get_cache_hash  # noqa: E402
from dvc.utils import dict_md5  # noqa: E402
from dvc.utils.collections import apply_diff  # noqa: E402
from dvc.utils.hydra import apply_overrides  # noqa: E402
from dvc.utils.serialize import dumps_yaml, parse_yaml, parse_yaml_for_update  # noqa: E402

R = random.Random()

NASTY = [
    "", "a", " a", "a ", "a b", "yes", "no", "true", "True", "null", "~", "017", "0o17", "0x1F", "0b11", "1_000",
    "1e5", "1.5e3", ".5", ".5e3", ".5e+3", ".inf", "-.inf", ".nan", "+.inf", "2020-01-01", "2020-01-01 10:00:00",
    "12:30:45", "=", "<<", "-", "?", ":", "--", "- a", "-a", "? a", "?a", ": a", ":a", "a:", "a: b", "a:b", "a #b",
    "a#b", "#a", "# a", "&a", "*a", "!a", "|", "|a", ">", "'", '"', "it's", "'a'", '"a"', "%a", "@a", "`a", "a`",
    "[a]", "{a}", "a]", "a,b", ",a", "---", "--- a", "---a", "...", "..a", "\n", "a\n", "\na", "a\nb", "a\n\nb",
    "a \nb", "a\n b", "\t", "a\tb", "\ta", "a\t", "\r", "a\rb", "é", "日本語", "😀", "a😀b", "\x00", "\x07", "\x1b",
    "\x7f", "\x80", "\x85", "a\x85b", "\u2028", "a\u2029b", "\ufeff", "\xa0", "a\xa0b", "\u200b", "\ud7ff", "\ue000",
    "\ufffd", "\uffff", "0", "1", "-1", "+1", "1.", "1.0", "0_", "+", "_1", "1_", "1__0", "0o", "0x", "0b", "08",
    "1:2", "::", "a::b", "a:\tb", "a\t#b", "<", "<a", "=a", "a=", "\\", "a\\b", '"a\\', "nan", "inf", "on", "off",
    "TRUE", "NULL", "2020-1-1", "2020-01-01T10:00:00Z", "2020-1-1 1:00:00", "20200101", "1e", "e1", "1e+", "1e-5",
    "1E5", "+12e03", "0.1.2", "1,000", "${x}", "python train.py --lr 0.1", "s3://b/k",
]
WORDS = [
    "a", "b", "the", "--lr", "0.001", "data/train.csv", "x" * 7, "y" * 15, "'q'", '"dq"', "it's", "é", "日本", "z" * 30,
    "&&", "|", "$FOO", "\\", "#c", "k:", "-", "m" * 85, "😀", "python", "train.py", "--name=value", "{a}", ",", "*", "?",
]
FLOATS = [
    0.0, -0.0, 1.0, 0.1, 1e16, 1e15, 9999999999999998.0, 123456789012345680.0, 1e-4, 1e-5, 0.0001234, 0.00001234, 1e22,
    1e23, 1e100, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, float("inf"), float("-inf"), float("nan"),
    100000.0, 0.30000000000000004, 2.5, -1.5e-07, 1e21,
]


def words():
    k = R.randint(2, 30)
    extra = ["\n", "\n ", " \n", "\n\n", "\t"] if R.random() < 0.15 else []
    s = ""
    for i in range(k):
        s += R.choice(WORDS)
        if i < k - 1:
            s += R.choice([" ", " ", " ", " ", " ", "  ", "   "] + extra)
    if R.random() < 0.1:
        s += R.choice([" ", "\n", " \n"])
    return " " + s if R.random() < 0.05 else s


def near_width():
    n = R.randint(60, 100)
    s = ""
    while len(s) < n:
        s += R.choice("abcdefgh") * R.randint(1, 12) + " " * R.choice([1, 1, 1, 2])
    s = s[:n]
    if R.random() < 0.5:
        s = s.strip()
    if R.random() < 0.3:
        s += R.choice(["'", '"', "\\", "\n", "\t", "x y z", " #a", ": b"])
    if R.random() < 0.2:
        s = R.choice(["'", '"', "- ", "# ", "&"]) + s
    if R.random() < 0.2:
        p = R.randint(0, len(s))
        s = s[:p] + R.choice(["\n", " \n", "\n ", "\t", "\x00", "é", "😀", '"', "'", "\\", "\x85"]) + s[p:]
    return s


def string():
    r = R.random()
    if r < 0.35:
        return R.choice(NASTY)
    if r < 0.55:
        return words()
    if r < 0.75:
        return near_width()
    if r < 0.88:
        alphabet = " :#-?'\"\\,[]{}&*!|>%@`=~.0123456789abeEoxXn_\n\té"
        return "".join(R.choice(alphabet) for _ in range(R.randint(1, 12)))
    if r < 0.92:
        ranges = [(0, 0x2FFF), (0xE000, 0x10FFFF), (32, 126)]
        return "".join(chr(R.randint(*R.choice(ranges))) for _ in range(R.randint(1, 10)))
    return R.choice(WORDS)


def number():
    r = R.random()
    if r < 0.25:
        return R.randint(-10, 1000)
    if r < 0.3:
        return R.randint(-(10**30), 10**30)
    if r < 0.5:
        return R.choice(FLOATS)
    if r < 0.7:
        return R.uniform(-10, 10)
    return R.uniform(1, 10) * 10 ** R.randint(-30, 30)


def scalar():
    r = R.random()
    if r < 0.55:
        return string()
    if r < 0.8:
        return number()
    return R.choice([None, True, False])


def key(text_only=False):
    r = R.random()
    if r < 0.8 or text_only:
        return R.choice(["a", "b", "c", "lr", "train.opt", "x y", "size", "nfiles"]) + str(R.choice(["", R.randint(0, 99)]))
    if r < 0.95:
        return string()
    if r < 0.97:
        return "k" * R.randint(115, 130)
    return R.choice([1, 2, 10, -3, 1.5, True, None, 10**25, float("inf")])


def value(depth):
    r = R.random()
    if depth <= 0 or r < 0.5:
        return scalar()
    if r < 0.75:
        return [value(depth - 1) for _ in range(R.randint(0, 4))]
    return {key(): value(depth - 1) for _ in range(R.randint(0, 5))}


def encode(v):
    """A value with its kinds, for JSON."""
    if v is None or v is True or v is False:
        return v
    if isinstance(v, int):
        return {"i": str(v)}
    if isinstance(v, float):
        return {"f": repr(v)}
    if isinstance(v, str):
        return {"s": v}
    if isinstance(v, list):
        return [encode(x) for x in v]
    return {"m": [[encode(k), encode(x)] for k, x in v.items()]}


def attempt(f, *args, **kwargs):
    try:
        return f(*args, **kwargs)
    except Exception:  # what DVC cannot write is no vector
        return None


def readable(text):
    """Leave out what DVC writes and cannot read: long keys with blanks."""
    return text if text is not None and attempt(parse_yaml, text, "x") is not None else None


def emit_vectors(n):
    shared = [1, 2]
    for v in [*NASTY, *FLOATS, {"a": shared, "b": shared}, [{}, [], [[]], [{}]], {"d": {"e": []}}]:
        yield {"kind": "emit", "v": encode(v), "yaml": dumps_yaml(v)} if v is not None else None
    for _ in range(n):
        v = value(R.randint(0, 4))
        if R.random() < 0.3:
            v = {"cmd": string(), "params": v}
        yield {
            "kind": "emit",
            "v": encode(v),
            "yaml": readable(attempt(dumps_yaml, v)),
            "sorted": attempt(json.dumps, v, sort_keys=True),
            "json": json.dumps(v),
            "str": str(v),
        }


def float_vectors(n):
    values = [*FLOATS]
    for _ in range(n):
        values.append(struct.unpack("<d", R.randbytes(8))[0])
        values.append(round(R.uniform(0, 1), R.randint(1, 17)) * 10 ** R.randint(-8, 18))
    yield {"kind": "floats", "values": [[struct.pack(">d", f).hex(), repr(f)] for f in values if f == f]}


# --- files with comments


SCALARS = [
    "1", "-3", "017", "1_000", "0x1F", "0xAB", "0o17", "1.0", "1e-3", "1.5E+05", "+12", "-0.50", ".5", "1.", "1_0.5",
    "12e03", "+1.5e3", "-1.25e-07", "00.10", "true", "False", "~", "null", "", "abc", "'quoted'", '"dq"', "'1'",
    '"a\\nb"', "'it''s'", "a b c", "2020-01-01", "2020-01-01T10:00:00Z", ".inf", "-.INF", ".nan", "[]", "{}",
    "[1, 2, 3]", "[a, [b, c], {d: 1}]", "{a: 1, b: [x, 'y']}", "{k: 'v', l: }", "yes", "${x}",
    "python train.py --lr 0.1 --data data/train.csv --out models/model.pkl --epochs 100 --batch-size 32",
    "'long quoted text with: colon and more words to pass the eighty column limit of the writer ok'",
    '"tab\\there"', "!!str 12", "é", "😀 x",
]
KEYS = ["a", "b", "c", "lr", "train", "model", "x y", "'q'", "1", "1.5", "true", "null", "k.d", "opt"]


class Text:
    """A YAML file in a form that a person might give it."""

    def __init__(self):
        self.anchors = []
        self.lines = []

    def comment(self):
        return "# " + R.choice(["c", "comment here", "é", "#", "x: y", "- z", ""])

    def eol(self):
        return " " * R.randint(1, 6) + self.comment() if R.random() < 0.2 else ""

    def filler(self, indent, lines):
        while R.random() < 0.18:
            r = R.random()
            if r < 0.5:
                lines.append("")
            elif r < 0.9:
                lines.append(" " * R.choice([indent, indent, indent, 0, indent + 2]) + self.comment())
            else:
                lines.append(" " * R.randint(0, indent))

    def block(self, prefix, indent, lines):
        style = R.choice(["|", ">", "|-", ">-", "|+"])
        body = [R.choice(["one", "two words", "  indented", "", "long " + "word " * 20]) for _ in range(R.randint(1, 4))]
        if body[0] == "" or body[0].startswith(" "):
            body[0] = "first"
        header = "  # hdr" if R.random() < 0.1 and not prefix.endswith("-") else ""
        lines.append(prefix + " " + style + header)
        lines.extend(" " * indent + line if line else "" for line in body)

    def value(self, prefix, indent, depth, lines, in_list=False):
        r = R.random()
        if depth > 0 and r < 0.3:
            name = f"x{len(self.anchors)}" if R.random() < 0.06 else None
            lines.append(prefix + (f" &{name}" if name else "") + self.eol())
            self.mapping(indent + R.choice([2, 2, 2, 4]), depth - 1, lines)
            if name:
                self.anchors.append((name, True))
        elif depth > 0 and r < 0.5:
            lines.append(prefix + self.eol())
            self.sequence(indent + 2 if in_list else indent + R.choice([0, 2, 2, 4]), depth - 1, lines)
        elif r < 0.57:
            self.block(prefix, indent + 2, lines)
        elif r < 0.6 and self.anchors:
            lines.append(prefix + " *" + R.choice(self.anchors)[0] + self.eol())
        elif r < 0.62:
            name = f"x{len(self.anchors)}"
            self.anchors.append((name, False))
            lines.append(prefix + f" &{name} " + R.choice(["1", "abc", "1.5", "'q'"]) + self.eol())
        elif r < 0.65:
            lines.append(prefix + " [1,")
            lines.append(" " * (indent + 4) + "2," + self.eol())
            lines.append(" " * (indent + 4) + "3]" + self.eol())
        else:
            s = R.choice(SCALARS)
            lines.append(prefix + (" " + s if s else "") + self.eol())

    def mapping(self, indent, depth, lines):
        maps = [a for a, is_map in self.anchors if is_map]
        if maps and R.random() < 0.15:
            lines.append(" " * indent + "<<: *" + R.choice(maps))
        for k in R.sample(KEYS, R.randint(1, 4)):
            self.filler(indent, lines)
            self.value(" " * indent + k + ":", indent, depth, lines)

    def sequence(self, indent, depth, lines):
        for _ in range(R.randint(1, 4)):
            self.filler(indent, lines)
            r = R.random()
            if depth > 0 and r < 0.3:
                sub = []
                (self.mapping if r < 0.2 else self.sequence)(indent + 2, depth - 1, sub)
                for i, line in enumerate(sub):
                    if line.strip() and not line.strip().startswith("#"):
                        sub[i] = " " * indent + "- " + line[indent + 2 :]
                        break
                lines.extend(sub)
            else:
                self.value(" " * indent + "-", indent, 0, lines, in_list=True)

    def document(self):
        lines = self.lines
        self.filler(0, lines)
        if R.random() < 0.05:
            lines.append("---")
        if R.random() < 0.9:
            self.mapping(0, R.randint(0, 4), lines)
        else:
            self.sequence(0, R.randint(0, 3), lines)
        self.filler(0, lines)
        return "\n".join(lines) + ("\n" if R.random() < 0.9 else "")


def set_param(text, overrides):
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "params.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        apply_overrides(path, overrides)
        with open(path, encoding="utf-8") as f:
            return f.read()


def round_trip(text):
    return dumps_yaml(parse_yaml_for_update(text, "x"))


def document_vectors(n):
    for _ in range(n):
        text = Text().document()
        try:
            v = parse_yaml(text, "x")
        except Exception:
            yield {"kind": "document", "text": text, "broken": True}
            continue
        c = {"kind": "document", "text": text, "rt": attempt(round_trip, text), "str": str(v) if v else None}
        if isinstance(v, dict):
            c["set"] = attempt(set_param, text, ["++zz.new=1"])
        yield c


# --- dvc.lock


def digest():
    return "%032x" % R.getrandbits(128)


def entry(path, out):
    e = {"path": path}
    if R.random() < 0.9:
        e["hash"] = "md5"
    if R.random() < 0.3:
        e.update(md5=digest() + ".dir", size=R.randint(0, 10**9), nfiles=R.randint(0, 10**4))
    else:
        e.update(md5=digest(), size=R.randint(0, 10**12))
        if out and R.random() < 0.1:
            e["isexec"] = True
    if R.random() < 0.05:
        e["cloud"] = {"s3": {"etag": digest(), "version_id": "v" + digest()[:5]}}
    return e


def paths(n):
    names = ["data", "data.csv", "sub/x", "sub.x", "model.pkl", "é.txt", "a b", "a: b", "../up", "s3://b/k", "017", "-x"]
    return sorted(R.sample(names, n))


def stage():
    s = {"cmd": string() or "x" if R.random() < 0.7 else [string() for _ in range(R.randint(0, 3))]}
    deps = [entry(p, False) for p in paths(R.randint(0, 4))]
    outs = [entry(p, True) for p in paths(R.randint(0, 4))]
    if deps:
        s["deps"] = deps
    files = R.sample(["a.json", "params.yaml", "z.toml"], R.randint(0, 3))
    files.sort(key=lambda f: (f != "params.yaml", f))
    if files:
        s["params"] = {}
        for f in files:
            params = {key(True): value(R.randint(0, 2)) for _ in range(R.randint(1, 4))}
            s["params"][f] = dict(sorted(params.items()))
    if outs:
        s["outs"] = outs
    return s


def hand_made(text):
    """The same lock as a person might have left it."""
    lines = []
    for line in text.split("\n"):
        if R.random() < 0.03 and not line.startswith("      "):
            lines.append("")
        if R.random() < 0.03 and line.startswith("  ") and line.endswith(":"):
            line += "  # note"
        lines.append(line)
    return "\n".join(lines)


def lock_vectors(n):
    for _ in range(n):
        lock = {"schema": "2.0"}
        if R.random() < 0.1:
            lock["datasets"] = [{"name": "d", "type": "url", "url": "s3://b", "rev_lock": digest()}]
        names = R.sample(["prep", "train", "eval@a-1", "no", "1", "a.b", "x" * 125], R.randint(1, 5))
        lock["stages"] = {name: stage() for name in names}
        text = dumps_yaml(lock)
        if R.random() < 0.4:
            text = hand_made(text)
        if attempt(parse_yaml, text, "x") is None or attempt(round_trip, text) is None:
            continue
        name = R.choice([*names, "new"])
        new = stage()
        data = parse_yaml_for_update(text, "x")
        data["stages"].update({name: new})
        after = dumps_yaml(data)
        if readable(after) is None:
            continue
        keys = []
        for key in (True, False):
            keys.append(attempt(_get_cache_hash, copy.deepcopy(new), key=key))
        yield {
            "kind": "lock",
            "text": text,
            "rt": round_trip(text),
            "stage": name,
            "body": encode(new),
            "set": after,
            "runcache": keys,
        }


# --- .dvc files


def data_vectors(n):
    exclude = [*ANNOTATION_FIELDS, "locked", "frozen", "metric", "persist", "isexec", "size", "nfiles"]
    for _ in range(n):
        path = R.choice(paths(2))
        e = entry(path, True)
        out = {k: e[k] for k in ("md5", "size", "nfiles", "isexec", "hash") if k in e}
        out["path"] = path
        for k, v in [("desc", "some text"), ("type", "model"), ("labels", ["a", "b"]), ("meta", {"k": 1.5})]:
            if R.random() < 0.1:
                out[k] = v
        for k, v in [("cache", False), ("persist", True), ("remote", "r"), ("push", False)]:
            if R.random() < 0.1:
                out[k] = v
        full = {"outs": [out]}
        if R.random() < 0.4:
            repo = {"url": "https://example.org/r.git", "rev_lock": digest()}
            dep = {"path": "data", "repo": repo} if R.random() < 0.5 else {"md5": digest(), "size": 3, "hash": "md5", "path": "s3://b/k"}
            full = {"md5": digest(), "frozen": True, "deps": [dep], **full}
        if R.random() < 0.1:
            full = {**full, "meta": {"x": [1, "y"]}}
        new = dumps_yaml(full)
        text = hand_made(new).replace("md5: ", R.choice(["md5: ", "md5:   "]))
        if R.random() < 0.3:
            text = "# head\n" + text + "# tail\n"
        changed = parse_yaml(new, "x")
        changed["outs"][0]["md5"] = digest()
        changed["outs"][0].setdefault("hash", "md5")
        saved = parse_yaml_for_update(text, "x")
        apply_diff(changed, saved)
        body = parse_yaml(new, "x")
        for k in ("md5", "meta", "desc"):
            body.pop(k, None)
        yield {
            "kind": "data",
            "new": new,
            "text": text,
            "md5": changed["outs"][0]["md5"],
            "set": dumps_yaml(saved),
            "checksum": dict_md5(body, exclude=exclude),
        }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("out")
    args = parser.parse_args()
    R.seed(args.seed)
    with open(args.out, "w", encoding="utf-8", newline="\n") as f:
        for make, n in [
            (emit_vectors, 200),
            (float_vectors, 150),
            (document_vectors, 160),
            (lock_vectors, 60),
            (data_vectors, 60),
        ]:
            for c in make(n * args.scale):
                f.write(json.dumps(c, sort_keys=True) + "\n")


main()
