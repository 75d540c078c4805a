"""The train stage: fits CatBoost or LightGBM to the encoded features.

Reads data/features/train.csv and test.csv (column click, then one column per
feature; see feature.go). Writes the model in the library's text form, which
`ctr evaluate` reads without Python; the loss after each tree as
plots/metrics/*.tsv in DVCLive's layout; and a SHAP summary picture.

The same features, parameters and requirements.txt give the same bytes, so that
the stages after this one run again only when the model has changed.
"""

import argparse
import csv
import json
import math
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

# The heavy libraries are imported where they are used: only one of the two
# trainers is needed, and bad input is told at once.

SHAP_ROWS = 1000  # enough for the picture; SHAP values of all rows take long


class InputError(Exception):
    """A file or parameter that cannot be used."""


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", choices=["catboost", "lightgbm"], default="catboost")
    parser.add_argument("--n-estimators", type=int, default=50)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--bagging-temperature", type=float, default=0.2, help="CatBoost only")
    parser.add_argument("--random-state", type=int, default=42)
    parser.add_argument("--features", type=Path, default=Path("data/features"), help="folder with train.csv and test.csv")
    parser.add_argument("--output", type=Path, default=Path("models/click.model"))
    parser.add_argument("--plots", type=Path, default=Path("plots"))
    args = parser.parse_args(argv)
    if args.n_estimators < 1:
        raise InputError(f"n_estimators {args.n_estimators} is not at least 1")
    if not 1 <= args.depth <= 16:
        raise InputError(f"depth {args.depth} is not between 1 and 16")
    if not 0 < args.learning_rate <= 1:
        raise InputError(f"learning_rate {args.learning_rate} is not above 0 and up to 1")
    if args.bagging_temperature < 0:
        raise InputError(f"bagging_temperature {args.bagging_temperature} is below 0")
    return args


def read_features(path):
    """Gives the feature names, the matrix (rows, features) and the labels."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            header = next(rows, None)
            if not header:
                raise InputError(f"{path}: is empty")
            if header[0] != "click" or len(header) < 2:
                raise InputError(f"{path}:1: is not a feature file: it begins with the column {header[0]!r}, not click")
            table = [numbers(path, rows.line_num, header, row) for row in rows]
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    if not table:
        raise InputError(f"{path}: has a header but no rows")
    table = np.array(table, dtype=np.float64)
    labels = table[:, 0].astype(int)
    if labels.min() == labels.max():
        raise InputError(f"{path}: all rows have click {labels[0]}: a model needs rows with and without a click")
    return header[1:], table[:, 1:], labels


def numbers(path, line, header, row):
    if len(row) != len(header):
        raise InputError(f"{path}:{line}: has {len(row)} fields, the header has {len(header)}")
    try:
        values = [float(text) for text in row]
    except ValueError as error:
        raise InputError(f"{path}:{line}: {error}") from error
    if not all(map(math.isfinite, values)):
        raise InputError(f"{path}:{line}: has a value that is not a finite number")
    if values[0] not in (0, 1):
        raise InputError(f"{path}:{line}: click is {row[0]}, neither 0 nor 1")
    return values


def train_catboost(args, names, train, test):
    """Gives a function that saves the model, the losses and the SHAP function."""
    import catboost

    pools = [catboost.Pool(x, y, feature_names=names) for x, y in (train, test)]
    model = catboost.CatBoostClassifier(
        n_estimators=args.n_estimators,
        learning_rate=args.learning_rate,
        depth=args.depth,
        bootstrap_type="Bayesian",  # the one that bagging_temperature belongs to
        bagging_temperature=args.bagging_temperature,
        random_state=args.random_state,
        thread_count=1,  # sums of floats depend on how they are shared out
        allow_writing_files=False,
        verbose=False,
    )
    # The test rows are there for the loss curve: they choose no tree.
    model.fit(pools[0], eval_set=pools[1], use_best_model=False)
    losses = model.get_evals_result()

    def save(path):
        model.save_model(str(path), format="json")
        tree = json.loads(path.read_text(encoding="utf-8"))
        for changing in ("model_guid", "train_finish_time"):
            tree["model_info"].pop(changing, None)
        path.write_text(json.dumps(tree, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def shap_values(x):
        values = model.get_feature_importance(catboost.Pool(x, feature_names=names), type="ShapValues", thread_count=1)
        return values[:, :-1]  # the last column is the expected value

    return save, {"train": losses["learn"]["Logloss"], "test": losses["validation"]["Logloss"]}, shap_values


def train_lightgbm(args, names, train, test):
    """As train_catboost."""
    import lightgbm

    data = lightgbm.Dataset(*train, feature_name=names)
    losses = {}
    model = lightgbm.train(
        {
            "objective": "binary",
            "metric": "binary_logloss",
            "learning_rate": args.learning_rate,
            "max_depth": args.depth,
            "num_leaves": 2**args.depth,
            "seed": args.random_state,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        },
        data,
        num_boost_round=args.n_estimators,
        valid_sets=[data, lightgbm.Dataset(*test, reference=data)],
        valid_names=["train", "test"],
        callbacks=[lightgbm.record_evaluation(losses)],
    )

    def save(path):
        path.write_text(model.model_to_string(), encoding="utf-8")

    def shap_values(x):
        return model.predict(x, pred_contrib=True)[:, :-1]

    return save, {name: losses[name]["binary_logloss"] for name in ("train", "test")}, shap_values


def save_losses(path, metric, losses):
    lines = [f"step\t{metric}"] + [f"{step}\t{loss!r}" for step, loss in enumerate(map(float, losses))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def save_shap_summary(path, names, x, shap_values):
    import matplotlib

    matplotlib.use("Agg")  # no window; before pyplot is imported
    import matplotlib.pyplot as plt
    import shap

    # The rows of both ends of the file, evenly: it is sorted by time.
    x = x[np.linspace(0, len(x) - 1, min(len(x), SHAP_ROWS)).astype(int)]
    np.random.seed(0)  # the picture shuffles its points
    shap.summary_plot(shap_values(x), x, feature_names=names, show=False, rng=np.random.default_rng(0))
    # No version in the file: a change of the picture means a change in it.
    plt.savefig(path, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})
    plt.close("all")


def publish(writers):
    """Writes every file under a temporary name, then renames them all."""
    pending = []
    try:
        for path, write in writers.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
            os.close(handle)
            pending.append((Path(name), path))
            write(Path(name))
            os.chmod(name, 0o644)  # mkstemp makes files that only the owner reads
        while pending:
            os.replace(*pending[0])
            pending.pop(0)
    finally:
        for name, _ in pending:
            name.unlink(missing_ok=True)


def main(argv):
    args = parse_arguments(argv)
    names, *train = read_features(args.features / "train.csv")
    test_names, *test = read_features(args.features / "test.csv")
    if names != test_names:
        raise InputError(f"{args.features}: train.csv and test.csv have different columns")
    fit = {"catboost": train_catboost, "lightgbm": train_lightgbm}[args.model]
    save, losses, shap_values = fit(args, names, train, test)
    publish(
        {
            args.output: save,
            args.plots / "metrics" / "train_log_loss.tsv": lambda path: save_losses(path, "train_log_loss", losses["train"]),
            args.plots / "metrics" / "test_log_loss.tsv": lambda path: save_losses(path, "test_log_loss", losses["test"]),
            args.plots / "shap_summary.png": lambda path: save_shap_summary(path, names, test[0], shap_values),
        }
    )
    print(
        f"train: {args.model}, {args.n_estimators} trees of {len(train[1])} rows: "
        f"log loss {losses['train'][-1]:.4f} in training, {losses['test'][-1]:.4f} in the test"
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"error: train: {error}")
