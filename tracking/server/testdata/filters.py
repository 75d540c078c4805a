"""Asks a real MLflow what it makes of search filters:

    python3 filters.py > filters-3.17.2.jsonl

A line has the filter, and the names of the runs that it finds, newest first, or
the message of the refusal. TestFilterLikeMLflow makes the same runs and asks
the same.
"""

import json
import os
import tempfile

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

PARAMS = {"a": {"lr": "0.1", "a b": "x", "empty": "", "q": "it's"}, "b": {"lr": "0.2", "big": "LoNg 100%_x"}, "c": {}}
METRICS = {"a": {"auc": 0.7, "my-m/x": -1e-3, "n n": 5.0}, "b": {"auc": 0.8, "zero": 0.0}, "c": {"auc": float("nan")}}
TAGS = {"a": {"team": "Red", "mlflow.user": "Me"}, "b": {"team": "blue", "x.y": "1"}, "c": {"only": "c"}}


def expressions():
    keys = ["params.lr", "params.`a b`", 'params."a b"', "param.lr", "parameters.lr", "parameter.nope", "metrics.auc", "metric.auc", "metrics.`n n`", "metrics.`my-m/x`",
            "metrics.my-m/x", "tags.team", "tag.`mlflow.user`", "tags.mlflow.user", "tags.x.y", "attributes.status", "attribute.run_name", "attr.run_id", "run.user_id",
            "status", "run_name", "`run name`", "attributes.`Run Name`", "start_time", "attributes.end_time", "created", "artifact_uri", "user_id",
            "dataset.name", "datasets.digest", "dataset.context", "dataset.size", "foo.bar", "bogus", "attributes.bogus", "experiment_id", "metrics.", "params", "'lr'", "`lr`"]
    values = ["'0.1'", '"x"', "0.7", "-1", "1e-3", "'Red'", "''", "'it''s'", "FINISHED", "'FINISHED'", "NULL", "()", "('a', 'b')", "%", "'%e%'"]
    for i, key in enumerate(keys):
        for j, op in enumerate(["=", "!=", ">", "<=", "LIKE", "ILIKE", "IN", "IS NULL", "NOT LIKE"]):
            if op == "IS NULL":
                yield f"{key} {op}"
            elif op == "IN":
                yield f"{key} IN ('0.1', 'a')"
            else:
                yield f"{key} {op} {values[(i * 7 + j * 3) % len(values)]}"
    yield from [
        "", " ", "params.lr = '0.1' AND metrics.auc > 0.5", "params.lr='0.1'and metrics.auc>0.5", "params.lr = '0.1' and and metrics.auc > 0", "AND", "and params.lr = '0.1'",
        "params.lr = '0.1' AND", "params.lr = '0.1' OR metrics.auc > 1", "NOT params.lr = '0.1'", "(params.lr = '0.1')", "params.lr = '0.1';", "params.lr = '0.1' params.lr = '0.2'",
        "params.lr = '0.1' AND tags.team = 'Red' AND attributes.run_name = 'a' AND dataset.name = 'ds'", "params.lr == '0.1'", "params.lr <> '0.1'", "metrics.auc = = 1", "= '1'", "params.lr =",
        "params.lr", "params.lr '0.1'", "'0.1' = params.lr", "0.7 < metrics.auc", "metrics.auc > 0.1 AND metrics.auc < 0.75", "metrics.auc > .5", "metrics.auc > 5e-1", "metrics.auc > +0.5",
        "metrics.auc > 1.", "metrics.auc > 0x1", "metrics.auc > 1e", "metrics.auc > -", "metrics.auc > inf", "metrics.auc > 'NaN'", "metrics.auc > NaN", "metrics.auc != 0", "metrics.auc = 0",
        "metrics.zero = 0", "metrics.zero = -0", "metrics.auc IN (0.7)", "params.lr IN ('0.1')", "run_id IN ()", "run_id IN ('a')", "run_id IN ('a',)", "run_id IN ('a' 'b')", "run_id IN (a)",
        "run_id IN ('a'", "run_id NOT IN ('a')", "run_id in('a')", "status IN ('FINISHED')", "dataset.name IN ('ds', 'x')", "dataset.name NOT IN ('x')", "tags.team IN ('Red')",
        "params.lr IS NULL", "params.lr IS NOT NULL", "params.lr is not null", "tags.nope IS NULL", "params.lr IS 'x'", "params.lr IS", "params.lr NOT NULL", "params.lr = NULL",
        "params.q = 'it''s'", "params.q = \"it's\"", "params.q = 'it\\'s'", "params.lr = '0.1", "params.lr = 0.1'", "params.lr = `0.1`", "params.`lr = '0.1'", "params.`a b = 'x'", "params.a b = 'x'",
        "params.big LIKE '%100\\%%'", "params.big LIKE '%100%'", "params.big LIKE 'LoNg______x'", "params.big ILIKE 'long%'", "params.big LIKE 'long%'", "params.empty = ''", "params.empty LIKE '%'",
        "attributes.status != 'RUNNING'", "attributes.start_time > 1001", "attributes.start_time > '1001'", "attributes.start_time LIKE '1%'", "created <= 1001", "Created = 1001", "end_time > 0", "end_time != 7",
        "dataset.context = 'training'", "dataset.digest = 'd1' AND dataset.context = 'test'", "dataset.context LIKE 'train%'", "dataset.name != 'ds'", "datasets.`name` = 'ds'",
        "/* x */ params.lr = '0.1'", "params.lr = '0.1' -- x", "params.lr = '0.1' # x", "select * from runs", "params.lr BETWEEN '0' AND '1'", "params.lr = '0.1' AND 1 = 1", "1 = 1", "tags.team = true",
        "PARAMS.lr = '0.1'", "Params.lr = '0.1'", "params .lr = '0.1'", "params. lr = '0.1'", "params.lr\t=\n'0.1'", "params.LR = '0.1'", "metrics.AUC > 0", "tags.\u00fc = 'x'", "params.lr = '\u00fc'",
        "params.lr = '0.1', params.lr = '0.2'", "params.lr = ('0.1')", "params.lr = '0.1' AND ()", "params.lr = '0.1'AND params.lr = '0.1'", "`params`.lr = '0.1'", "`params`.`lr` = '0.1'", '"params"."lr" = \'0.1\'',
        "params.'lr' = '0.1'", "params.lr ! '0.1'", "params.lr !== '0.1'", "params.lr => '0.1'", "metrics.auc >= 0.7", "metrics.auc =< 0.7", "metrics.auc > 1e999", "start_time > 99999999999999999999",
        "start_time > 1000.5", "metrics.auc > 0.5 AND tags.team != 'Red'", "tags.team != 'zzz'", "params.lr != 'zzz'", "run_name != 'a'", "run_name = 'b'", "run_name LIKE '_'", "run_name ILIKE 'A'",
    ]


def main():
    with tempfile.TemporaryDirectory() as d:
        store = SqlAlchemyStore("sqlite:///" + os.path.join(d, "mlflow.db"), os.path.join(d, "artifacts"))
        for i, name in enumerate("abc"):
            run = store.create_run("0", "me", 1000 + i, [], name)
            id = run.info.run_id
            store.log_batch(id, [Metric(k, v, 1, 0) for k, v in METRICS[name].items()], [Param(k, v) for k, v in PARAMS[name].items()], [RunTag(k, v) for k, v in TAGS[name].items()])
            if name == "b":
                store.update_run_info(id, RunStatus.FINISHED, 5000, None)
            if name == "a":
                store.log_inputs(id, [DatasetInput(Dataset("ds", "d1", "l", "s"), [InputTag("mlflow.data.context", "training")])])
        seen = set()
        for text in expressions():
            if text in seen:
                continue
            seen.add(text)
            out = {"filter": text}
            try:
                out["runs"] = " ".join(r.info.run_name for r in store.search_runs(["0"], text, ViewType.ACTIVE_ONLY, 100, None, None))
            except MlflowException as e:
                out["error"] = e.message
            except Exception as e:  # a real server answers 500
                out["crash"] = type(e).__name__
            print(json.dumps(out))


main()
