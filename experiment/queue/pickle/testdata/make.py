"""Writes the vectors of this folder with Python's own pickle module.

    python3 make.py

Each line of vectors.jsonl holds a value as JSON, with tuples as
{"tuple": [...]}, dictionaries as {"dict": [[key, value], ...]}, whole numbers
beyond 2**53 as {"int": "..."} and bytes as {"bytes": "hex"}, and its pickles by
protocol in hex.
"""

import json
import os
import pickle


def tagged(v):
    if isinstance(v, tuple):
        return {"tuple": [tagged(x) for x in v]}
    if isinstance(v, list):
        return [tagged(x) for x in v]
    if isinstance(v, dict):
        return {"dict": [[tagged(k), tagged(x)] for k, x in v.items()]}
    if isinstance(v, bytes):
        return {"bytes": v.hex()}
    if isinstance(v, int) and not isinstance(v, bool) and abs(v) > 2**53:
        return {"int": str(v)}
    return v


shared = ["again"]
repro = {
    "args": (),
    "kwargs": {
        "run_env": {
            "DVC_EXP_BASELINE_REV": "0" * 40,
            "DVC_EXP_NAME": "brisk-otter",
            "DVC_ROOT": "/repo",
        },
        "targets": ["train", "sub/dvc.yaml:eval"],
        "single_item": False,
        "force": True,
        "on_error": "fail",
    },
    "extra": 1,
}
values = [
    None, True, False, 0, 1, -1, 255, 256, 65535, 65536, 2**31 - 1, -(2**31), 2**31, 2**63 - 1, -(2**63), 2**63, -(2**70), 2**2100,
    0.0, 1.5, -1e-300, "", "text", "é ✔ 😀", "x" * 300, b"", b"\x00\xff", b"y" * 300,
    (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], [1, "a", None], {}, {"a": 1}, {"a": {"b": [{"c": ()}]}, "d": [1.0]},
    [shared, shared], repro, list(range(1100)),
]
here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "vectors.jsonl"), "w") as f:
    for v in values:
        # Protocols 0 and 1 write bytes by calling a function, which is not plain data.
        first = 3 if isinstance(v, bytes) else 0
        pickles = {p: pickle.dumps(v, protocol=p).hex() for p in range(first, 6)}
        f.write(json.dumps({"value": tagged(v), "pickles": pickles}) + "\n")
