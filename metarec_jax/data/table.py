"""The one table type every data set becomes: flat rating arrays in CSR order, features, raw ids."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable

import numpy as np
import polars as pl

from metarec_jax.data import duplicates as duplicate_rules
from metarec_jax.data import values
from metarec_jax.ops.hashing import pair_hash
from metarec_jax.ops.one_line import OneLineError
from metarec_jax.types import Scale


class DataError(OneLineError):
    """Bad input data. The message is one line that names the file, row or column and the remedy."""


@dataclasses.dataclass(frozen=True)
class Features:
    """Side features of users or of items. Names read `group=value`, for example `genre=Comedy`."""

    names: tuple[str, ...]
    values: np.ndarray  # [M, len(names)] float32

    @classmethod
    def none(cls, rows: int) -> "Features":
        """No features at all, for `rows` entities."""
        return cls((), np.zeros((rows, 0), np.float32))


@dataclasses.dataclass(frozen=True, eq=False)  # compared and hashed by identity
class Ratings:
    """Ratings as flat arrays, sorted by user and within a user by time; those of the same time, or without timestamps
    all, by a hash, so that the order of the rows in a file does not matter.

    Users are numbered 0..U-1 and items 0..I-1 in the sorted order of their raw ids; `user_ids` and `item_ids` give the
    raw ids. Memory is linear in the number of ratings.
    """

    name: str
    user: np.ndarray  # [R] int32, ascending
    item: np.ndarray  # [R] int32
    rating: np.ndarray  # [R] float32, in the units of the data set
    timestamp: np.ndarray | None  # [R] int64 seconds, 0 unknown; None where the data set has none
    user_ids: np.ndarray  # [U] str
    item_ids: np.ndarray  # [I] str
    user_features: Features  # values [U, G]
    item_features: Features  # values [I, F]
    item_titles: np.ndarray  # [I] str; the raw id where the data set has no titles
    source: str  # where the files came from, for people
    sha256: str  # of the ratings themselves, whatever file layout they came in
    untimed: str = ""  # why there are no times, where the file has a column of them that cannot be read
    roles: tuple[str, str] = ("user", "item")  # what `user` and `item` hold; reversed in a transposed table

    @property
    def num_users(self) -> int:
        """Number of users U."""
        return len(self.user_ids)

    @property
    def num_items(self) -> int:
        """Number of items I."""
        return len(self.item_ids)

    @functools.cached_property
    def user_offsets(self) -> np.ndarray:
        """[U + 1] int64: the ratings of user u are rows user_offsets[u] to user_offsets[u + 1]."""
        return _offsets(self.user, self.num_users)

    @functools.cached_property
    def item_offsets(self) -> np.ndarray:
        """[I + 1] int64: the ratings of item i are rows item_order[item_offsets[i] : item_offsets[i + 1]]."""
        return _offsets(self.item, self.num_items)

    @functools.cached_property
    def item_order(self) -> np.ndarray:
        """[R] int64 row numbers sorted by item, within an item in row order."""
        return np.argsort(self.item, kind="stable")

    @functools.cached_property
    def levels(self) -> np.ndarray:
        """[L] float32 the distinct rating values, ascending."""
        return np.unique(self.rating)

    @functools.cached_property
    def scale(self) -> Scale:
        """From the lowest rating that occurs to the highest."""
        return Scale(float(self.levels[0]), float(self.levels[-1]))

    @functools.cached_property
    def units(self) -> tuple[float, float]:
        """Mean and standard deviation of the ratings; a deviation of 0 reads 1."""
        return float(self.rating.mean(dtype=np.float64)), float(self.rating.std(dtype=np.float64)) or 1.0

    @functools.cached_property
    def standardised(self) -> "Ratings":
        """The table with its ratings less their mean, over their standard deviation."""
        mean, scale = self.units
        return dataclasses.replace(self, rating=((self.rating - mean) / scale).astype(np.float32))

    def transposed(self) -> "Ratings":
        """The table with users and items exchanged, features too, so that items become tasks.

        In the result `user` holds the items and `item` the users, as `roles` says. Titles are not exchanged:
        `item_titles` of the result are the raw ids of the users.
        """
        if self.timestamp is None:
            order = self.item_order
        else:  # within an item by time, as within a user
            order = np.lexsort((self.timestamp, self.item))
        return dataclasses.replace(
            self,
            user=self.item[order],
            item=self.user[order],
            rating=self.rating[order],
            timestamp=None if self.timestamp is None else self.timestamp[order],
            user_ids=self.item_ids,
            item_ids=self.user_ids,
            user_features=self.item_features,
            item_features=self.user_features,
            item_titles=self.user_ids,
            roles=self.roles[::-1],
        )

    def keep_rows(self, rows: np.ndarray) -> "Ratings":
        """The ratings in `rows` ([R'] row numbers) only.

        Users without ratings are dropped and the others renumbered in the same order. Items are NOT renumbered, so an
        item may be left without ratings.
        """
        rows = np.sort(rows)
        users, index = np.unique(self.user[rows], return_inverse=True)
        return dataclasses.replace(
            self,
            user=index.astype(np.int32),
            item=self.item[rows],
            rating=self.rating[rows],
            timestamp=None if self.timestamp is None else self.timestamp[rows],
            user_ids=self.user_ids[users],
            user_features=Features(self.user_features.names, self.user_features.values[users]),
        )


def _offsets(index: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(index, minlength=size))])


def id_order(ids: list[str]) -> list[str]:
    """Raw ids sorted: numbers by value, before everything else by text: 2 before 10, "a10" before "a2"."""

    def key(raw: str) -> tuple[int, int, str, str]:
        digits = raw.lstrip("0")  # of two numbers the one with more of them is larger; int() refuses 4,300 and more
        return (0, len(digits), digits, raw) if raw.isascii() and raw.isdigit() else (1, 0, "", raw)

    return sorted(ids, key=key)


def content_hash(frame: pl.DataFrame) -> str:
    """sha256 of a frame's rows as sorted tab-separated text: independent of row order and of the source file."""
    sorted_rows = frame.sort(frame.columns)
    return hashlib.sha256(sorted_rows.write_csv(separator="\t").encode()).hexdigest()


def build(
    name: str,
    frame: pl.DataFrame,
    *,
    source: str,
    user_features: tuple[list[str], Features] | None = None,
    item_features: tuple[list[str], Features] | None = None,
    item_titles: dict[str, str] | None = None,
    duplicates: str = "error",
    place: Callable[[int], str] = lambda row: f"row {row + 1}",
    untimed: str = "",
) -> Ratings:
    """The table of a frame with columns user, item, rating and optionally timestamp, read as `values` says.

    Args:
      name: of the data set.
      frame: the ratings.
      source: where the files came from, for people.
      user_features, item_features: (raw ids of the rows, features), in any order. Entities without ratings are left
        out; entities without features get zeros.
      item_titles: raw id -> title; an item without one is called by its raw id.
      duplicates: what a user's ratings of one item become, one of `duplicates.RULES`.
      place: row number -> where it came from, for messages.
      untimed: see `Ratings`.

    Raises:
      DataError: no rows, a missing id, a rating that is not finite, a time that is none, or a (user, item) pair that
        occurs twice with `duplicates` "error". The message names the place.
    """
    frame = _checked(name, frame, duplicates, place)
    has_time = "timestamp" in frame.columns
    digest = content_hash(frame)
    user_ids = id_order(frame["user"].unique().to_list())
    item_ids = id_order(frame["item"].unique().to_list())
    frame = frame.with_columns(
        u=pl.col("user").replace_strict(user_ids, range(len(user_ids)), return_dtype=pl.Int32),
        i=pl.col("item").replace_strict(item_ids, range(len(item_ids)), return_dtype=pl.Int32),
    )
    ties = pl.Series("ties", pair_hash(frame["u"].to_numpy(), frame["i"].to_numpy()))
    frame = frame.with_columns(ties).sort(["u", *["timestamp"] * has_time, "ties"])
    return Ratings(
        name=name,
        user=frame["u"].to_numpy(),
        item=frame["i"].to_numpy(),
        rating=frame["rating"].to_numpy(),
        timestamp=frame["timestamp"].to_numpy() if has_time else None,
        user_ids=np.array(user_ids),
        item_ids=np.array(item_ids),
        user_features=aligned(user_features, user_ids),
        item_features=aligned(item_features, item_ids),
        item_titles=np.array([(item_titles or {}).get(i, i) for i in item_ids]),
        source=source,
        sha256=digest,
        untimed=untimed,
    )


def aligned(features: tuple[list[str], Features] | None, ids: list[str]) -> Features:
    """Feature rows in the order of `ids`: rows of other ids are left out, and ids without a row get zeros.

    Args:
      features: (raw ids of the rows, features) or None, which gives no features.
      ids: [M] raw ids.
    """
    if features is None:
        return Features.none(len(ids))
    given, table = features
    values = np.zeros((len(ids), len(table.names)), np.float32)
    row_of = {raw: row for row, raw in enumerate(given)}
    known = [(row, row_of[raw]) for row, raw in enumerate(ids) if raw in row_of]
    if known:
        to, origin = np.array(known).T
        values[to] = table.values[origin]
    return Features(table.names, values)


def _checked(name: str, frame: pl.DataFrame, duplicates: str, place: Callable[[int], str]) -> pl.DataFrame:
    """The frame with ids as text, ratings in float32, times in seconds, and every pair once."""
    if frame.is_empty():
        raise DataError(f"{name}: no ratings; the file is empty or holds a header only.")
    for column, reader in _READERS.items():
        if column in frame.columns:
            try:
                frame = frame.with_columns(reader(frame[column]).alias(column))
            except values.BadCell as bad:
                where = "" if bad.row is None else f"{place(bad.row)}: "
                raise DataError(f"{name}: {where}{column} {bad.complaint}.") from None
    try:
        return duplicate_rules.resolved(frame, duplicates, place)
    except duplicate_rules.RepeatedPair as repeated:
        raise DataError(f"{name}: {repeated}.") from None


_READERS = {"user": values.ids, "item": values.ids, "rating": values.ratings, "timestamp": values.seconds}
