"""The table type of few-shot classification: labelled examples by class, and the split of the classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from metarec_jax.data.hashing import seeded_hash
from metarec_jax.data.table import DataError

PARTS = ("train", "valid", "test")


class Classes(NamedTuple):
    """Labelled examples sorted by class. A class belongs to one part of the split at most."""

    name: str
    x: Any  # pytree of [N, ...], compact: uint8 ink [N, 28, 28] (1 is ink), float32 features [N, F], uint8 bytes [N, L]
    offsets: np.ndarray  # [C + 1] int64; class c has the rows offsets[c]..offsets[c + 1]
    class_names: list[str]  # [C]
    parts: dict[str, np.ndarray]  # "train", "valid", "test" -> classes, ascending
    source: str  # where the files came from, for people

    @property
    def sizes(self) -> np.ndarray:
        """[C] number of examples of each class."""
        return np.diff(self.offsets)


def by_class(labels: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """(order [N], offsets [C + 1]): `x[order]` is sorted by class; examples of a class keep their order.

    Args:
      labels: [N] whole numbers 0..number-1.
      number: C, the number of classes.
    """
    return np.argsort(labels, kind="stable"), np.concatenate([[0], np.bincount(labels, minlength=number).cumsum()])


def hashed_parts(names: Sequence[str], sizes: Mapping[str, int], seed: int = 0) -> dict[str, np.ndarray]:
    """Split classes by a seeded hash of their names.

    Args:
      names: [C] of the classes.
      sizes: part -> number of its classes; they add up to C.
      seed: another seed gives another split.

    Returns:
      part -> numbers of its classes, ascending.

    Raises:
      ValueError: the sizes do not add up to the number of names.
    """
    if sum(sizes.values()) != len(names):
        raise ValueError(f"{dict(sizes)} are not {len(names)} classes")
    order = np.argsort([seeded_hash(seed, name) for name in names])
    ends = np.cumsum(list(sizes.values()))
    return {part: np.sort(order[end - size : end]) for (part, size), end in zip(sizes.items(), ends, strict=True)}


def check(classes: Classes, source: Path | str) -> Classes:
    """Return `classes` if rows, names and parts are consistent.

    Args:
      classes: the table.
      source: the folder or file that it came from, for the error.

    Raises:
      DataError: they are not; the message names the source, the set and the class.
    """
    rows = {len(leaf) for leaf in jax.tree.leaves(classes.x)}
    if rows != {int(classes.offsets[-1])} or len(classes.class_names) != len(classes.offsets) - 1:
        raise DataError(f"{source}: {classes.name}: {rows} rows do not fit {len(classes.class_names)} classes.")
    if (empty := classes.sizes.min()) == 0:
        name = classes.class_names[int(classes.sizes.argmin())]
        raise DataError(f"{source}: {classes.name}: class {name!r} has {empty} examples; an edited copy.")
    members = np.concatenate(list(classes.parts.values()))
    twice, times = np.unique(members, return_counts=True)
    if set(classes.parts) != set(PARTS) or (times > 1).any():
        first = [classes.class_names[member] for member in twice[times > 1][:1]]
        raise DataError(f"{source}: {classes.name}: parts {', '.join(classes.parts)} share classes {first}.")
    return classes


def join(first: Classes, second: Classes, taken: Mapping[str, Sequence[str]]) -> Classes:
    """A table that trains and validates on classes of one set and tests on those of another.

    Args:
      first: the set whose classes train and validate; x has the shapes of that of `second`.
      second: the set whose test classes are kept.
      taken: "train" and "valid" -> the parts of `first` that make it up.
    """
    number = len(first.class_names)
    parts = {
        part: np.sort(np.concatenate([first.parts[source_part] for source_part in source_parts]))
        for part, source_parts in taken.items()
    }
    return Classes(
        f"{first.name}, tested on {second.name}",
        jax.tree.map(lambda a, b: np.concatenate([a, b]), first.x, second.x),
        np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]),
        [*first.class_names, *second.class_names],
        parts | {"test": second.parts["test"] + number},
        f"{first.source}; {second.source}",
    )
