"""Prints as JSON what the libraries say about a model file and a feature file:

    python check.py catboost|lightgbm MODEL FEATURES.csv

The predictions come from the library that made the model, the metrics and the
curve from scikit-learn.
"""

import json
import sys

import numpy as np
from sklearn import metrics
from sklearn.calibration import calibration_curve


def predict(kind, path, x):
    if kind == "lightgbm":
        import lightgbm

        return lightgbm.Booster(model_file=path).predict(x)
    import catboost

    model = catboost.CatBoostClassifier()
    model.load_model(path, format="json")
    return model.predict_proba(x)[:, 1]


kind, model, features = sys.argv[1:]
table = np.loadtxt(features, delimiter=",", skiprows=1)
y, p = table[:, 0].astype(int), predict(kind, model, table[:, 1:])
guess = (p > 0.5).astype(int)
observed, predicted = calibration_curve(y, p, n_bins=10)
json.dump(
    {
        "predictions": p.tolist(),
        "metrics": {
            "f1_score": metrics.f1_score(y, guess, zero_division=0),
            "log_loss": metrics.log_loss(y, p),
            "precision": metrics.precision_score(y, guess, zero_division=0),
            "recall": metrics.recall_score(y, guess, zero_division=0),
            "roc_auc_score": metrics.roc_auc_score(y, p),
        },
        "observed": observed.tolist(),
        "predicted": predicted.tolist(),
    },
    sys.stdout,
)
