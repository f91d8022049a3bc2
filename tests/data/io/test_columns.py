"""Columns on disk: what `read_ratings` reads, whatever the order and the blocks; nothing half written; told apart."""

import json
import tracemalloc

import numpy as np
import polars as pl
import pytest
from helpers import random_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_jax.data.io import blocks, convert
from metarec_jax.data.io.columns import open_columns
from metarec_jax.data.io.convert import write_columns
from metarec_jax.data.io.layout import Layout
from metarec_jax.data.io.ratings_file import read_ratings
from metarec_jax.data.table import DataError, Ratings

COMMAS = Layout(",", True, None, True)
ARRAYS = ("user", "item", "rating", "timestamp", "user_ids", "item_ids", "user_offsets")


@pytest.fixture
def small(monkeypatch):
    """Blocks of some rows, so that small files have many."""
    whole = blocks.read_blocks
    monkeypatch.setattr(blocks, "read_blocks", lambda path, layout: whole(path, layout, 200))
    monkeypatch.setattr(convert, "ROWS", 20)


def assert_same(found: Ratings, expected: Ratings) -> None:
    for name in ARRAYS:
        one, other = getattr(found, name), getattr(expected, name)
        np.testing.assert_array_equal(one, other, err_msg=name)
        assert one is None or one.dtype == other.dtype


@pytest.mark.parametrize("quotes", [False, True])
@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("ordered", [False, True])
def test_columns_are_what_is_read_in_memory(tmp_path, small, ordered, times, quotes):
    frame = random_frame(3, users=40, times=times)
    frame = frame.sort("user") if ordered else frame
    if quotes:  # ids that hold what separates
        frame = frame.with_columns(pl.col("user") + ',"\n', pl.col("item") + "\n\n")
    frame.write_csv(tmp_path / "r.csv")
    write_columns(tmp_path / "r.csv", tmp_path / "columns")
    columns, table = open_columns(tmp_path / "columns"), read_ratings(tmp_path / "r.csv")
    assert_same(columns.table(np.arange(len(columns.user_ids))), table)
    assert columns.item_features.values.shape == (20, 0)
    some = np.array([0, 3, 4, 39])
    assert_same(columns.table(some), table.keep_rows(np.flatnonzero(np.isin(table.user, some))))


@settings(max_examples=30, deadline=None)
@given(st.integers(30, 900), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_blocks_of_any_size_have_the_rows_and_know_their_lines(tmp_path_factory, size, end, newline_at_end):
    path = tmp_path_factory.mktemp("blocks") / "r.csv"
    rows = [(str(row), f"i{row}", "" if row % 7 else f'"{end}{row}"') for row in range(60)]
    text = end.join(map(",".join, [("a", "b", "c"), *rows])) + end * newline_at_end
    path.write_bytes(text.encode())
    lines, line = [], 2
    for row in rows:
        lines.append(f"line {line}")
        line += 1 + row[2].count("\n")
    found = list(blocks.read_blocks(path, COMMAS, size))
    assert [row for table in found for row in table.frame["a"]] == [row[0] for row in rows]
    assert [table.place(row) for table in found for row in range(len(table.frame))] == lines
    assert len(found) > 1 or 2 * size > len(text)


BAD = {
    "rating": ("u9,i9,many,3", "line 52: rating 'many' is not a number"),
    "time": ("u9,i9,3.5,noon", "line 52: timestamp 'noon' is not a time"),
    "id": (",i9,3.5,3", "line 52: user is missing"),
    "width": ("u9,i9", "line 52 has 2 fields where 4 are expected"),
    "long": ('"u9' + "x" * 300, "line 52: more than 200 bytes; look for an open quote there"),
    "twice": ("u1,i1,2,3", "user u1 rates item i1 in line 3 and line 52; keep one"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_is_named_and_nothing_is_left(tmp_path, small, what):
    row, message = BAD[what]
    good = [f"u{number},i{number},3.5,{number}" for number in range(50)]
    text = "\n".join(["user,item,rating,timestamp", *good, row, *(f"v{number},i1,3.5,3" for number in range(50))])
    (tmp_path / "r.csv").write_text(text + "\n")
    with pytest.raises(DataError, match=message):
        write_columns(tmp_path / "r.csv", tmp_path / "columns")
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.csv", None, "cannot be read"),
        ("empty.csv", "", "the file is empty"),
        ("header.csv", "user,item,rating\n", "no ratings"),
        ("columns.csv", "user,film,rating\n1,2,3\n", "no column 'item'"),
        ("r.parquet", "", "cannot be read in blocks"),
    ],
)
def test_files_that_are_no_ratings(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        write_columns(tmp_path / name, tmp_path / "columns")
    assert not (tmp_path / "columns").exists()


def test_an_interrupt_leaves_nothing(tmp_path, monkeypatch):
    random_frame(0).write_csv(tmp_path / "r.csv")

    def interrupted(*_):
        assert len(list(tmp_path.iterdir())) == 2  # something was begun
        raise KeyboardInterrupt

    monkeypatch.setattr(convert, "describe", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_columns(tmp_path / "r.csv", tmp_path / "columns")
    assert [path.name for path in tmp_path.iterdir()] == ["r.csv"]


def test_a_folder_that_is_there_and_a_full_disk_are_refused(tmp_path, monkeypatch):
    random_frame(0).write_csv(tmp_path / "r.csv")
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match="there is there already"):
        write_columns(tmp_path / "r.csv", tmp_path / "there")
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(DataError, match="0.0 GB are free"):
        write_columns(tmp_path / "r.csv", tmp_path / "columns")


def test_what_was_altered_is_found(tmp_path):
    folder = tmp_path / "columns"
    with pytest.raises(DataError, match="no folder of columns"):
        open_columns(folder)
    random_frame(0).write_csv(tmp_path / "r.csv")
    write_columns(tmp_path / "r.csv", folder)
    name = open_columns(folder).sha256
    written = (folder / "rating.npy").read_bytes()
    (folder / "rating.npy").write_bytes(written[:-1] + b"\x01")
    assert open_columns(folder, check=False).sha256 == name  # quick to open
    with pytest.raises(DataError, match="rating.npy is not what was written"):
        open_columns(folder)
    (folder / "rating.npy").write_bytes(written[:-8])
    with pytest.raises(DataError, match="rating.npy: cannot be mapped"):
        open_columns(folder)
    np.save(folder / "rating.npy", np.zeros(3, np.float32))
    with pytest.raises(DataError, match=r"rating.npy is float32\[3\]"):
        open_columns(folder)
    header = json.loads((folder / "columns.json").read_text())
    (folder / "columns.json").write_text(json.dumps(header | {"format": 2}))
    with pytest.raises(DataError, match="has format 2, expected 1"):
        open_columns(folder)


DAMAGED = {
    "arrays": {"arrays": []},
    "an array of somebody else's": {"arrays": {"../rating": {}}},
    "features": {"features": [1]},
    "features without columns": {"features": ["genre=none"]},
    "name": {"name": None},
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_header_is_one_line(tmp_path, what):
    random_frame(0).write_csv(tmp_path / "r.csv")
    write_columns(tmp_path / "r.csv", tmp_path / "columns")
    path = tmp_path / "columns" / "columns.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | DAMAGED[what]))
    with pytest.raises(DataError, match="columns.*make the folder anew"):
        open_columns(tmp_path / "columns")


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    whole = blocks.read_blocks
    monkeypatch.setattr(blocks, "read_blocks", lambda path, layout: whole(path, layout, 2**18))
    monkeypatch.setattr(convert, "ROWS", 10_000)

    def peak(each: int) -> int:
        user, item = np.repeat(np.arange(300), each), np.tile(np.arange(each), 300)
        pl.DataFrame({"user": user, "item": item, "rating": 3.5, "timestamp": user}).write_csv(tmp_path / "r.csv")
        tracemalloc.start()
        write_columns(tmp_path / "r.csv", tmp_path / f"columns{each}")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    few, many = peak(200), peak(1000)  # 60,000 and 300,000 ratings, of which a column of int64 has 2.4 MB
    assert many < 1.2 * few
