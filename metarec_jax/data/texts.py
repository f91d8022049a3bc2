"""Labelled texts by class: the table that text sets are read into, before `features.text` turns it into numbers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metarec_jax.data.classes import Classes, by_class, check
from metarec_jax.data.fetch import download
from metarec_jax.data.table import DataError


class Texts(NamedTuple):
    """Texts sorted by class. The other fields are those of `classes.Classes`."""

    name: str
    texts: list[str]  # [N]
    offsets: np.ndarray  # [C + 1] int64
    class_names: list[str]  # [C]
    parts: dict[str, np.ndarray]
    source: str

    def classes(self, x: Any) -> Classes:
        """The table with x, a pytree of [N, ...], instead of the texts."""
        named = Classes(self.name, x, self.offsets, self.class_names, self.parts, self.source)
        return check(named, self.source)

    def rows(self, part: str) -> np.ndarray:
        """Row numbers of the texts whose class is in one part ("train", "valid" or "test")."""
        return np.concatenate([np.arange(self.offsets[c], self.offsets[c + 1]) for c in self.parts[part]])


def build(
    name: str,
    labelled: Sequence[tuple[str, str]],
    class_names: Sequence[str],
    parts: Mapping[str, np.ndarray],
    folder: Path,
) -> Texts:
    """The table of (text, class) pairs; texts of a class keep the order of the files.

    Args:
      name: of the data set, a key of `sources.SPECS`.
      labelled: (text, class name) pairs.
      class_names: [C] all classes.
      parts: "train", "valid", "test" -> numbers of their classes.
      folder: where the files were read, for the source and for errors.

    Raises:
      DataError: a class is not among `class_names`, or the numbers of texts and classes are not the official ones.
    """
    place = {known: number for number, known in enumerate(class_names)}
    if unknown := {label for _, label in labelled} - set(class_names):
        raise DataError(f"{folder}: unknown class {min(unknown)!r}; not the official files; fetch them again.")
    labels = np.array([place[label] for _, label in labelled], np.int64)
    download.check_counts(name, {"texts": len(labelled), "classes": len(set(labels.tolist()))}, folder)
    order, offsets = by_class(labels, len(class_names))
    texts = [labelled[row][0] for row in order]
    return Texts(name, texts, offsets, list(class_names), dict(parts), download.source(folder))
