"""Anybody's ratings files: bad input gets a one-line message with its place, and round trips lose nothing."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_jax.data.io.ratings_file import COLUMNS, parse_columns, read_ratings
from metarec_jax.data.table import DataError, Ratings, build

GOOD = "user,item,rating,timestamp\na,x,3.5,10\nb,x,1,9\na,y,2,5\n"
# Ids as people write them: anything printable; the reader strips blanks at the ends.
IDS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=6)
ROWS = st.lists(
    st.tuples(IDS, IDS, st.floats(-1e3, 1e3, width=32), st.integers(-(2**40), 2**40)),
    min_size=1,
    max_size=20,
    unique_by=lambda row: row[:2],
)


def saved(tmp_path: Path, text: str | bytes, name: str = "ratings.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def assert_same(a: Ratings, b: Ratings) -> None:
    assert a.sha256 == b.sha256
    for field in ("user", "item", "rating", "timestamp", "user_ids", "item_ids"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field))


def test_reads_csv_in_time_order(tmp_path):
    table = read_ratings(saved(tmp_path, GOOD))
    assert table.user.tolist() == [0, 0, 1] and table.item_ids[table.item].tolist() == ["y", "x", "x"]
    assert table.rating.tolist() == [2, 3.5, 1] and table.rating.dtype == np.float32
    assert table.timestamp.tolist() == [5, 10, 9]
    assert table.name == "ratings.csv" and table.user_features.values.shape == (2, 0)


def test_renamed_and_additional_columns(tmp_path):
    path = saved(tmp_path, "x\ty\tstars\twho\tisbn\tts\n0\t0\t4\tu\ti\t1e3\n", "r.tsv")
    table = read_ratings(path, parse_columns("user=who, item=isbn ,rating=stars,timestamp=ts"))
    assert (table.user_ids[0], table.item_ids[0], table.rating[0], table.timestamp[0]) == ("u", "i", 4, 1000)


def test_no_timestamp_column_means_none_unless_it_is_asked_for(tmp_path):
    path = saved(tmp_path, "user,item,rating\na,x,3\n")
    assert read_ratings(path).timestamp is None
    with pytest.raises(DataError, match=r"no column 'when' for the timestamp; it has 'user', 'item', 'rating'"):
        read_ratings(path, {"timestamp": "when"})


@pytest.mark.parametrize(
    "variant",
    [
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD + "\n\r\n\n",
        GOOD.rstrip("\n"),
        GOOD.replace(",", " , "),
        GOOD.replace("x", '"x"'),
    ],
    ids=[
        "byte order mark",
        "CRLF",
        "CR",
        "blank lines at the end",
        "no newline at the end",
        "blanks",
        "quotes",
    ],
)
def test_dialects_of_csv_read_the_same(tmp_path, variant):
    assert_same(read_ratings(saved(tmp_path, variant, "v.csv")), read_ratings(saved(tmp_path, GOOD, "good.csv")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("user,item,rating\n", "no ratings"),
        ("user,item,stars\na,x,3\n", r"no column 'rating' for the rating; it has 'user', 'item', 'stars'"),
        ("user,item,rating,item\na,x,3,y\n", "two columns are called 'item'"),
        ("user,item,rating\na,x,3\nb,x,good\n", "line 3: rating 'good' is not a number"),
        ("user,item,rating\na,x,3\nb,x,\n", "line 3: rating is not a number"),
        ("user,item,rating\na,x,nan\n", "line 2: rating 'nan' is not a number"),
        ("user,item,rating\na,x,1e99\n", "line 2: rating '1e99' is not a number"),
        ("user,item,rating\n ,x,3\n", r"line 2: user ' ' is empty"),
        ("user,item,rating\na,,3\n", "line 2: item is empty"),
        ("user,item,rating\na,x,3\nb,y,2,1\n", "line 3 has 4 fields where 3 are expected"),
        ("user,item,rating\na,x,3\nb,y\n", "line 3 has 2 fields where 3 are expected"),
        ("user,item,rating\na,x,3\n\nb,y,2\n", "line 3 has 0 fields where 3 are expected"),
        ('user,item,rating\n"a\nb",x,3\nb,y,z\n', "line 4: rating 'z'"),  # a quoted line break is a line
        ('user,item,rating\na,x,3\nb,"y,2\nc,z,1\n', "line 3"),  # a quote that is never closed
        ("user,item,rating,timestamp\na,x,3,2013-02-28\n", "line 2: timestamp '2013-02-28' is not a time"),
        ("user,item,rating,timestamp\na,x,3,\n", "line 2: timestamp is not a time"),
        (b"user,item,rating\na,x,3\nb,\xe9,2\n", "line 3 is not UTF-8"),
        ("user,item,rating\n".encode("utf-16"), "not UTF-8"),
        ("user,item,rating\na,x,3\nb,x,2\na,x,1\n", "user a rates item x in rows 1 and 3"),
    ],
)
def test_bad_content_is_one_line_with_its_place(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read_ratings(saved(tmp_path, text))
    assert "ratings.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_bad_files(tmp_path):
    with pytest.raises(DataError, match=r"r\.txt: .*use a \.csv, \.tsv or \.parquet"):
        read_ratings(saved(tmp_path, GOOD, "r.txt"))
    with pytest.raises(DataError, match=r"absent\.csv: cannot be read \(No such file"):
        read_ratings(tmp_path / "absent.csv")
    with pytest.raises(DataError, match=r"absent\.parquet: cannot be read as Parquet"):
        read_ratings(tmp_path / "absent.parquet")
    with pytest.raises(DataError, match=r"r\.parquet: cannot be read as Parquet"):
        read_ratings(saved(tmp_path, GOOD, "r.parquet"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rating": [3.0, None]}, "row 2: rating is not a number"),
        ({"rating": [float("inf"), 1.0]}, "row 1: rating 'inf' is not a number"),
        ({"rating": [[1.0], [2.0]]}, "column 'rating' holds List"),
        ({"item": ["x", None]}, "row 2: item is empty"),
        ({"user": [1.0, 2.0]}, "column 'user' holds Float64; ids must be"),
    ],
)
def test_bad_parquet_values_are_cited_by_row(tmp_path, change, message):
    path = tmp_path / "r.parquet"
    pl.DataFrame({"user": [1, 2], "item": ["x", "y"], "rating": [3, 4]} | change).write_parquet(path)
    with pytest.raises(DataError, match=message):
        read_ratings(path)


def test_parquet_dates_become_seconds(tmp_path):
    path = tmp_path / "r.parquet"
    times = pl.Series(["1970-01-01T00:01:00", "1970-01-02T00:00:00"]).str.to_datetime()
    pl.DataFrame({"user": [1, 1], "item": [1, 2], "rating": [3, 4], "timestamp": times}).write_parquet(path)
    assert read_ratings(path).timestamp.tolist() == [60, 86_400]


@settings(max_examples=60, deadline=None)
@given(rows=ROWS, timed=st.booleans(), suffix=st.sampled_from(["csv", "tsv", "parquet"]))
def test_round_trip(tmp_path_factory, rows, timed, suffix):
    frame = pl.DataFrame(
        rows,
        schema={"user": pl.String, "item": pl.String, "rating": pl.Float32, "timestamp": pl.Int64},
        orient="row",
    )
    frame = frame if timed else frame.drop("timestamp")
    path = tmp_path_factory.mktemp("round") / f"r.{suffix}"
    if suffix == "parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="," if suffix == "csv" else "\t")
    assert_same(read_ratings(path), build("expected", frame, source="test"))


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, data=st.data())
def test_a_spoilt_rating_is_found_on_its_line(tmp_path_factory, rows, data):
    spoilt = data.draw(st.integers(0, len(rows) - 1))
    value = data.draw(st.sampled_from(["good", "3,5", "1_0", "0x1", "--1", "½"]))
    frame = pl.DataFrame(
        [(u, i, value if k == spoilt else str(r)) for k, (u, i, r, _) in enumerate(rows)],
        schema=["user", "item", "rating"],
        orient="row",
    )
    path = tmp_path_factory.mktemp("spoilt") / "r.csv"
    frame.write_csv(path)
    with pytest.raises(DataError, match=f": line {spoilt + 2}: rating '{value}' is not a number"):
        read_ratings(path)


NAMES = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters=","), min_size=1, max_size=8)


@given(columns=st.dictionaries(st.sampled_from(COLUMNS), NAMES).filter(lambda d: len({*d.values()}) == len(d)))
def test_parse_columns_inverts_its_notation(columns):
    assert parse_columns(",".join(f"{key}={name}" for key, name in columns.items())) == columns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user", "'user' is not of the form key=column"),
        ("user=", "not of the form"),
        ("=uid", "not of the form"),
        ("user=a,,item=b", "'' is not of the form"),
        ("user=a,user=b", "user is given twice, as 'a' and 'b'"),
        ("users=a", "unknown key 'users'; the keys are user, item, rating, timestamp"),
        ("user=a,item=a", "column 'a' of the file is given to more than one key"),
    ],
)
def test_parse_columns_refuses(text, message):
    with pytest.raises(DataError, match=message):
        parse_columns(text)


def test_read_ratings_checks_its_columns_argument(tmp_path):
    with pytest.raises(DataError, match="unknown key 'stars'"):
        read_ratings(saved(tmp_path, GOOD), {"stars": "rating"})


# Pieces that make files nearly right, which finds more than bytes drawn blindly.
PIECES = st.sampled_from(
    [b"user,item,rating", b"a", b"1", b"2.5", b",", b"\n", b"\r", b'"', b"\xff", b"\xc3\xa9", b" ", b"\x00", b"#"]
)


@settings(max_examples=300, deadline=None)
@given(head=st.sampled_from([b"", b"user,item,rating\n", GOOD.encode()]), pieces=st.lists(PIECES, max_size=30))
def test_any_content_gives_a_table_or_a_data_error(tmp_path_factory, head, pieces):
    path = saved(tmp_path_factory.getbasetemp(), head + b"".join(pieces), "fuzz.csv")
    try:
        table = read_ratings(path)
    except DataError as error:
        assert "fuzz.csv" in str(error) and "\n" not in str(error)
    else:
        assert np.isfinite(table.rating).all() and all(table.user_ids) and all(table.item_ids)


@given(st.text(st.sampled_from("user,item=rating \t"), max_size=30))
def test_any_text_for_columns_gives_a_dict_or_a_data_error(text):
    try:
        columns = parse_columns(text)
    except DataError as error:
        assert "\n" not in str(error)
    else:
        assert set(columns) <= set(COLUMNS) and all(columns.values())
