"""Ratings as columns on disk, for more of them than fit a device, or the memory: a folder of arrays that are mapped.

The arrays are those of `table.Ratings`, in the same order: numpy's .npy files, and columns.json with what they must be.

    offsets.npy    [U + 1] int64    the ratings of user u are rows offsets[u] to offsets[u + 1]
    item.npy       [R] int32
    rating.npy     [R] float32
    timestamp.npy  [R] int64        where the file has times
    user_ids.npy   [U] str          raw ids
    item_ids.npy   [I] str
    content.npy    [I, F] float32   side features of items, whose names are in columns.json
"""

import dataclasses
import hashlib
import json
import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metarec_jax.data.table import DataError, Features, Ratings

FORMAT = 1
HEADER = "columns.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """A folder of columns. Long arrays are mapped: what is read of them is in memory as long as the system likes."""

    name: str
    source: str  # the file that they came from, for people
    sha256: str  # of the arrays
    offsets: np.ndarray  # [U + 1] int64, in memory, as are the ids
    item: np.ndarray  # [R] int32
    rating: np.ndarray  # [R] float32
    timestamp: np.ndarray | None  # [R] int64
    user_ids: np.ndarray  # [U] str
    item_ids: np.ndarray  # [I] str
    item_features: Features  # values [I, F]

    @property
    def counts(self) -> np.ndarray:
        """[U] int64 ratings of each user."""
        return np.diff(self.offsets)

    def table(self, users: np.ndarray) -> Ratings:
        """The ratings of some users ([n] ascending), all in memory, as `Ratings.keep_rows` would have them."""
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


def open_columns(folder: Path, *, check: bool = False) -> Columns:
    """The columns in a folder that `convert.write_columns` made.

    Args:
      folder: which.
      check: whether to read all of them and compare their checksums.

    Raises:
      DataError: it is no such folder, of another format, or a file is missing, cut, of another shape, or altered.
    """
    try:
        header = json.loads((folder / HEADER).read_text())
        version = header["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} is no folder of columns; make one with scripts/make_columns.py.") from error
    if version != FORMAT:
        raise DataError(f"{folder} has format {version}, expected {FORMAT}; make it anew with scripts/make_columns.py.")
    arrays = {name: _mapped(folder, name, about) for name, about in header["arrays"].items()}
    if check:
        for name, about in header["arrays"].items():
            if sha256_of(folder / f"{name}.npy") != about["sha256"]:
                raise DataError(f"{folder / name}.npy is not what was written; make the folder anew.")
    for name in ("item", "rating", "timestamp"):
        if name in arrays:  # a user's rows are few and anywhere: no use to read ahead
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
    """The header of a folder whose `arrays`, of the file `path`, are written."""
    about = {}
    for array in arrays:
        found = np.load(folder / f"{array}.npy", mmap_mode="r")
        digest = sha256_of(folder / f"{array}.npy")
        about[array] = {"shape": list(found.shape), "dtype": found.dtype.str, "sha256": digest}
    names = {"name": path.name, "source": str(path), "features": list(features)}
    return {"format": FORMAT, **names, "arrays": about}


def blocks_of_users(counts: np.ndarray, rows: int) -> Iterator[slice]:
    """Users next to each other with about `rows` of their ratings, one user at least; `counts` [U] are of each."""
    bounds = [0, *(1 + np.flatnonzero(np.diff(np.cumsum(counts) // rows))), len(counts)]
    return map(slice, bounds[:-1], bounds[1:])


def advise(array: np.ndarray, use: int) -> None:
    """Tell the system of the use of a mapped array: one of `mmap.MADV_...`."""
    assert isinstance(array.base, mmap.mmap)
    array.base.madvise(use)


def sha256_of(path: Path) -> str:
    """sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mapped(folder: Path, name: str, about: dict[str, Any]) -> np.ndarray:
    path = folder / f"{name}.npy"
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be mapped ({error}); make the folder anew.") from error
    if [list(array.shape), array.dtype.str] != [about["shape"], about["dtype"]]:
        raise DataError(f"{path} is {array.dtype}{list(array.shape)}, not as {HEADER} says; make the folder anew.")
    return array
