"""Side features of items in named groups, from the data set itself and from optional files.

The name of a column is `group=value`. Where an item lacks a group (a film without a poster), its row is 0 in all
columns of the group; models read this as missing (`models.content`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from metarec_jax.data.features.encoders import joined, multi_hot
from metarec_jax.data.table import DataError, Features
from metarec_jax.ops.untrusted import DamagedError, npz_arrays

Groups = Mapping[str, Callable[[], Features]]  # a group's name -> a function that makes its columns


def select_groups(name: str, groups: Groups, content: Sequence[str] | None, default: Sequence[str]) -> Features:
    """The groups `content` of data set `name` side by side in this order, or the `default` ones where it is None.

    Raises:
      DataError: the set has no such group, a group is named twice, none is named, or an error of a group's loader.
    """
    names = tuple(default if content is None else content)
    for group in names:
        if group not in groups:
            raise DataError(f"{name} has no item features {group!r}; choose among {', '.join(groups)}.")
        if names.count(group) > 1:
            raise DataError(f"item features {group!r} are asked for twice; name them once.")
    tables = [groups[group]() for group in names]
    if not tables:
        raise DataError(f"{name}: no item features are asked for; choose among {', '.join(groups)}.")
    return joined(*tables)


def creators(group: str, values: Sequence[Iterable[str]], least: int = 2) -> Features:
    """`multi_hot` of the creators of M items: authors, directors, actors.

    A creator of fewer than `least` items says nothing about other items and is left out.
    """
    values = [tuple(dict.fromkeys(name for name in names_of_item if name)) for names_of_item in values]
    items = Counter(name for names_of_item in values for name in names_of_item)
    return multi_hot(group, values, sorted(name for name, count in items.items() if count >= least))


def optional_file(path: Path, contents: str) -> Path:
    """Return `path`, of a file that a data set may lack; `contents` it holds is named in the error.

    Raises:
      DataError: there is no such file.
    """
    if not path.is_file():
        raise DataError(f"{contents} are looked for in {path}, which does not exist; put it there or do without them.")
    return path


def poster_features(path: Path, ids: Sequence[str]) -> Features:
    """Features of the items' pictures, standardised over the items that have one.

    Args:
      path: a .npz with `item_id`, [P] whole numbers, and one or more tables [P, C], for example of principal components
        or of the vectors of an image encoder.
      ids: the raw ids of the M items.

    Returns:
      Features `poster=<table> <column>` of [M, all C], of mean square length 1 over the rows with a picture.

    Raises:
      DataError: no such file, not of this form, or a bad row (1 is the first): an id that is no item, or occurs twice,
        or a value that is not a finite number.
    """
    tables = _arrays(optional_file(path, "posters"))
    owners = [str(number) for number in tables.pop("item_id").tolist()]
    row_of, seen = {raw: row for row, raw in enumerate(ids)}, set()
    finite = np.all([np.isfinite(table).all(1) for table in tables.values()], 0)
    for row, raw in enumerate(owners):
        complaint = "has no item of this data set" if raw not in row_of else "is there twice" if raw in seen else ""
        if complaint or not finite[row]:
            complaint = complaint or "has a value that is not a finite number"
            raise DataError(f"{path}: row {row + 1}: item {raw} {complaint}; correct it or delete the row.")
        seen.add(raw)
    described = np.concatenate([table.astype(np.float64) for table in tables.values()], 1)
    described = (described - described.mean(0)) / np.maximum(described.std(0), 1e-6)
    values = np.zeros((len(ids), described.shape[1]), np.float32)
    values[[row_of[raw] for raw in owners]] = described / np.sqrt(described.shape[1])
    names = [f"poster={name} {column}" for name, table in tables.items() for column in range(table.shape[1])]
    return Features(tuple(names), values)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a poster file, with names, shapes and dtypes checked."""
    try:
        arrays = npz_arrays(path)
    except (OSError, DamagedError) as error:
        raise DataError(f"{path}: cannot be read as .npz ({error}); write it again.") from error
    owners = arrays.get("item_id")
    if owners is None or owners.ndim != 1 or owners.dtype.kind not in "iu" or len(arrays) < 2:
        raise DataError(
            f"{path}: needs item_id, [P] whole numbers, and a table; it has {', '.join(arrays) or 'nothing'}."
        )
    for name, table in arrays.items():
        if name != "item_id" and (table.ndim != 2 or len(table) != len(owners) or table.dtype.kind not in "fiu"):
            raise DataError(
                f"{path}: {name} is {table.dtype}{list(table.shape)}, not numbers of [{len(owners)}, columns]."
            )
    return arrays


def values_in_order(table_ids: Sequence[str], values: Sequence[str], ids: Sequence[str], path: Path) -> list[str]:
    """The values of a table in the order of `ids`, "" where the table lacks an id.

    Raises:
      DataError: a row of the table (1 is the first below the header) names an id that is not in `ids`, or one twice.
    """
    known, value_by_id = set(ids), {}
    for row, (raw, value) in enumerate(zip(table_ids, values, strict=True)):
        if raw not in known or raw in value_by_id:
            complaint = "is there twice" if raw in value_by_id else "is not in this data set"
            raise DataError(f"{path}: row {row + 1}: item {raw} {complaint}; correct it or delete the row.")
        value_by_id[raw] = value
    return [value_by_id.get(raw, "") for raw in ids]
