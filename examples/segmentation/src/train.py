"""The train stage: finds groups of customers in the encoding, and judges them.

Reads data/encoding.csv and data/prepared.csv. Writes data/labels.csv, one cluster
number per customer: 0 is the largest cluster, -1 means noise, a customer of no
cluster. Writes metrics.json; see scores.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np

from files import InputError, publish, read_numbers, run, write_csv

ENCODING = Path("data/encoding.csv")
PREPARED = Path("data/prepared.csv")
LABELS = Path("data/labels.csv")
METRICS = Path("metrics.json")

# ---- the models: each gives a label for every row of x -----------------------


def agglo(x, args):
    from sklearn.cluster import AgglomerativeClustering

    return AgglomerativeClustering(n_clusters=args.n_clusters, linkage=args.linkage).fit_predict(x)


def dbscan(x, args):
    """What is near differs between encodings, so eps is not given as a distance:
    it is such that this share of the rows has min_samples rows within it."""
    from sklearn.cluster import DBSCAN
    from sklearn.neighbors import NearestNeighbors

    # kneighbors counts the row itself, as DBSCAN does.
    distances, _ = NearestNeighbors(n_neighbors=min(args.min_samples, len(x))).fit(x).kneighbors(x)
    eps = float(np.quantile(distances[:, -1], args.eps_quantile))
    # Where that many rows are equal, the smallest distance that DBSCAN takes.
    return DBSCAN(eps=max(eps, np.finfo(float).tiny), min_samples=args.min_samples).fit_predict(x)


def hdbscan(x, args):
    from sklearn.cluster import HDBSCAN

    model = HDBSCAN(
        min_cluster_size=min(args.min_cluster_size, len(x)),
        min_samples=min(args.min_samples, len(x)),
        cluster_selection_method=args.cluster_selection_method,
        copy=True,
    )
    return model.fit_predict(x)


def kmeans(x, args):
    from sklearn.cluster import KMeans

    return KMeans(n_clusters=args.n_clusters, n_init=args.n_init, random_state=args.random_state).fit_predict(x)


# Each model's parameters: what a value must be, and its default.
MODELS = {
    agglo: {"n_clusters": (int, 5), "linkage": (["ward", "complete", "average", "single"], "ward")},
    dbscan: {"eps_quantile": (float, 0.5), "min_samples": (int, 20)},
    hdbscan: {"min_cluster_size": (int, 40), "min_samples": (int, 10), "cluster_selection_method": (["eom", "leaf"], "eom")},
    kmeans: {"n_clusters": (int, 5), "n_init": (int, 10), "random_state": (int, 42)},
}

# ---- what comes of them -------------------------------------------------------


def by_size(labels):
    """Numbers the clusters anew, the largest first: which number a library gives
    to a cluster says nothing."""
    found, counts = np.unique(labels[labels >= 0], return_counts=True)
    order = found[np.lexsort((found, -counts))]
    new = {int(old): i for i, old in enumerate(order)}
    return np.array([new.get(int(label), -1) for label in labels])


def scores(x, labels, rows, seed):
    """Gives the metrics of a clustering.

    The scores are taken on the prepared columns and not on the encoding, so that
    they compare runs with different encodings. They leave noise out. A score that
    is not defined, as with one cluster only, is not there.
    """
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

    inside = labels >= 0
    metrics = {
        "customers": len(labels),
        "n_clusters": len(np.unique(labels[inside])),
        "noise_share": float(np.mean(~inside)),
    }
    x, labels = x[inside], labels[inside]
    sample = np.arange(len(x))
    if rows < len(x):  # the silhouette takes time and memory by the square
        sample = np.sort(np.random.default_rng(seed).choice(len(x), size=rows, replace=False))
    for name, score, some in (
        ("silhouette", silhouette_score, sample),
        ("davies_bouldin", davies_bouldin_score, slice(None)),
        ("calinski_harabasz", calinski_harabasz_score, slice(None)),
    ):
        if 2 <= len(np.unique(labels[some])) < len(labels[some]):
            got = float(score(x[some], labels[some]))
            if math.isfinite(got):
                metrics[name] = got
    return {name: float(f"{got:.6g}") if isinstance(got, float) else got for name, got in metrics.items()}


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--score_rows", type=int, default=3000, help="rows that the silhouette is taken of, at most")
    parser.add_argument("--seed", type=int, default=42, help="of the choice of these rows")
    models = parser.add_subparsers(dest="model", required=True)
    for fit, parameters in MODELS.items():
        model = models.add_parser(fit.__name__)
        model.set_defaults(fit=fit)
        for name, (kind, default) in parameters.items():
            how = {"choices": kind} if isinstance(kind, list) else {"type": kind}
            model.add_argument(f"--{name}", default=default, **how)
    args = parser.parse_args(argv)
    for name, least in {"score_rows": 10, "n_clusters": 1, "n_init": 1, "min_samples": 1, "min_cluster_size": 2}.items():
        if getattr(args, name, least) < least:
            raise InputError(f"{name} {getattr(args, name)} is not at least {least}")
    if not 0 < getattr(args, "eps_quantile", 0.5) < 1:
        raise InputError(f"eps_quantile {args.eps_quantile} is not between 0 and 1")
    return args


def main(argv):
    args = parse_arguments(argv)
    _, encoding = read_numbers(ENCODING)
    _, prepared = read_numbers(PREPARED)
    if len(encoding) != len(prepared):
        raise InputError(f"{ENCODING} has {len(encoding)} rows and {PREPARED} has {len(prepared)}")
    if getattr(args, "n_clusters", 1) > len(encoding):
        raise InputError(f"n_clusters {args.n_clusters} is more than the {len(encoding)} customers")
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums depend on how they are shared out
        labels = by_size(args.fit(encoding, args))
        metrics = scores(prepared, labels, args.score_rows, args.seed)
    publish(
        {
            LABELS: lambda path: write_csv(path, ["cluster"], ([label] for label in labels)),
            METRICS: lambda path: path.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n"),
        }
    )
    print(f"train: {args.model}: " + ", ".join(f"{name} {got:.4g}" for name, got in metrics.items()))


if __name__ == "__main__":
    run("train", main)
