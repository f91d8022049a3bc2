"""From a ratings file of any length to a folder of `columns`, in memory that does not depend on its length.

The file is read twice, block by block: who is there and how often, which says where each user's rows go, and then the
ratings, each to its place. So the rows may come in any order; in order of users, as in MovieLens, they are written from
front to back. Memory is that of a block, of the ids, and of the longest user; pages that are written belong to the
system, which has them on disk when it likes.
"""

import json
import mmap
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from metarec_jax.data.io.columns import HEADER, advise, blocks_of_users, describe
from metarec_jax.data.io.folders import new_folder
from metarec_jax.data.io.ratings_file import read_blocks
from metarec_jax.data.table import DataError, Features, aligned, id_order

ROWS = 4_000_000  # put in order of time at once
LET_GO = mmap.MADV_DONTNEED  # takes pages off this process; what was written to them is the system's, and stays
DTYPES = {"item": np.dtype(np.int32), "rating": np.dtype(np.float32), "timestamp": np.dtype(np.int64)}


class Census(NamedTuple):
    """Who is in a file."""

    user_ids: list[str]  # [U] in the order of `table.id_order`
    item_ids: list[str]  # [I]
    counts: np.ndarray  # [U] int64 ratings of each user
    columns: list[str]  # of `DTYPES`, those that the file has


def write_columns(
    path: Path,
    folder: Path,
    columns: dict[str, str] | None = None,
    item_features: tuple[list[str], Features] | None = None,
) -> None:
    """Make a folder of columns, whole or not at all; what is in it is what `files.read_ratings` would read.

    Args:
      path: .csv or .tsv file, as `files.read_ratings` takes it.
      folder: to make.
      columns: the file's names of our columns.
      item_features: as `table.build` takes them.

    Raises:
      DataError: what `files.read_ratings` finds wrong, `folder` is there already, or the disk is too small.
    """
    with new_folder(folder) as temporary:
        census = _census(path, columns)
        total = int(census.counts.sum())
        _check_space(temporary, total * sum(DTYPES[name].itemsize for name in census.columns))
        offsets = np.concatenate([[0], np.cumsum(census.counts)])
        long = {name: _create(temporary, name, total) for name in census.columns}
        _scatter(path, columns, census, offsets, long)
        _order_by_time(path, columns, census, offsets, long)
        for array in long.values():
            array.flush()
        short = {"offsets": offsets, "user_ids": np.array(census.user_ids), "item_ids": np.array(census.item_ids)}
        content = aligned(item_features, census.item_ids)
        short["content"] = content.values
        for name, array in short.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        header = describe(temporary, path, content.names, [*long, *short])
        (temporary / HEADER).write_text(json.dumps(header, indent=1) + "\n")


def _census(path: Path, columns: dict[str, str] | None) -> Census:
    users = pl.DataFrame(schema={"user": pl.String, "count": pl.UInt32})
    items = pl.Series("item", [], pl.String)
    found: list[str] = []
    for frame in read_blocks(path, columns):
        here = frame.group_by("user").agg(pl.len().alias("count"))
        users = pl.concat([users, here]).group_by("user").agg(pl.col("count").sum())
        items = pl.concat([items, frame["item"]]).unique()
        found = frame.columns
    if users.is_empty():
        raise DataError(f"{path.name}: no ratings; the file is empty or holds a header only.")
    user_ids = id_order(users["user"].to_list())
    users = users.sort(pl.col("user").cast(pl.Enum(user_ids)))
    kept = [name for name in DTYPES if name in found]
    return Census(user_ids, id_order(items.to_list()), users["count"].to_numpy().astype(np.int64), kept)


def _check_space(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free  # a mapped file that finds no room kills the process
    if free < size:
        raise DataError(f"{folder.parent}: the columns take {size / 1e9:.1f} GB and {free / 1e9:.1f} GB are free.")


def _create(folder: Path, name: str, size: int) -> np.memmap:
    return np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=DTYPES[name], shape=(size,))


def _scatter(
    path: Path, columns: dict[str, str] | None, census: Census, offsets: np.ndarray, long: dict[str, np.memmap]
) -> None:
    """Write each rating among its user's rows, which are in the order of the file."""
    of_users, of_items = pl.Enum(census.user_ids), pl.Enum(census.item_ids)
    free = offsets[:-1].copy()
    for frame in read_blocks(path, columns):
        user = frame["user"].cast(of_users).to_physical().to_numpy()
        order = np.argsort(user, kind="stable")
        here = np.bincount(user, minlength=len(free))
        rows = np.repeat(free - (np.cumsum(here) - here), here) + np.arange(len(user))
        free += here
        values = frame.with_columns(item=pl.col("item").cast(of_items).to_physical())
        for name, array in long.items():
            array[rows] = values[name].to_numpy()[order]
            advise(array, LET_GO)


def _order_by_time(
    path: Path, columns: dict[str, str] | None, census: Census, offsets: np.ndarray, long: dict[str, np.memmap]
) -> None:
    """Put each user's rows in order of time, where there are times.

    Raises:
      DataError: a user rates an item twice.
    """
    for users in blocks_of_users(census.counts, ROWS):
        start, end = offsets[users.start], offsets[users.stop]
        who = np.repeat(np.arange(users.start, users.stop), census.counts[users])
        item = long["item"][start:end]
        pairs = np.sort(who * len(census.item_ids) + item)
        if (twice := np.diff(pairs) == 0).any():
            raise _repeated(path, columns, census, int(pairs[twice.argmax()]))
        if "timestamp" in long:
            order = np.lexsort((long["timestamp"][start:end], who))
            for array in long.values():
                array[start:end] = array[start:end][order]
        for array in long.values():
            advise(array, LET_GO)


def _repeated(path: Path, columns: dict[str, str] | None, census: Census, pair: int) -> DataError:
    """The error of a pair that occurs twice, with its rows, which are looked for now."""
    user, item = census.user_ids[pair // len(census.item_ids)], census.item_ids[pair % len(census.item_ids)]
    rows, above = [], 1
    for frame in read_blocks(path, columns):
        same = (frame["user"] == user) & (frame["item"] == item)
        rows += [above + int(row) for row in same.arg_true()]
        above += len(frame)
    return DataError(f"{path.name}: user {user} rates item {item} in rows {rows[0]} and {rows[1]}; keep one of them.")
