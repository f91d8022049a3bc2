"""Convert a ratings file of any length to a folder of `columns`, in memory that does not depend on its length.

The file is read twice, block by block. The first pass counts each user's ratings, which fixes the position of the
user's rows; the second writes the ratings there. Rows may come in any order; if they are sorted by user, as in
MovieLens, they are written sequentially. Memory is that of a block, of the ids, and of the user with the most ratings;
the operating system writes mapped pages to disk.
"""

import itertools
import json
import mmap
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from metarec_jax.data.io.columns import HEADER, advise, blocks_of_users, describe
from metarec_jax.data.io.folders import new_folder
from metarec_jax.data.io.ratings_file import places, read_blocks
from metarec_jax.data.table import DataError, Features, aligned, id_order
from metarec_jax.ops.hashing import pair_hash

ROWS = 4_000_000  # sorted at once
LET_GO = mmap.MADV_DONTNEED  # frees pages of this process; what was written to them is kept by the operating system
DTYPES = {"item": np.dtype(np.int32), "rating": np.dtype(np.float32), "timestamp": np.dtype(np.int64)}


class Census(NamedTuple):
    """Users and items of a file, and which columns it has."""

    user_ids: list[str]  # [U] in the order of `table.id_order`
    item_ids: list[str]  # [I]
    counts: np.ndarray  # [U] int64 number of ratings of each user
    columns: list[str]  # those of `DTYPES` that the file has


def write_columns(
    path: Path,
    folder: Path,
    columns: dict[str, str] | None = None,
    item_features: tuple[list[str], Features] | None = None,
) -> None:
    """Write a folder of columns, complete or not at all, with the same ratings as `ratings_file.read_ratings` reads.

    Args:
      path: a text file, see `ratings_file.read_ratings`.
      folder: the new folder.
      columns: the file's names of our columns, see `ratings_file.read_ratings`.
      item_features: see `table.build`.

    Raises:
      DataError: an error of `ratings_file.read_ratings`, `folder` exists already, or the disk has too little space.
    """
    with new_folder(folder) as temporary:
        census = _census(path, columns)
        total = int(census.counts.sum())
        _check_space(temporary, total * sum(DTYPES[name].itemsize for name in census.columns))
        offsets = np.concatenate([[0], np.cumsum(census.counts)])
        rating_arrays = {name: _create(temporary, name, total) for name in census.columns}
        _scatter(path, columns, census, offsets, rating_arrays)
        _order(path, columns, census, offsets, rating_arrays)
        for array in rating_arrays.values():
            array.flush()
        id_arrays = {"offsets": offsets, "user_ids": np.array(census.user_ids), "item_ids": np.array(census.item_ids)}
        content = aligned(item_features, census.item_ids)
        id_arrays["content"] = content.values
        for name, array in id_arrays.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        header = describe(temporary, path, content.names, [*rating_arrays, *id_arrays])
        (temporary / HEADER).write_text(json.dumps(header, indent=1) + "\n")


def _census(path: Path, columns: dict[str, str] | None) -> Census:
    users = pl.DataFrame(schema={"user": pl.String, "count": pl.UInt32})
    items = pl.Series("item", [], pl.String)
    file_columns: list[str] = []
    for frame in read_blocks(path, columns):
        block_counts = frame.group_by("user").agg(pl.len().alias("count"))
        users = pl.concat([users, block_counts]).group_by("user").agg(pl.col("count").sum())
        items = pl.concat([items, frame["item"]]).unique()
        file_columns = frame.columns
    if users.is_empty():
        raise DataError(f"{path.name}: no ratings; the file is empty or holds a header only.")
    user_ids = id_order(users["user"].to_list())
    users = users.sort(pl.col("user").cast(pl.Enum(user_ids)))
    columns_kept = [name for name in DTYPES if name in file_columns]
    return Census(user_ids, id_order(items.to_list()), users["count"].to_numpy().astype(np.int64), columns_kept)


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free  # writing a mapped page to a full disk would kill the process
    if free < size:
        raise DataError(f"{folder.parent}: the columns take {size / 1e9:.1f} GB and {free / 1e9:.1f} GB are free.")


def _create(folder: Path, name: str, size: int) -> np.memmap:
    return np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=DTYPES[name], shape=(size,))


def _scatter(
    path: Path, columns: dict[str, str] | None, census: Census, offsets: np.ndarray, rating_arrays: dict[str, np.memmap]
) -> None:
    """Write each rating to the next free row of its user."""
    user_enum, item_enum = pl.Enum(census.user_ids), pl.Enum(census.item_ids)
    free = offsets[:-1].copy()
    for frame in read_blocks(path, columns):
        user = frame["user"].cast(user_enum).to_physical().to_numpy()
        order = np.argsort(user, kind="stable")
        block_counts = np.bincount(user, minlength=len(free))
        rows = np.repeat(free - (np.cumsum(block_counts) - block_counts), block_counts) + np.arange(len(user))
        free += block_counts
        values = frame.with_columns(item=pl.col("item").cast(item_enum).to_physical())
        for name, array in rating_arrays.items():
            array[rows] = values[name].to_numpy()[order]
            advise(array, LET_GO)


def _order(
    path: Path, columns: dict[str, str] | None, census: Census, offsets: np.ndarray, rating_arrays: dict[str, np.memmap]
) -> None:
    """Sort each user's rows as those of `data.table.Ratings` are.

    Raises:
      DataError: a user rates an item twice.
    """
    for users in blocks_of_users(census.counts, ROWS):
        start, end = offsets[users.start], offsets[users.stop]
        user = np.repeat(np.arange(users.start, users.stop), census.counts[users])
        item = rating_arrays["item"][start:end]
        pairs = np.sort(user * len(census.item_ids) + item)
        if (repeated := np.diff(pairs) == 0).any():
            raise _repeated(path, columns, census, int(pairs[repeated.argmax()]))
        times = [rating_arrays["timestamp"][start:end]] if "timestamp" in rating_arrays else []
        order = np.lexsort((pair_hash(user, item), *times, user))
        for array in rating_arrays.values():
            array[start:end] = array[start:end][order]
            advise(array, LET_GO)


def _repeated(path: Path, columns: dict[str, str] | None, census: Census, pair: int) -> DataError:
    """The error of a (user, item) pair that occurs twice; the file is read again to find its lines."""
    user, item = census.user_ids[pair // len(census.item_ids)], census.item_ids[pair % len(census.item_ids)]
    first, second = itertools.islice(places(path, columns, user, item), 2)
    return DataError(f"{path.name}: user {user} rates item {item} in {first} and {second}; keep one of them.")
