"""Ratings as memory-mapped arrays in a folder, for tables that do not fit a device or the host's memory.

The arrays are those of `table.Ratings`, in the same order, as numpy's .npy files; columns.json has their shapes, dtypes
and checksums.

    offsets.npy    [U + 1] int64    the ratings of user u are rows offsets[u] to offsets[u + 1]
    item.npy       [R] int32
    rating.npy     [R] float32
    timestamp.npy  [R] int64        where the file has times
    user_ids.npy   [U] str          raw ids
    item_ids.npy   [I] str
    content.npy    [I, F] float32   side features of items; their names are in columns.json
"""

import dataclasses
import hashlib
import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metarec_jax.data.hashing import file_sha256
from metarec_jax.data.table import DataError, Features, Ratings
from metarec_jax.ops.untrusted import DamagedError, json_value

FORMAT = 1
HEADER = "columns.json"
DIMENSIONS = {
    "offsets": ("U + 1",), "item": ("R",), "rating": ("R",), "timestamp": ("R",), "user_ids": ("U",),
    "item_ids": ("I",), "content": ("I", "F"),
}  # fmt: skip
REQUIRED = DIMENSIONS.keys() - {"timestamp"}


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """A folder of columns. Arrays of length R are memory-mapped; the operating system decides what stays in memory."""

    name: str
    source: str  # the file that the ratings came from, for people
    sha256: str  # of the arrays
    offsets: np.ndarray  # [U + 1] int64, in memory, like the ids
    item: np.ndarray  # [R] int32
    rating: np.ndarray  # [R] float32
    timestamp: np.ndarray | None  # [R] int64
    user_ids: np.ndarray  # [U] str
    item_ids: np.ndarray  # [I] str
    item_features: Features  # values [I, F]

    @property
    def counts(self) -> np.ndarray:
        """[U] int64 number of ratings of each user."""
        return np.diff(self.offsets)

    def table(self, users: np.ndarray) -> Ratings:
        """The ratings of `users` ([n] user numbers, ascending) in memory, numbered as by `Ratings.keep_rows`."""
        counts = self.counts[users]
        rows = np.repeat(self.offsets[users] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        return Ratings(
            name=self.name,
            user=np.repeat(np.arange(len(users), dtype=np.int32), counts),
            item=self.item[rows],
            rating=self.rating[rows],
            timestamp=None if self.timestamp is None else self.timestamp[rows],
            user_ids=self.user_ids[users],
            item_ids=self.item_ids,
            user_features=Features.none(len(users)),
            item_features=self.item_features,
            item_titles=self.item_ids,
            source=self.source,
            sha256=self.sha256,
        )


def open_columns(folder: Path, *, check: bool = True) -> Columns:
    """Open a folder that `convert.write_columns` made.

    Args:
      folder: the folder.
      check: whether to read all arrays, about 1 GB a second, and compare their checksums.

    Raises:
      DataError: it is not such a folder or has another format, or a file is missing, truncated, of another shape, or
        (with `check`) altered.
    """
    header = _header(folder)
    arrays = {name: _mapped(folder, name, about) for name, about in header["arrays"].items()}
    if check:
        for name, about in header["arrays"].items():
            if file_sha256(folder / f"{name}.npy") != about["sha256"]:
                raise DataError(f"{folder / name}.npy is not what was written; make the folder anew.")
    _check_lengths(folder, header, {name: array.shape for name, array in arrays.items()})
    for name in ("item", "rating", "timestamp"):
        if name in arrays:  # a user's rows are few and at random positions: reading ahead is wasted
            advise(arrays[name], mmap.MADV_RANDOM)
    digest = hashlib.sha256("".join(about["sha256"] for about in header["arrays"].values()).encode()).hexdigest()
    return Columns(
        name=header["name"],
        source=header["source"],
        sha256=digest,
        offsets=np.array(arrays["offsets"]),
        item=arrays["item"],
        rating=arrays["rating"],
        timestamp=arrays.get("timestamp"),
        user_ids=np.array(arrays["user_ids"]),
        item_ids=np.array(arrays["item_ids"]),
        item_features=Features(tuple(header["features"]), np.array(arrays["content"])),
    )


def describe(folder: Path, path: Path, features: Sequence[str], arrays: Iterable[str]) -> dict[str, Any]:
    """The header of a folder of columns.

    Args:
      folder: with the arrays.
      path: the ratings file that they came from.
      features: names of the item features.
      arrays: names of the arrays.
    """
    arrays_header = {}
    for name in arrays:
        values = np.load(folder / f"{name}.npy", mmap_mode="r")
        digest = file_sha256(folder / f"{name}.npy")
        arrays_header[name] = {"shape": list(values.shape), "dtype": values.dtype.str, "sha256": digest}
    names = {"name": path.name, "source": str(path), "features": list(features)}
    return {"format": FORMAT, **names, "arrays": arrays_header}


def blocks_of_users(counts: np.ndarray, rows: int) -> Iterator[slice]:
    """Slices of consecutive users with about `rows` ratings together, at least one user each.

    Args:
      counts: [U] ratings of each user.
      rows: ratings in a slice, about.
    """
    bounds = [0, *(1 + np.flatnonzero(np.diff(np.cumsum(counts) // rows))), len(counts)]
    return map(slice, bounds[:-1], bounds[1:])


def advise(array: np.ndarray, use: int) -> None:
    """Tell the operating system how a mapped array is used: `use` is one of `mmap.MADV_...`."""
    assert isinstance(array.base, mmap.mmap)
    array.base.madvise(use)


def _header(folder: Path) -> dict[str, Any]:
    """The content of columns.json, with its keys and types checked."""
    try:
        header = json_value((folder / HEADER).read_bytes())
        version = header["format"]
    except (OSError, DamagedError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is no folder of columns; make one with scripts/make_columns.py.") from error
    if version != FORMAT:
        raise DataError(f"{folder} has format {version}, expected {FORMAT}; make it anew with scripts/make_columns.py.")
    arrays, names = header.get("arrays"), header.get("features")
    described = isinstance(arrays, dict) and REQUIRED <= arrays.keys() <= DIMENSIONS.keys()
    if not (
        described
        and all(isinstance(about, dict) and {"shape", "dtype", "sha256"} <= about.keys() for about in arrays.values())
        and all(isinstance(text, str) for about in arrays.values() for text in (about["dtype"], about["sha256"]))
        and isinstance(names, list)
        and all(isinstance(text, str) for text in (*names, header.get("name"), header.get("source")))
    ):
        raise DataError(f"{folder / HEADER} is damaged; make the folder anew with scripts/make_columns.py.")
    return header


def _check_lengths(folder: Path, header: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    """Raises DataError unless the arrays fit each other."""
    sizes = {"R": shapes["rating"][:1], "U": shapes["user_ids"][:1], "I": shapes["item_ids"][:1]}
    sizes = {letter: length[0] if length else None for letter, length in sizes.items()}
    sizes |= {"F": len(header["features"]), "U + 1": None if sizes["U"] is None else sizes["U"] + 1}
    for name, shape in shapes.items():
        if list(shape) != [sizes[letter] for letter in DIMENSIONS[name]]:
            expected = ", ".join(DIMENSIONS[name])
            raise DataError(f"{folder / name}.npy is {list(shape)}, which is not [{expected}]; make the folder anew.")


def _mapped(folder: Path, name: str, about: dict[str, Any]) -> np.ndarray:
    path = folder / f"{name}.npy"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # the header is a Python literal: parsing it can raise anything
        raise DataError(f"{path}: cannot be mapped ({error}); make the folder anew.") from error
    if [list(array.shape), array.dtype.str] != [about["shape"], about["dtype"]]:
        raise DataError(f"{path} is {array.dtype}{list(array.shape)}, not as {HEADER} says; make the folder anew.")
    return array
