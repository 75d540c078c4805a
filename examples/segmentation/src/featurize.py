"""The featurize stage: turns the columns into fewer numbers, by PCA or an autoencoder.

Reads data/prepared.csv. Writes data/encoding.csv, one row per customer, and
featurize.json with reconstruction_error: the mean squared difference between the
columns and what can be got back from the encoding, as a share of their variance.
It is the same measure for both, so that they can be compared.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np

from files import InputError, publish, read_numbers, run, write_numbers

PREPARED = Path("data/prepared.csv")
OUTPUT = Path("data/encoding.csv")
METRICS = Path("featurize.json")


def pca(table, args):
    """Gives the encoding and what is got back from it."""
    from sklearn.decomposition import PCA

    model = PCA(n_components=args.encoding_dim, svd_solver="full")
    encoding = model.fit_transform(table)
    return encoding, model.inverse_transform(encoding)


def autoencoder(table, args):
    """As pca. A network learns to give its input back through a narrow layer; what
    that layer says about a customer is the encoding."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(
        hidden_layer_sizes=(args.hidden, args.encoding_dim, args.hidden),
        activation="tanh",
        learning_rate_init=args.learning_rate,
        max_iter=args.epochs,
        random_state=args.random_state,
    )
    with warnings.catch_warnings():
        # It stops after the epochs that were asked for: that is no failure.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(table, table)
    encoding = table
    for weights, offsets in list(zip(model.coefs_, model.intercepts_))[:2]:  # up to the narrow layer
        encoding = np.tanh(encoding @ weights + offsets)
    return encoding, model.predict(table)


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    methods = parser.add_subparsers(dest="method", required=True)
    for name, encode in (("pca", pca), ("autoencoder", autoencoder)):
        method = methods.add_parser(name)
        method.set_defaults(encode=encode)
        method.add_argument("--encoding_dim", type=int, default=8, help="numbers per customer")
        if name == "autoencoder":
            method.add_argument("--hidden", type=int, default=32, help="width of the layers around the narrow one")
            method.add_argument("--epochs", type=int, default=60, help="at most")
            method.add_argument("--learning_rate", type=float, default=0.003)
            method.add_argument("--random_state", type=int, default=42)
    args = parser.parse_args(argv)
    if args.encoding_dim < 1:
        raise InputError(f"encoding_dim {args.encoding_dim} is not at least 1")
    if args.method == "autoencoder":
        if args.hidden < 1 or args.epochs < 1:
            raise InputError(f"hidden {args.hidden} or epochs {args.epochs} is not at least 1")
        if not 0 < args.learning_rate <= 1:
            raise InputError(f"learning_rate {args.learning_rate} is not above 0 and up to 1")
    return args


def main(argv):
    args = parse_arguments(argv)
    names, table = read_numbers(PREPARED)
    if args.encoding_dim > min(table.shape):
        raise InputError(f"encoding_dim {args.encoding_dim} is more than the {min(table.shape)} that {PREPARED} has")
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums depend on how they are shared out
        encoding, back = args.encode(table, args)
    variance = np.mean((table - table.mean(axis=0)) ** 2)
    error = float(np.mean((table - back) ** 2) / variance) if variance > 0 else 0.0
    if not np.isfinite(encoding).all() or not np.isfinite(error):
        raise InputError(f"{args.method} went astray: try a lower learning_rate")
    columns = [f"e{i + 1}" for i in range(args.encoding_dim)]
    publish(
        {
            OUTPUT: lambda path: write_numbers(path, columns, encoding),
            METRICS: lambda path: path.write_text(json.dumps({"reconstruction_error": float(f"{error:.6g}")}, indent=2) + "\n"),
        }
    )
    print(f"featurize: {args.method}: {len(names)} columns in {args.encoding_dim} numbers, reconstruction error {error:.4f}")


if __name__ == "__main__":
    run("featurize", main)
