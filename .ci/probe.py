"""Compares what the probe of the conformance cases printed for ctrx with what it
printed for a real MLflow server.

    probe.py EXPECTED GOT

Both have a line for each request: its name, the HTTP status and the answer, cut
at a width. Names and statuses must be equal, answers must be equal but for what
differs between any two servers: ids, times, made-up names, the texts of SQL
errors, and the order in which Python prints a set. `differs` names the answers
that differ on purpose.
"""

import json
import re
import sys

# What follows a name and the status: ctrx serves no AI gateway, and with "true"
# MLflow's page shows the menu of one.
DIFFERS = {"server-info": lambda answer: re.sub(r'"gateway": (true|false)', '"gateway": "any"', answer)}

# The answer of a real server is the text of an SQL error, or has one in it.
SQL = re.compile(r"(?s)(Error: )?(\(raised as a result of |constraint failed: |\(sqlite3\.|The request body is not the JSON).*")


def normal(name, answer, experiment):
    answer = re.sub(r"[0-9a-f]{32}", "<id>", answer)
    answer = re.sub(r"probe1[0-9]{9}", "<experiment name>", answer)
    answer = re.sub(r"\b(1[0-9]{12})\b", lambda m: m[1] if m[1] in ("1700000000000", "1700000005000") else "<time>", answer)
    answer = re.sub(r'"[a-z]+-[a-z]+-[0-9]+"', '"<made-up name>"', answer)
    for before in ('"experiment_id": "', "mlflow-artifacts:/", "No such artifact: '"):
        answer = answer.replace(before + experiment, before + "<experiment>")
    answer = re.sub(r"\{'[^{}]*'\}", lambda m: "{" + ", ".join(sorted(m[0].strip("{}").split(", "))) + "}", answer)
    answer = re.sub(r"\{'[^{}]*$", "{<a set, cut>", answer)
    answer = SQL.sub("<sql>", answer)
    return DIFFERS.get(name, lambda a: a)(answer)


def whole(answer):
    try:
        json.loads(answer)
        return True
    except ValueError:
        return False


def equal(want, got):
    if want == got:
        return True
    if whole(want) and whole(got):
        return json.loads(want) == json.loads(got)
    # Cut at a width before ids and names were made equally long.
    n = min(len(want), len(got))
    return not whole(want) and not whole(got) and n > 100 and want[:n] == got[:n]


def read(path):
    lines = open(path, encoding="utf-8").read().splitlines()
    experiment = re.search(r'"experiment_id": "(\d+)"', lines[0])[1]
    out = []
    for line in lines:
        # "   search FILTER   200 n=1 MESSAGE" and "   note: value" have no JSON.
        m = re.match(r"(\s*\S.*?)\s+(\d{3}) (.*)$", line) or re.match(r"(   .*)()()$", line)
        name = re.sub(r"\s+", " ", m[1]).strip()
        out.append((normal("", name, experiment), m[2], normal(name, m[3].strip(), experiment)))
    return out


def main():
    want, got = read(sys.argv[1]), read(sys.argv[2])
    wrong = 0
    for (name, status, answer), (n, s, a) in zip(want, got):
        if (name, status) != (n, s) or not equal(answer, a):
            wrong += 1
            print(f"real {name} {status} {answer}\nctrx {n} {s} {a}\n")
    print(f"{len(got)} answers, {len(want)} expected, {wrong} differ")
    sys.exit(wrong > 0 or len(want) != len(got) or len(want) < 100)


main()
