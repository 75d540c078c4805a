"""The preprocess stage: fills gaps, pulls in long tails, brings columns to one scale.

Reads data/customers.csv. Writes data/prepared.csv: the 17 columns without
CUST_ID, one row per customer in the same order.
"""

import argparse
from pathlib import Path

import numpy as np

from customers import COLUMNS, UNBOUNDED, read_customers
from files import InputError, publish, run, write_numbers

CUSTOMERS = Path("data/customers.csv")
OUTPUT = Path("data/prepared.csv")


def prepare(table, impute, transform, scale):
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import MinMaxScaler, PowerTransformer, RobustScaler, StandardScaler

    table = SimpleImputer(strategy=impute).fit_transform(table)
    tails = [COLUMNS.index(name) for name in UNBOUNDED]
    if transform == "log":
        table[:, tails] = np.log1p(table[:, tails])
    elif transform == "power":
        table[:, tails] = PowerTransformer().fit_transform(table[:, tails])
    scaler = {"standard": StandardScaler, "robust": RobustScaler, "minmax": MinMaxScaler}[scale]()
    return scaler.fit_transform(table)


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--impute", choices=["median", "mean", "most_frequent"], default="median")
    parser.add_argument("--transform", choices=["log", "power", "none"], default="log", help="of amounts and counts")
    parser.add_argument("--scale", choices=["standard", "robust", "minmax"], default="standard")
    args = parser.parse_args(argv)
    _, table = read_customers(CUSTOMERS)
    empty = [name for name, column in zip(COLUMNS, table.T) if np.isnan(column).all()]
    if empty:
        raise InputError(f"{CUSTOMERS}: the column {empty[0]} has no value at all")
    prepared = prepare(table, args.impute, args.transform, args.scale)
    publish({OUTPUT: lambda path: write_numbers(path, COLUMNS, prepared)})
    print(f"preprocess: {len(prepared)} customers, {prepared.shape[1]} columns, {int(np.isnan(table).sum())} gaps filled")


if __name__ == "__main__":
    run("preprocess", main)
