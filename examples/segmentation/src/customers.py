"""The table of card holders: its columns, and reading it."""

import numpy as np

from files import InputError, number, read_rows

ID = "CUST_ID"

# Amounts of money and counts have no upper bound and a long tail. Frequencies
# and shares lie between 0 and 1 (a few of the real ones a little above).
UNBOUNDED = [
    "BALANCE",
    "PURCHASES",
    "ONEOFF_PURCHASES",
    "INSTALLMENTS_PURCHASES",
    "CASH_ADVANCE",
    "CASH_ADVANCE_TRX",
    "PURCHASES_TRX",
    "CREDIT_LIMIT",
    "PAYMENTS",
    "MINIMUM_PAYMENTS",
]

# In the order of the file.
COLUMNS = [
    "BALANCE",
    "BALANCE_FREQUENCY",
    "PURCHASES",
    "ONEOFF_PURCHASES",
    "INSTALLMENTS_PURCHASES",
    "CASH_ADVANCE",
    "PURCHASES_FREQUENCY",
    "ONEOFF_PURCHASES_FREQUENCY",
    "PURCHASES_INSTALLMENTS_FREQUENCY",
    "CASH_ADVANCE_FREQUENCY",
    "CASH_ADVANCE_TRX",
    "PURCHASES_TRX",
    "CREDIT_LIMIT",
    "PAYMENTS",
    "MINIMUM_PAYMENTS",
    "PRC_FULL_PAYMENT",
    "TENURE",
]

# In these columns every number is whole.
WHOLE = ["CASH_ADVANCE_TRX", "PURCHASES_TRX", "TENURE"]


def read_customers(path):
    """Gives the ids and the matrix (customers, COLUMNS); a missing value is NaN."""
    header, rows = read_rows(path)
    missing = [name for name in [ID, *COLUMNS] if name not in header]
    if missing:
        raise InputError(f"{path}:1: has no column {', '.join(missing)}")
    places = [header.index(name) for name in COLUMNS]
    ids, table, seen = [], [], {}
    for line, fields in rows:
        customer = fields[header.index(ID)]
        if not customer:
            raise InputError(f"{path}:{line}: has no {ID}")
        if customer in seen:
            raise InputError(f"{path}:{line}: {ID} {customer} was on line {seen[customer]} already")
        seen[customer] = line
        ids.append(customer)
        table.append([value(path, line, name, fields[place].strip()) for name, place in zip(COLUMNS, places)])
    if len(table) < 10:
        raise InputError(f"{path}: has {len(table)} customers; at least 10 are needed")
    return ids, np.array(table)


def value(path, line, name, text):
    if not text:
        return np.nan
    got = number(path, line, name, text)
    if got < 0:
        raise InputError(f"{path}:{line}: {name} is {text}, below 0")
    return got
