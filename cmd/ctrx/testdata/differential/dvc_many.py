"""Runs the real dvc for many small projects in one process, because starting it
takes longer than a small pipeline does.

Standard input has one JSON request a line, {"dir": ..., "args": [...]}; each is
answered by one line on standard output: {"code": ..., "output": ...}. With
"quiet": true the output is standard output alone.
"""

import json
import os
import sys
import tempfile

from dvc.cli import main

requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
devnull = os.open(os.devnull, os.O_RDWR)
os.dup2(devnull, 0)

for line in requests:
    request = json.loads(line)
    os.chdir(request["dir"])
    with tempfile.TemporaryFile() as output:
        os.dup2(output.fileno(), 1)
        os.dup2(devnull if request.get("quiet") else output.fileno(), 2)
        code = main(request["args"])
        sys.stdout.flush()
        sys.stderr.flush()
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    answers.write(json.dumps({"code": code, "output": text}) + "\n")
    answers.flush()
