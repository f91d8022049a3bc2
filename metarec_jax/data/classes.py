"""The table type of few-shot classification: labelled examples by class, and which classes are for what."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from metarec_jax.data.hashing import seeded_hash
from metarec_jax.data.table import DataError

PARTS = ("train", "valid", "test")


class Classes(NamedTuple):
    """Labelled examples sorted by class. No class is in two parts."""

    name: str
    x: Any  # pytree of [N, ...], compact: uint8 ink [N, 28, 28] (1 is ink), float32 features [N, F], uint8 bytes [N, L]
    offsets: np.ndarray  # [C + 1] int64; class c has the rows offsets[c]..offsets[c + 1]
    class_names: list[str]  # [C]
    parts: dict[str, np.ndarray]  # "train", "valid", "test" -> classes, ascending
    source: str  # where the files came from, for people

    @property
    def sizes(self) -> np.ndarray:
        """[C] examples of each class."""
        return np.diff(self.offsets)


def by_class(labels: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """(order [N], offsets [C + 1]): `x[order]` is sorted by class, examples of a class as they came.

    Args:
      labels: [N] whole numbers 0..number-1.
      number: of classes, C.
    """
    return np.argsort(labels, kind="stable"), np.concatenate([[0], np.bincount(labels, minlength=number).cumsum()])


def hashed_parts(names: Sequence[str], sizes: Mapping[str, int], seed: int = 0) -> dict[str, np.ndarray]:
    """Classes dealt out to parts by a seeded hash of their names, `sizes` of them to each.

    Raises:
      ValueError: the sizes do not add up to the number of names.
    """
    if sum(sizes.values()) != len(names):
        raise ValueError(f"{dict(sizes)} are not {len(names)} classes")
    order = np.argsort([seeded_hash(seed, name) for name in names])
    ends = np.cumsum(list(sizes.values()))
    return {part: np.sort(order[end - size : end]) for (part, size), end in zip(sizes.items(), ends, strict=True)}


def check(classes: Classes, where: Path | str) -> Classes:
    """The classes again, if rows, names and parts fit together.

    Raises:
      DataError: they do not; the message names the set, `where` it was read and the class.
    """
    rows = {len(leaf) for leaf in jax.tree.leaves(classes.x)}
    if rows != {int(classes.offsets[-1])} or len(classes.class_names) != len(classes.offsets) - 1:
        raise DataError(f"{where}: {classes.name}: {rows} rows do not fit {len(classes.class_names)} classes.")
    if (empty := classes.sizes.min()) == 0:
        name = classes.class_names[int(classes.sizes.argmin())]
        raise DataError(f"{where}: {classes.name}: class {name!r} has {empty} examples; an edited copy.")
    members = np.concatenate(list(classes.parts.values()))
    twice, times = np.unique(members, return_counts=True)
    if set(classes.parts) != set(PARTS) or (times > 1).any():
        first = [classes.class_names[member] for member in twice[times > 1][:1]]
        raise DataError(f"{where}: {classes.name}: parts {', '.join(classes.parts)} share classes {first}.")
    return classes


def join(first: Classes, second: Classes, taken: Mapping[str, Sequence[str]]) -> Classes:
    """Train and validate on classes of one set, test on those of another.

    Args:
      first: whose classes train and validate; x as in `second`.
      second: whose test classes are kept.
      taken: "train" and "valid" -> the parts of `first` that they are made of.
    """
    number = len(first.class_names)
    parts = {part: np.sort(np.concatenate([first.parts[own] for own in of])) for part, of in taken.items()}
    return Classes(
        f"{first.name}, tested on {second.name}",
        jax.tree.map(lambda a, b: np.concatenate([a, b]), first.x, second.x),
        np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]]),
        [*first.class_names, *second.class_names],
        parts | {"test": second.parts["test"] + number},
        f"{first.source}; {second.source}",
    )
