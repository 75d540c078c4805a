"""What every stage shares: reading numbers, writing results whole or not at all."""

import csv
import math
import os
import sys
import tempfile
from pathlib import Path

import numpy as np


class InputError(Exception):
    """A file or parameter that cannot be used."""


def read_rows(path):
    """Gives the header and an iterator over (line, fields) of a CSV file."""
    try:
        # utf-8-sig: spreadsheets put a mark before the first column's name.
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text: {error.reason}") from error
    reader = csv.reader(text.splitlines())
    header = next(reader, None)
    if not header:
        raise InputError(f"{path}: is empty")

    def rows():
        for fields in reader:
            if not fields:  # a blank line
                continue
            if len(fields) != len(header):
                raise InputError(f"{path}:{reader.line_num}: has {len(fields)} fields, the header has {len(header)}")
            yield reader.line_num, fields

    return header, rows()


def number(path, line, name, text):
    """Gives a finite number of a field."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}:{line}: {name} is {text!r}, not a number")
    return value


def read_numbers(path):
    """Gives the column names and the matrix (rows, columns) of a file of another stage."""
    header, rows = read_rows(path)
    table = [[number(path, line, *pair) for pair in zip(header, fields)] for line, fields in rows]
    if not table:
        raise InputError(f"{path}: has a header but no rows")
    return header, np.array(table)


def write_csv(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_numbers(path, header, matrix):
    """Six digits: the last bits of a sum differ between machines, and a file
    that differs makes the next stages run again."""
    write_csv(path, header, ([f"{value:.6g}" for value in row] for row in matrix + 0.0))  # + 0.0: no -0


def publish(writers):
    """Writes every file under a temporary name, then renames them all."""
    pending = []
    try:
        for path, write in writers.items():
            path = Path(path)
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


def run(stage, main):
    """Runs a stage as a program; bad input ends it with one line that says why."""
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"error: {stage}: {error}")
