"""Records how the real DVC writes the spec of each of its templates.

    python make_plots.py >plots.json      (with dvc 3.67.1 on PATH)
"""

import json
import math
import os
import subprocess
import tempfile


def curve(scale):
    return [
        {"step": i, "loss": round(scale / (1 + i / 8) + 0.03 * math.sin(i * 1.7), 4), "acc": round(1 - scale / (2 + i / 9), 4)}
        for i in range(0, 80, 4)
    ]


def write(scale):
    for name, factor in (("train.json", 1), ("test.json", 1.2)):
        with open(name, "w") as f:
            json.dump(curve(scale * factor), f)
    with open("classes.csv", "w") as f:
        names = ["bird", "cat", "dog", "a rather long name"]
        f.write("actual,predicted\n")
        for i in range(60):
            f.write(f"{names[i % 4]},{names[(i + (i % 5 == 0) * int(scale * 3)) % 4]}\n")
    with open("importance.csv", "w") as f:
        f.write("name,gain\n")
        for i in range(6):
            f.write(f"feature_{i},{round(scale / (1 + i * 5 % 7), 3)}\n")


def plots():
    xy = [{"linear": ["train.json", "test.json"]}, {"simple": ["train.json", "test.json"]}, {"smooth": ["train.json"]}]
    for entry in xy:
        ((name, files),) = entry.items()
        yield {name: {"template": name, "x": "step", "y": {file: "loss" for file in files}}}
    for name in "scatter", "scatter_jitter":
        yield {name: {"template": name, "x": "loss", "y": {"train.json": "acc"}}}
    for name in "confusion", "confusion_normalized":
        yield {name: {"template": name, "x": "predicted", "y": {"classes.csv": "actual"}}}
    for name in "bar_horizontal", "bar_horizontal_sorted":
        yield {name: {"template": name, "x": "gain", "y": {"importance.csv": "name"}}}
    yield {"columns": {"template": "simple", "x": "step", "y": {"train.json": ["loss", "acc"]}, "title": "Two <columns>"}}


def run(*args):
    return subprocess.run(args, check=True, capture_output=True, text=True).stdout


os.chdir(tempfile.mkdtemp())
os.environ["DVC_NO_ANALYTICS"] = "1"
run("git", "init", "-q")
run("dvc", "init", "-q")
with open("dvc.yaml", "w") as f:
    json.dump({"plots": list(plots())}, f)
write(1)
run("git", "add", "-A")
run("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "one")
write(0.8)
data = json.loads(run("dvc", "plots", "diff", "HEAD", "--json"))["data"]
print("[")
print(",\n".join(json.dumps({"id": name, "spec": entries[0]["content"]}) for name, entries in data.items()))
print("]")
