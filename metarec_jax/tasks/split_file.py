"""A split as a file with columns user,item,rating,role[,timestamp], so that others can run exactly the same tasks.

Roles: train, valid_support, valid_query, test_support, test_query. The order of a user's support rows in the file is
the order in which they are revealed.
"""

import io
from pathlib import Path

import numpy as np
import polars as pl

from metarec_jax.data.io.file_table import Table, ratings_frame
from metarec_jax.data.io.ratings_file import read_table
from metarec_jax.data.table import DataError, Ratings
from metarec_jax.ops.files import write_atomic
from metarec_jax.tasks.splits import HeldOut, Split, make_split, pad_rows, split_frame

ROLES = ("train", "valid_support", "valid_query", "test_support", "test_query")


def write_split(path: Path, ratings: Ratings, split: Split) -> None:
    """Write the split as CSV, TSV or Parquet, by the extension of `path`."""
    write_atomic(path, split_content(ratings, split, path.suffix))


def split_content(ratings: Ratings, split: Split, suffix: str = ".parquet") -> bytes:
    """The content of the file that `write_split` writes for this suffix."""
    frame = split_frame(ratings, split).sort(ratings.roles[0], "role", "place", maintain_order=True).drop("place")
    buffer = io.BytesIO()
    if suffix == ".parquet":
        frame.write_parquet(buffer)
    else:
        frame.write_csv(buffer, separator="\t" if suffix == ".tsv" else ",")
    return buffer.getvalue()


def read_split(path: Path, ratings: Ratings) -> Split:
    """Read a split of (some of) the ratings of a table; the format is that of `write_split`.

    Raises:
      DataError: the file cannot be read, a role is unknown, a part of the split has no rows, a rating is not in the
        table or has another value there, a user is in two parts, or a held-out user has no query ratings.
    """
    table = read_table(path)
    frame = ratings_frame(table, dict(zip(("user", "item", "rating"), (*ratings.roles, "rating"), strict=True)))
    frame = frame.with_columns(role=table.ids("role"))
    if (unknown := ~frame["role"].is_in(ROLES)).any():
        row = int(unknown.arg_max() or 0)
        raise DataError(f"{path}: {table.place(row)}: role {frame['role'][row]!r} is none of {', '.join(ROLES)}.")
    for role in ("train", "valid_query", "test_query"):
        if role not in frame["role"]:
            raise DataError(f"{path}: no row has the role {role}; a split needs training, validation and test users.")
    frame = frame.with_columns(row=_table_rows(table, frame, ratings), part=pl.col("role").str.split("_").list.first())
    user_parts = frame.group_by("user", maintain_order=True).agg(pl.col("part").unique(maintain_order=True))
    if len(mixed := user_parts.filter(pl.col("part").list.len() > 1)):
        user, names = mixed.row(0)
        owner = ratings.roles[0]
        raise DataError(f"{path}: {owner} {user} has rows in {' and '.join(names)}; it belongs to one part only.")
    train = frame.filter(pl.col("role") == "train")["row"].to_numpy()
    return make_split(ratings, train, *(_held_out(path, frame, ratings, part) for part in ("valid", "test")))


def _table_rows(table: Table, frame: pl.DataFrame, ratings: Ratings) -> pl.Series:
    """The row number in the ratings table of each row of the file."""
    known = pl.DataFrame(
        {"user": ratings.user_ids[ratings.user], "item": ratings.item_ids[ratings.item], "known": ratings.rating}
    ).with_row_index("row")
    joined = frame.join(known, on=["user", "item"], how="left", maintain_order="left")
    differs = joined["row"].is_null() | (joined["known"] != joined["rating"]).fill_null(True)
    if differs.any():
        row = int(differs.arg_max() or 0)
        user, item, rating = joined.select("user", "item", "rating").row(row)
        raise DataError(
            f"{table.path}: {table.place(row)}: rating {rating:g} of {ratings.roles[1]} {item} and {ratings.roles[0]} "
            f"{user} is not in {ratings.name}; is this a split of another data set?"
        )
    if (twice := joined.select("user", "item").is_duplicated()).any():
        place = table.place(int(twice.arg_max() or 0))
        raise DataError(f"{table.path}: {place} gives the same user and item as a later row; keep one of them.")
    return joined["row"].cast(pl.Int64)


def _held_out(path: Path, frame: pl.DataFrame, ratings: Ratings, part: str) -> HeldOut:
    lists: dict[str, dict[str, np.ndarray]] = {}
    for kind in ("support", "query"):
        rows = frame.filter(pl.col("role") == f"{part}_{kind}").group_by("user", maintain_order=True).agg("row")
        lists[kind] = {user: np.array(row) for user, row in rows.iter_rows()}
    if without_query := [user for user in lists["support"] if user not in lists["query"]]:
        owner = ratings.roles[0]
        raise DataError(
            f"{path}: {owner} {without_query[0]} has {part}_support rows but no {part}_query row to judge it by."
        )
    order = sorted(lists["query"].values(), key=lambda rows: ratings.user[rows[0]])
    users = np.array([ratings.user[rows[0]] for rows in order], np.int32)
    support = [lists["support"].get(str(ratings.user_ids[user]), np.zeros(0, np.int64)) for user in users]
    return HeldOut(users, pad_rows(support), pad_rows(order))
