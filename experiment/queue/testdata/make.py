"""Writes dvc.json with what the real dvc (3.67.1) makes of queued experiments.

    python3 make.py

It queues experiments with dvc in a repository of its own, runs them, and keeps
the messages, the lines of the log, the arguments (repro.dat, in hex), and the
files about the runs.
"""

import glob
import json
import os
import shutil
import subprocess
import tempfile

here = os.path.dirname(os.path.abspath(__file__))
root = os.path.join(tempfile.gettempdir(), "ctrx-vectors")
shutil.rmtree(root, ignore_errors=True)
os.makedirs(root)
env = dict(
    os.environ, DVC_NO_ANALYTICS="1", GIT_AUTHOR_NAME="t", GIT_AUTHOR_EMAIL="t@e", GIT_COMMITTER_NAME="t", GIT_COMMITTER_EMAIL="t@e",
    GIT_CONFIG_GLOBAL=os.devnull, DVC_SITE_CACHE_DIR=os.path.join(root, "..", "ctrx-vectors-site"),
)


def run(*args):
    return subprocess.run(args, cwd=root, env=env, check=True, capture_output=True, text=True).stdout


def read(name, binary=False):
    with open(os.path.join(root, name), "rb" if binary else "r") as f:
        return f.read()


def write(name, text):
    with open(os.path.join(root, name), "w") as f:
        f.write(text)


run("git", "init", "-q", "-b", "main")
run("git", "config", "user.name", "t")
run("git", "config", "user.email", "t@example.com")
run("dvc", "init", "-q")
write("params.yaml", "lr: 1\nname: a\n")
write("dvc.yaml", "stages:\n  s:\n    cmd: '! grep 1000 params.yaml && cp params.yaml out'\n    params: [lr]\n    outs: [out]\n")
write("extra", "x\n")
run("git", "add", "-A", ".dvc", "params.yaml", "dvc.yaml")
run("git", "commit", "-qm", "base")
calls = [
    ["-n", "plain", "-S", "lr=2"],
    ["-n", "sweep", "-S", "lr=3,4", "-S", "name=it,b"],
    ["-n", "flags", "-S", "lr=5", "-f", "-s", "-k", "--downstream", "--force-downstream", "--pull", "--allow-missing", "s"],
    ["-n", "more", "-S", "lr=6", "-p", "-R", "--ignore-errors", "-C", "extra", "-m", "a message: é", "."],
    ["-n", "failing", "-S", "lr=1000"],
]
printed = [run("dvc", "exp", "run", "--queue", *c) for c in calls]
log = read(".git/logs/refs/exps/celery/stash").splitlines()
revs = [line.split()[1] for line in log]
messages = {os.path.basename(n): json.loads(read(n)) for n in glob.glob(root + "/.dvc/tmp/exps/celery/broker/in/*.msg")}
args = {}
commits = {}
for rev in revs:
    data = subprocess.run(["git", "cat-file", "blob", rev + ":.dvc/tmp/repro.dat"], cwd=root, check=True, capture_output=True).stdout
    args[rev] = data.hex()
    commits[rev] = run("git", "log", "-1", "--format=%s|%P", rev).strip()
run("dvc", "exp", "run", "--run-all")
failed = read(".git/logs/refs/exps/celery/failed").splitlines()
runs = {}
for rev in revs:
    runs[rev] = {s: json.loads(read(f".dvc/tmp/exps/run/{rev}/{rev}.{s}")) for s in ("run", "json")}
results = [json.loads(read(n)) for n in sorted(glob.glob(root + "/.dvc/tmp/exps/celery/result/*"))]
with open(os.path.join(here, "dvc.json"), "w") as f:
    json.dump({"calls": calls, "printed": printed, "log": log, "failed": failed, "messages": messages, "args": args, "commits": commits,
               "runs": runs, "results": results}, f, indent=1, sort_keys=True)
    f.write("\n")
subprocess.run(["dvc", "queue", "stop", "--kill"], cwd=root, env=env)
