"""The visualize stage: pictures and tables of the groups that were found.

Reads data/customers.csv, data/encoding.csv and data/labels.csv. Writes
data/segments.csv (CUST_ID, cluster), plots/clusters.csv (size and mean of each
column per cluster), plots/clusters.png (a map of the customers) and
plots/profiles.png (in which columns a cluster is above or below the others).
"""

from pathlib import Path

import numpy as np

from customers import COLUMNS, ID, UNBOUNDED, read_customers
from files import InputError, publish, read_numbers, run, write_csv

CUSTOMERS = Path("data/customers.csv")
ENCODING = Path("data/encoding.csv")
LABELS = Path("data/labels.csv")
SEGMENTS = Path("data/segments.csv")
PLOTS = Path("plots")

LEGEND = 12  # clusters that have a name in the map


def name_of(cluster):
    return "noise" if cluster < 0 else str(cluster)


def means(table):
    """Gives the mean of each column over what is there; NaN where nothing is."""
    there = ~np.isnan(table)
    counts = there.sum(axis=0)
    sums = np.where(there, table, 0).sum(axis=0)
    return np.divide(sums, counts, out=np.full(table.shape[1], np.nan), where=counts > 0)


def sizes(table, labels, clusters):
    """Gives the rows of plots/clusters.csv."""
    for cluster in clusters:
        inside = labels == cluster
        mean = ["" if np.isnan(value) else f"{value:.6g}" for value in means(table[inside])]
        yield [name_of(cluster), int(inside.sum()), f"{inside.mean():.6g}", *mean]


def plane(x):
    """Gives each row a place in the plane in which the rows differ most."""
    x = x - x.mean(axis=0)
    _, _, axes = np.linalg.svd(x, full_matrices=False)
    axes = axes[:2]
    # Without this the picture may be a mirror image on another machine.
    axes = axes * np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    places = x @ axes.T
    return places if places.shape[1] == 2 else np.column_stack([places, np.zeros(len(x))])


def profiles(table, labels, clusters):
    """Gives the matrix (clusters, columns): how far the mean of a cluster is from
    the mean of all customers, in standard deviations, of logarithms where a
    column has a long tail."""
    table = table.copy()
    tails = [COLUMNS.index(name) for name in UNBOUNDED]
    table[:, tails] = np.log1p(table[:, tails])
    centre = means(table)
    spread = np.sqrt(means((table - centre) ** 2))
    spread[spread == 0] = 1
    return np.array([(means(table[labels == cluster]) - centre) / spread for cluster in clusters])


def save(plt, figure, path):
    # No version in the file: a change of the picture means a change in it.
    figure.savefig(path, format="png", dpi=100, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def draw_map(plt, path, places, labels, clusters):
    figure, axes = plt.subplots(figsize=(7, 5.5))
    colours = plt.get_cmap("tab20" if len(clusters) > 10 else "tab10")
    for cluster in sorted(clusters):  # noise first: the others lie over it
        inside = labels == cluster
        axes.scatter(
            places[inside, 0],
            places[inside, 1],
            s=6,
            linewidths=0,
            color="lightgrey" if cluster < 0 else colours(cluster % colours.N),
            label=name_of(cluster) if cluster < LEGEND else None,
        )
    axes.set_title(f"{len(labels)} customers, {sum(cluster >= 0 for cluster in clusters)} clusters")
    axes.set_xlabel("first principal component of the encoding")
    axes.set_ylabel("second")
    axes.legend(title="cluster", markerscale=3, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    save(plt, figure, path)


def draw_profiles(plt, path, matrix, clusters):
    figure, axes = plt.subplots(figsize=(2.5 + 0.45 * len(clusters), 5.5))
    image = axes.imshow(matrix.T, cmap="RdBu_r", vmin=-2, vmax=2, aspect="auto")
    axes.set_xticks(range(len(clusters)), [name_of(cluster) for cluster in clusters])
    axes.set_yticks(range(len(COLUMNS)), [name.lower() for name in COLUMNS], fontsize="small")
    axes.set_xlabel("cluster")
    figure.colorbar(image, ax=axes, label="standard deviations from the mean")
    save(plt, figure, path)


def main(argv):
    if argv:
        raise InputError(f"takes no arguments, got {argv[0]!r}")
    ids, table = read_customers(CUSTOMERS)
    _, encoding = read_numbers(ENCODING)
    _, labels = read_numbers(LABELS)
    if not len(ids) == len(encoding) == len(labels):
        raise InputError(f"{CUSTOMERS}, {ENCODING} and {LABELS} have {len(ids)}, {len(encoding)} and {len(labels)} rows")
    labels = labels[:, 0].astype(int)
    clusters = sorted({int(label) for label in labels}, key=lambda cluster: (cluster < 0, cluster))

    import matplotlib

    matplotlib.use("Agg")  # no window; before pyplot is imported
    import matplotlib.pyplot as plt

    publish(
        {
            SEGMENTS: lambda path: write_csv(path, [ID, "cluster"], zip(ids, labels)),
            PLOTS / "clusters.csv": lambda path: write_csv(
                path, ["cluster", "customers", "share", *COLUMNS], sizes(table, labels, clusters)
            ),
            PLOTS / "clusters.png": lambda path: draw_map(plt, path, plane(encoding), labels, clusters),
            PLOTS / "profiles.png": lambda path: draw_profiles(plt, path, profiles(table, labels, clusters), clusters),
        }
    )
    print(f"visualize: {len(ids)} customers in {sum(cluster >= 0 for cluster in clusters)} clusters")


if __name__ == "__main__":
    run("visualize", main)
