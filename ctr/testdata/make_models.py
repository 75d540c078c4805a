"""Makes the model files of this folder and, in vectors.json, what the libraries
predict with them. Run in this folder with catboost, lightgbm, numpy and pandas:

    python make_models.py

The data are small and odd on purpose: missing values (null in vectors.json),
zeros, values on a border, and a feature that says nothing.
"""

import json
from pathlib import Path

import catboost
import lightgbm
import numpy as np

NAMES = ["site", "hour", "constant", "rare"]


def table(seed, rows):
    random = np.random.default_rng(seed)
    x = np.column_stack(
        [
            random.random(rows),
            np.round(random.random(rows), 1),
            np.full(rows, 0.25),
            np.where(random.random(rows) < 0.3, random.normal(size=rows), 0),
        ]
    )
    x[random.random(rows) < 0.1, 1] = np.nan
    score = 2 * x[:, 0] - np.nan_to_num(x[:, 1], nan=-1) + x[:, 3]
    return x, (score + random.normal(scale=0.5, size=rows) > 0.6).astype(int)


def catboost_model(x, y, **options):
    model = catboost.CatBoostClassifier(
        n_estimators=6, depth=3, learning_rate=0.3, random_state=1, thread_count=1,
        verbose=False, allow_writing_files=False, **options,
    )
    return model.fit(catboost.Pool(x, y, feature_names=NAMES))


def lightgbm_model(x, y, **options):
    settings = {
        "objective": "binary", "num_leaves": 5, "min_data_in_leaf": 5, "learning_rate": 0.3,
        "seed": 1, "deterministic": True, "num_threads": 1, "verbosity": -1,
    } | options
    return lightgbm.train(settings, lightgbm.Dataset(x, y, feature_name=NAMES), 6)


def main():
    x, y = table(0, 300)
    probe, _ = table(1, 40)
    probe[0] = np.nan
    probe[1] = 0
    probe[2:6, 3] = [np.nan, -0.0, 1e-36, -1e300]
    models = {
        # Missing values answer every question with no, or with yes.
        "nan_min.catboost.json": catboost_model(x, y),
        "nan_max.catboost.json": catboost_model(x, y, nan_mode="Max", boost_from_average=True),
        "default.lightgbm.txt": lightgbm_model(x, y),
        "zero_missing.lightgbm.txt": lightgbm_model(x, y, zero_as_missing=True, sigmoid=0.7),
        "no_missing.lightgbm.txt": lightgbm_model(x, y, use_missing=False),
        # Too few rows for a split: trees of one leaf.
        "one_leaf.lightgbm.txt": lightgbm_model(x[:8], y[:8]),
    }
    # Exactly on a border, where "greater" and "at least" differ.
    probe[6, 0] = models["nan_min.catboost.json"].get_borders()[0][0]
    trees = models["default.lightgbm.txt"].trees_to_dataframe()
    probe[7, 0] = trees[trees.split_feature == "site"].threshold.iloc[0]
    predictions = {}
    for name, model in models.items():
        if name.endswith(".json"):
            model.save_model(name, format="json")
            tree = json.loads(Path(name).read_text())
            tree["model_info"] = {"params": {"loss_function": tree["model_info"]["params"]["loss_function"]}}
            Path(name).write_text(json.dumps(tree, indent=1) + "\n")
            predictions[name] = model.predict_proba(probe)[:, 1].tolist()
        else:
            model.save_model(name)
            predictions[name] = model.predict(probe).tolist()
    rows = [[None if np.isnan(v) else v for v in row] for row in probe.tolist()]
    Path("vectors.json").write_text(json.dumps({"features": NAMES, "rows": rows, "predictions": predictions}, indent=1) + "\n")


if __name__ == "__main__":
    main()
