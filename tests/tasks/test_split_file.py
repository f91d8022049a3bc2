"""Splits as files: the same tasks again from every format, and one line for each way a file can be wrong."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from helpers import random_frame, random_table, table_of

from metarec_jax.data.table import DataError
from metarec_jax.tasks.split_file import ROLES, read_split, write_split
from metarec_jax.tasks.splits import split_users

SUFFIXES = [".csv", ".tsv", ".parquet"]


def assert_same(found, wanted):
    assert found.sha256 == wanted.sha256
    np.testing.assert_array_equal(np.sort(found.train_rows), wanted.train_rows)
    for part in ("valid", "test"):
        for name, one, other in zip(
            getattr(wanted, part)._fields, getattr(found, part), getattr(wanted, part), strict=True
        ):
            np.testing.assert_array_equal(one, other, err_msg=f"{part}.{name}")
            assert one.dtype == other.dtype


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("order, times", [("random", True), ("random", False), ("time", True)])
def test_round_trip(tmp_path, suffix, order, times):
    table = random_table(0, users=80, times=times)
    split = split_users(table, seed=3, query=3, order=order)
    path = tmp_path / f"split{suffix}"
    write_split(path, table, split)
    assert_same(read_split(path, table), split)
    first = path.read_bytes()
    write_split(path, table, read_split(path, table))
    assert path.read_bytes() == first


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_awkward_ids_and_ratings_survive(tmp_path, suffix):
    frame = random_frame(1, users=60, least=4)
    rating = (pl.col("rating") * 0.1 + 1 / 3).cast(pl.Float32)  # no short decimal
    table = table_of(frame.with_columns(rating))
    odd = ['a,"b"', "c\td", "é ü", "#1", "a'", "0", "00", "Na", "nil", "1e3"]
    user_ids = np.array([f"{odd[user % len(odd)]}{user}" for user in range(table.num_users)])
    item_ids = np.array((odd + [f"x{name}" for name in odd])[: table.num_items])
    table = dataclasses.replace(table, user_ids=user_ids, item_ids=item_ids)
    split = split_users(table, seed=0, query=2)
    write_split(tmp_path / f"split{suffix}", table, split)
    assert_same(read_split(tmp_path / f"split{suffix}", table), split)


def test_the_order_of_a_users_support_rows_is_the_order_of_revealing(tmp_path):
    table, frame = small()
    path = tmp_path / "split.csv"
    reversed_rows = pl.concat([frame.filter(pl.col("user") != "u2"), frame.filter(pl.col("user") == "u2").reverse()])
    reversed_rows.write_csv(path)
    held = read_split(path, table).test
    assert [table.item_ids[table.item[row]] for row in held.support[0]] == ["i3", "i2", "i1"]
    frame.write_csv(path)
    assert read_split(path, table).test.support[0].tolist() == held.support[0].tolist()[::-1]


def test_ratings_and_users_that_the_file_leaves_out_are_left_out(tmp_path):
    table, frame = small()
    fewer = frame.filter((pl.col("user") != "u3") & ~((pl.col("user") == "u0") & (pl.col("item") == "i1")))
    fewer.write_csv(tmp_path / "split.csv")
    split = read_split(tmp_path / "split.csv", table)
    train = table.keep_rows(split.train_rows)
    assert train.user_ids.tolist() == ["u0"] and len(train.rating) == 3


def test_a_held_out_user_may_have_no_support(tmp_path):
    table, frame = small()
    frame.filter(pl.col("role") != "valid_support").write_csv(tmp_path / "split.csv")
    valid = read_split(tmp_path / "split.csv", table).valid
    assert valid.support.shape == (1, 0) and valid.query.shape == (1, 1)


# --------------------------------------------------------------------------------------------------------- errors


def small():
    """Users u0 and u3 train, u1 validates, u2 tests; u1 and u2 have a support of i1, i2, i3 and the query i4."""
    frame = pl.DataFrame({"user": ["u0", "u1", "u2", "u3"]}).join(
        pl.DataFrame({"item": ["i1", "i2", "i3", "i4"], "rating": [1.0, 2.5, 3.0, 4.0]}), how="cross"
    )
    kind = pl.when(pl.col("item") == "i4").then(pl.lit("query")).otherwise(pl.lit("support"))
    part = pl.col("user").replace_strict({"u0": "train", "u3": "train", "u1": "valid_", "u2": "test_"})
    role = pl.when(part == "train").then(part).otherwise(part + kind)
    return table_of(frame), frame.with_columns(role=role)


def row(frame, user, item):
    """Where a rating stands in the frame: line `row + 2` of a text file, row `row + 1` of Parquet."""
    return frame.with_row_index().filter((pl.col("user") == user) & (pl.col("item") == item))["index"][0]


def edited(user, item, /, **values):
    def edit(frame):
        here = (pl.col("user") == user) & (pl.col("item") == item)
        return frame.with_columns(
            pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in values.items()
        )

    return edit


def everything_of(user, role):
    whose = pl.col("user") == user
    return lambda frame: frame.with_columns(role=pl.when(whose).then(pl.lit(role)).otherwise(pl.col("role")))


BROKEN = {
    "unknown role": (edited("u1", "i2", role="vaild_support"), ("u1", "i2"), ["'vaild_support'", *ROLES]),
    "empty role": (edited("u1", "i2", role=""), ("u1", "i2"), ["role", "fill it in"]),
    "no such item": (edited("u2", "i3", item="i99"), ("u2", "i99"), ["i99", "u2", "not in toy", "another data set?"]),
    "no such user": (edited("u2", "i3", user="u99"), ("u99", "i3"), ["i3", "u99", "not in toy", "another data set?"]),
    "another value": (edited("u0", "i4", rating=1.5), ("u0", "i4"), ["1.5", "i4", "u0", "not in toy"]),
    "not a number": (edited("u0", "i4", rating="good"), ("u0", "i4"), ["'good'", "not a number", "correct it"]),
    "twice": (lambda frame: pl.concat([frame, frame[[5]]]), ("u1", "i2"), ["same user and item", "keep one"]),
    "two parts": (edited("u1", "i2", role="test_support"), None, ["u1", "valid and test", "one part only"]),
    "train and test": (edited("u2", "i1", role="train"), None, ["u2", "train and test", "one part only"]),
    "no query": (everything_of("u3", "valid_support"), None, ["u3", "valid_support", "no valid_query row"]),
    "no role": (lambda frame: frame.drop("role"), None, ["no column 'role'", "'rating'"]),
    "no user": (lambda frame: frame.drop("user"), None, ["no column 'user'", "'item'"]),
}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_wrong_with_a_file_is_one_line_with_place_and_remedy(tmp_path, name, suffix):
    table, frame = small()
    edit, place, words = BROKEN[name]
    broken = edit(frame)
    path = tmp_path / f"mine{suffix}"
    broken.write_parquet(path) if suffix == ".parquet" else broken.write_csv(
        path, separator="\t" if suffix == ".tsv" else ","
    )
    with pytest.raises(DataError) as caught:
        read_split(path, table)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(f"{path}: ")
    for word in words:
        if not (name == "not a number" and suffix == ".parquet"):  # there the whole column is text
            assert word in message, message
    if place:
        number = row(broken, *place)
        assert (f"row {number + 1}" if suffix == ".parquet" else f"line {number + 2}") in message.replace(":", " ")


@pytest.mark.parametrize("part, role", [("train", "train"), ("valid", "valid_query"), ("test", "test_query")])
def test_a_split_without_a_part_is_refused(tmp_path, part, role):
    table, frame = small()
    frame.filter(~pl.col("role").str.starts_with(part)).write_csv(tmp_path / "mine.csv")
    with pytest.raises(DataError, match=f"mine.csv: no row has the role {role}; a split needs training, valid"):
        read_split(tmp_path / "mine.csv", table)


def test_a_missing_file_and_another_extension(tmp_path):
    table, frame = small()
    with pytest.raises(DataError, match="none.csv: cannot be read"):
        read_split(tmp_path / "none.csv", table)
    frame.write_csv(tmp_path / "split.xls")
    with pytest.raises(DataError, match="'.xls' is unknown; use a .csv, .tsv, .* or .parquet"):
        read_split(tmp_path / "split.xls", table)
