"""Writes vectors.jsonl: what DVC makes of metrics and params of two revisions.

Run with a Python that has dvc 3.67.1 installed:  python3 make_vectors.py > vectors.jsonl
"""
import contextlib
import io
import json
import random

from dvc.compare import show_diff, show_metrics
from dvc.repo.metrics.diff import _diff
from dvc.repo.metrics.show import _extract_metrics
from dvc.ui import ui


def printed(f, *args, **kwargs):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        f(*args, **kwargs)
    return out.getvalue()


def scalar(r):
    return r.choice(
        [
            0, 1, -7, 3, 12345678901234567890, True, False, None, "", "text", " blanks ", "a|b", "two\nlines", "日本語", "1e-9",
            0.0, -0.0, 0.1, 0.5, 1e-9, -1e-9, 1e20, 123456.789, 0.000012345, 2.675, 0.125, 1e16, 99999.5, 0.81234999, float("nan"), float("inf"),
            [], [1], [0.5], [1, "two", None, 3.0], [[1], {"a": 2}], {}, r.random(), r.random() * 1000, r.randint(-99, 99),
        ]
    )


def mapping(r, depth=0):
    m = {}
    for _ in range(r.randint(0, 4)):
        key = r.choice(["a", "b", "acc", "loss", "Z", "é", "k_1"])
        m[key] = mapping(r, depth + 1) if depth < 2 and r.random() < 0.3 else scalar(r)
    return m


def document(r):
    if r.random() < 0.15:
        return scalar(r)
    return mapping(r)


def revision(r, other=None):
    files = {}
    for name in ["m.json", "dir/n.json", "p.yaml"]:
        kind = r.random()
        if kind < 0.15:
            continue
        if kind < 0.25:
            files[name] = {"error": FileNotFoundError(2, "No such file or directory", name)}
        elif other and "data" in other.get(name, {}) and isinstance(other[name]["data"], dict) and kind < 0.7:
            data = dict(other[name]["data"])
            data.update(mapping(r))
            files[name] = {"data": data}
        else:
            files[name] = {"data": document(r)}
    return files


def metrics_only(files):
    return {k: ({"data": _extract_metrics(v["data"], k) or {}} if "data" in v else v) for k, v in files.items()}


def plain(files):
    return [[k, json.dumps(v["data"]) if "data" in v else None] for k, v in files.items()]


def case(r):
    raw_old = revision(r)
    raw_new = revision(r, raw_old)
    old, new = metrics_only(raw_old), metrics_only(raw_new)
    everything = r.random() < 0.3
    precision = r.choice([None, None, 1, 3, 8, 12])
    no_path = r.random() < 0.2
    shown = {"HEAD": {"data": old}, "v1,main": {"data": new}}
    result = {
        "old": plain(raw_old), "new": plain(raw_new), "all": everything, "precision": precision or 0, "no_path": no_path,
        "metrics": plain(old),
        "show": printed(show_metrics, shown, all_tags=True, precision=precision or 5, round_digits=True),
        "show_md": printed(show_metrics, {"": {"data": new}}, markdown=True, precision=precision or 5, round_digits=True),
    }
    # The raw values serve as params: lists and nulls are in there.
    for name, (a, b) in {"metrics": (old, new), "params": (raw_old, raw_new)}.items():
        diff = _diff({"a": {"data": a}, "b": {"data": b}}, "a", "b", with_unchanged=everything).get("diff", {})
        # The order of files is that of a Python set: put them in order.
        diff = {k: diff[k] for k in list(dict.fromkeys([*a, *b])) if k in diff}
        result[name + "_diff"] = json.dumps(diff)
        common = {"no_path": no_path, "a_rev": "HEAD", "b_rev": "workspace"}
        if name == "metrics":
            kinds = {"": dict(title="Metric", precision=precision or 5, round_digits=True)}
            kinds["exp_"] = dict(title="Metric", precision=precision or 5, on_empty_diff="diff not supported")
        else:
            kinds = {"": dict(title="Param", show_changes=False), "exp_": dict(title="Param", on_empty_diff="diff not supported")}
        for prefix, kw in kinds.items():
            result[prefix + name + "_table"] = printed(show_diff, diff, **kw, **common)
            result[prefix + name + "_md"] = printed(show_diff, diff, markdown=True, **kw, **common)
    return result


def main():
    ui.enable()
    r = random.Random(11)
    print("\n".join(json.dumps(case(r)) for _ in range(60)))


if __name__ == "__main__":
    main()
