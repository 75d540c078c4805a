"""The dataset stage: the card holders of data/raw/Customer_Data.csv, or made-up ones.

Writes data/customers.csv: CUST_ID and the 17 numbers of each customer, a
missing number as an empty field.
"""

import argparse
from pathlib import Path

import numpy as np

from customers import COLUMNS, ID, WHOLE, read_customers
from files import InputError, publish, run, write_csv

RAW = Path("data/raw/Customer_Data.csv")
OUTPUT = Path("data/customers.csv")

# The kinds of customers that are made up. For one-off purchases, instalments
# and cash advances: in which share of the months, and what it comes to in such
# a month. full: share of the months in which the whole balance is paid.
KINDS = {
    #            share  balance limit     one-off       instalments   cash          full
    "transactor": (0.20, (120, 1.0), 4500, (0.25, 90), (0.65, 70), (0.00, 1), 0.75),
    "instalments": (0.22, (350, 1.1), 2500, (0.05, 60), (0.80, 45), (0.02, 200), 0.12),
    "cash": (0.25, (2200, 0.8), 4500, (0.03, 80), (0.03, 40), (0.35, 420), 0.02),
    "spender": (0.10, (2600, 0.9), 9500, (0.75, 260), (0.55, 140), (0.05, 350), 0.25),
    "dormant": (0.23, (60, 1.4), 2200, (0.06, 110), (0.01, 40), (0.02, 250), 0.05),
}
MISSING = {"CREDIT_LIMIT": 0.001, "MINIMUM_PAYMENTS": 0.035}  # shares; at least one


def generate(rows, seed):
    """Gives the ids and the matrix of made-up customers; the same for the same seed."""
    random = np.random.default_rng(seed)
    counts = np.floor(np.array([kind[0] for kind in KINDS.values()]) * rows).astype(int)
    counts[0] += rows - counts.sum()
    parts = [customers(random, count, *kind[1:]) for count, kind in zip(counts, KINDS.values())]
    table = random.permutation(np.concatenate(parts))
    for name, share in MISSING.items():
        gone = random.choice(rows, size=max(1, round(share * rows)), replace=False)
        table[gone, COLUMNS.index(name)] = np.nan
    return [f"C{10001 + i}" for i in range(rows)], table


def customers(random, n, balance, limit, oneoff, instalments, cash, full):
    """Gives n rows of one kind of customer."""

    def lognormal(median, sigma):
        return median * np.exp(sigma * random.standard_normal(n))

    def months(mean, certain=12.0):
        """Twelfths of a year, around a mean; certain: how alike customers are."""
        if mean <= 0:
            return np.zeros(n)
        return np.round(12 * random.beta(mean * certain, (1 - mean) * certain, n)) / 12

    frequency = {name: months(part[0]) for name, part in (("oneoff", oneoff), ("instalments", instalments), ("cash", cash))}
    amount = {
        name: 12 * frequency[name] * lognormal(part[1], 0.6)
        for name, part in (("oneoff", oneoff), ("instalments", instalments), ("cash", cash))
    }
    either = frequency["oneoff"] + frequency["instalments"] * (1 - frequency["oneoff"])
    purchases = amount["oneoff"] + amount["instalments"]
    owed = lognormal(*balance)
    columns = {
        "BALANCE": owed,
        "BALANCE_FREQUENCY": np.maximum(months(0.55 if balance[0] < 100 else 0.95), 1 / 12),
        "PURCHASES": purchases,
        "ONEOFF_PURCHASES": amount["oneoff"],
        "INSTALLMENTS_PURCHASES": amount["instalments"],
        "CASH_ADVANCE": amount["cash"],
        "PURCHASES_FREQUENCY": np.round(12 * either) / 12,
        "ONEOFF_PURCHASES_FREQUENCY": frequency["oneoff"],
        "PURCHASES_INSTALLMENTS_FREQUENCY": frequency["instalments"],
        "CASH_ADVANCE_FREQUENCY": frequency["cash"],
        "CASH_ADVANCE_TRX": np.round(12 * frequency["cash"]) + random.poisson(18 * frequency["cash"]),
        "PURCHASES_TRX": np.round(12 * either) + random.poisson(20 * either),
        "CREDIT_LIMIT": np.maximum(50 * np.round(lognormal(limit, 0.5) / 50), 50),
        "PAYMENTS": (purchases + amount["cash"] + 0.3 * owed) * lognormal(0.9, 0.25),
        "MINIMUM_PAYMENTS": 20 + 0.4 * owed * lognormal(1, 0.4),
        "PRC_FULL_PAYMENT": months(full),
        "TENURE": np.where(random.random(n) < 0.85, 12, random.integers(6, 12, n)),
    }
    return np.column_stack([columns[name] for name in COLUMNS])


def row(customer, values):
    fields = [customer]
    for name, got in zip(COLUMNS, values):
        if np.isnan(got):
            fields.append("")
        elif name in WHOLE and got == round(got):
            fields.append(str(int(got)))
        else:
            fields.append(repr(round(float(got), 6)))
    return fields


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--source", choices=["auto", "generated", "cardholders"], default="auto", help="auto: the file where it is")
    parser.add_argument("--rows", type=int, default=2000, help="how many customers to make up")
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args(argv)
    if args.source == "cardholders" or args.source == "auto" and RAW.exists():
        ids, table = read_customers(RAW)
        source = RAW.as_posix()
    else:
        if args.rows < 100:
            raise InputError(f"rows {args.rows} is not at least 100")
        if args.seed < 0:
            raise InputError(f"seed {args.seed} is below 0")
        ids, table = generate(args.rows, args.seed)
        source = "made up"
    publish({OUTPUT: lambda path: write_csv(path, [ID, *COLUMNS], map(row, ids, table))})
    print(f"dataset: {source}: {len(ids)} customers, {int(np.isnan(table).sum())} missing values")


if __name__ == "__main__":
    run("dataset", main)
