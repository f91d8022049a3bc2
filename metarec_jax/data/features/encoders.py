"""Side features as `group=value` columns of zeros and ones."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from metarec_jax.data.table import Features

AGE_EDGES = (18, 25, 35, 45, 50, 56)  # the buckets of MovieLens-1M
# Most films are recent, so bins are five years wide from 1980.
FILM_YEAR_EDGES = (*range(1930, 1980, 10), *range(1980, 2025, 5))


def multi_hot(group: str, values: Sequence[Iterable[str]], vocabulary: Sequence[str] | None = None) -> Features:
    """One column a value: 1 where the entity has it, else 0.

    Args:
      group: what stands before "=" in the names.
      values: for each of M entities the values that it has.
      vocabulary: the values that become columns, in this order; other values are dropped. None: all that occur, sorted.

    Returns:
      Features of [M, len(vocabulary)].
    """
    values = [tuple(v) for v in values]
    if vocabulary is None:
        vocabulary = sorted({v for entity_values in values for v in entity_values})
    column = {value: index for index, value in enumerate(vocabulary)}
    table = np.zeros((len(values), len(column)), np.float32)
    for row, entity_values in enumerate(values):
        table[row, [column[v] for v in entity_values if v in column]] = 1
    return Features(tuple(f"{group}={v}" for v in vocabulary), table)


def one_hot(group: str, values: Sequence[str | None], vocabulary: Sequence[str] | None = None) -> Features:
    """`multi_hot` of at most one value an entity; None or "" gives a row of zeros."""
    return multi_hot(group, [(v,) if v else () for v in values], vocabulary)


def binned(group: str, values: Sequence[float | None], edges: Sequence[int], *, first: str, last: str) -> Features:
    """One column for each bin that occurs, 1 where the number is in it; None gives a row of zeros.

    Args:
      group: what stands before "=" in the names.
      values: [M] numbers.
      edges: ascending lower ends of the second bin, the third, and so on.
      first: name of the bin below the first edge.
      last: name of the bin from the last edge up.

    Returns:
      Features of [M, bins that occur].
    """
    labels = [first, *(f"{a}-{b - 1}" for a, b in zip(edges, edges[1:], strict=False)), last]
    chosen = [None if v is None else labels[int(np.searchsorted(edges, v, side="right"))] for v in values]
    occurring = set(chosen)
    return one_hot(group, chosen, [label for label in labels if label in occurring])


def ages(values: Sequence[float]) -> Features:
    """Age buckets, the same for every MovieLens set: `age=under 18`, `age=18-24`, ..., `age=56+`."""
    return binned("age", values, AGE_EDGES, first="under 18", last="56+")


def film_years(titles: Sequence[str]) -> Features:
    """Bins of the year that ends a film's title, as in "Heat (1995)": ten years wide to 1979, then five."""
    edges = FILM_YEAR_EDGES
    years = [title_year(title) for title in titles]
    return binned("year", years, edges, first=f"before {edges[0]}", last=f"from {edges[-1]}")


def title_year(title: str) -> int | None:
    """The last bracketed year of a title: 1995 of "Heat (1995)", 2006 of "Death Note (2006–2007)"."""
    years = re.findall(r"\((\d{4})(?:[-–]\d*)?\)", title)
    return int(years[-1]) if years else None


def joined(*tables: Features) -> Features:
    """Feature tables of the same M entities side by side."""
    names = tuple(name for table in tables for name in table.names)
    return Features(names, np.concatenate([table.values for table in tables], axis=1))
