"""Anybody's ratings files: bad input gets a one-line message with its place, and round trips lose nothing."""

import bz2
import gzip
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ratings_texts import GOOD, assert_same, saved

from metarec_jax.data.io.ratings_file import parse_columns, read_blocks, read_ratings
from metarec_jax.data.table import DataError, build
from metarec_jax.data.values import MISSING

# Ids as people write them: anything printable; the reader strips blanks at the ends.
IDS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=6).filter(
    lambda text: text not in MISSING
)


ROWS = st.lists(
    st.tuples(IDS, IDS, st.floats(-1e3, 1e3, width=32), st.integers(-(2**36), 2**36)),
    min_size=1,
    max_size=20,
    unique_by=lambda row: row[:2],
)


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
        GOOD.replace("\n", "\n\n") + "  \n",
        GOOD.replace("\n", "\n,,,\n#,,,\n# a note\n", 1),
        "# made, by, a, program, 2024\n\n" + GOOD,
        GOOD.replace(",", ";"),
        GOOD.replace(",", ";").replace("3.5", "3,5"),
        GOOD.replace(",", "|"),
        GOOD.replace(",", "\t"),
        GOOD.replace("user,item,rating", "user:token,item:token,rating:float").replace("timestamp", "timestamp:float"),
    ],
    ids=[
        "byte order mark",
        "CRLF",
        "CR",
        "blank lines at the end",
        "no newline at the end",
        "blanks",
        "quotes",
        "blank lines",
        "blank lines and comments of a spreadsheet",
        "a comment above",
        "semicolons",
        "decimal commas",
        "bars",
        "tabs",
        "types in the header",
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
        (
            "user,item,stars\na,x,3\n",
            r"no column 'rating' for the rating; it has 'user', 'item', 'stars'; .*rating=stars;",
        ),
        ("user,item,rating,item\na,x,3,y\n", "two columns are called 'item'"),
        ("user,item,rating\na,x,3\nb,x,good\n", "line 3: rating 'good' is not a number"),
        ("user,item,rating\na,x,3\nb,x,\n", "line 3: rating is not a number"),
        ("user,item,rating\na,x,nan\n", "line 2: rating 'nan' is not a number"),
        ("user,item,rating\na,x,1e99\n", "line 2: rating '1e99' is beyond 1e[+]12"),
        ("user,item,rating\n ,x,3\n", r"line 2: user ' ' is missing; fill it in"),
        ("user,item,rating\na,,3\n", "line 2: item is missing"),
        ("user,item,rating\na,x,3\nnan,x,3\n,y,2\nNULL,z,2\n", "line 3: user 'nan' is missing in 3 rows, of which"),
        ("user,item,rating\na,9.78E+12,3\n", "line 2: item '9.78E.12' is a number that a program has rounded"),
        ("user,item,rating\na,x,3\nb,y,2,1\n", "line 3 has 4 fields where 3 are expected"),
        ("user,item,rating\na,x,3\nb,y\n", "line 3 has 2 fields where 3 are expected"),
        ("# note\n\nuser,item,rating\n\n# note\na,x,3\n\nb,y,many\n", "line 8: rating 'many'"),
        ("user;item;rating\na;x;1,003\n", "line 2: rating '1,003' may be a thousand"),
        ('user,item,rating\na,x,"1,003"\n', "line 2: rating '1,003' is not a number"),
        ("0,1,2\n0,78,3\n", r"line 1 \(0, 1, 2\) can be the names of columns or the first row"),
        (",0,1,2\n0,0,78,3\n", r"line 1 \(, 0, 1, 2\) can be the names"),
        ('user,item,rating\n"a\nb",x,3\nb,y,z\n', "line 4: rating 'z'"),  # a quoted line break is a line
        ('user,item,rating\na,x,3\nb,"y,2\nc,z,1\n', "line 3"),  # a quote that is never closed
        (b"user,item,rating\na,x,3\nb,\xe9,2\n", "line 3 is not UTF-8"),
        ("user,item,rating\n".encode("utf-16"), "not UTF-8"),
        ("user,item,rating\na,x,3\nb,x,2\na,x,1\n", "user a rates item x in line 2 and line 4; keep one"),
    ],
)
def test_bad_content_is_one_line_with_its_place(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read_ratings(saved(tmp_path, text))
    assert "ratings.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_bad_files(tmp_path):
    with pytest.raises(DataError, match=r"r\.xls: .*use a \.csv, \.tsv, .* or \.parquet"):
        read_ratings(saved(tmp_path, GOOD, "r.xls"))
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
        ({"item": ["x", None]}, "row 2: item is missing"),
        ({"user": [1.0, 2.5]}, "row 2: user '2.5' is not a whole number; ids are"),
        ({"user": [1.0, 2.0**53]}, "row 2: user .* is a float that has lost digits"),
        ({"user": [True, False]}, "column 'user' holds Boolean; ids must be"),
        ({"user": [b"a", b"\xff"]}, "column 'user' holds bytes that are not UTF-8"),
        ({"user": [None, None]}, "row 1: user is missing in 2 rows"),
    ],
)
def test_bad_parquet_values_are_cited_by_row(tmp_path, change, message):
    path = tmp_path / "r.parquet"
    pl.DataFrame({"user": [1, 2], "item": ["x", "y"], "rating": [3, 4]} | change).write_parquet(path)
    with pytest.raises(DataError, match=message):
        read_ratings(path)


def test_times_that_cannot_be_read_are_left_out_until_they_are_used(tmp_path):
    table = read_ratings(saved(tmp_path, "user,item,rating,timestamp\na,x,3,10\nb,x,2,noon\n"))
    assert table.timestamp is None and table.num_users == 2
    assert "ratings.csv: line 3: timestamp 'noon' is not a time; write seconds since 1970 or an ISO" in table.untimed
    known = read_ratings(saved(tmp_path, "user,item,rating,timestamp\na,x,3,10\nb,x,2,\n"))
    assert known.timestamp.tolist() == [10, 0] and known.untimed == ""


def compressed(path: Path) -> list[Path]:
    """The file as .gz, .bz2 and .zip."""
    content, paths = path.read_bytes(), []
    for suffix, pack in ((".gz", gzip.compress), (".bz2", bz2.compress)):
        paths.append(path.with_name(path.name + suffix))
        paths[-1].write_bytes(pack(content))
    paths.append(path.with_name("any.zip"))
    with zipfile.ZipFile(paths[-1], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._ratings.csv", "x")
        archive.write(path, f"folder/{path.name}")
    return paths


@pytest.mark.parametrize("name", ["ratings.csv", "ratings.tsv", "ratings.txt"])
def test_compressed_files_read_the_same(tmp_path, name):
    text = GOOD if name.endswith("csv") else GOOD.replace(",", "\t")
    path = saved(tmp_path, text, name)
    for packed in compressed(path):
        assert_same(read_ratings(packed), read_ratings(path))
        assert [len(frame) for frame in read_blocks(packed)] == [3]


def test_what_cannot_be_unpacked_is_one_line(tmp_path):
    gz, bz, zipped = compressed(saved(tmp_path, GOOD * 100))
    for packed in (gz, bz, zipped):
        packed.write_bytes(packed.read_bytes()[:-30])
        with pytest.raises(DataError, match=rf"{packed.name}: cannot be (unpacked|read) \(.*\); "):
            read_ratings(packed)
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.csv", GOOD)
        archive.writestr("b.csv", GOOD)
    with pytest.raises(DataError, match=r"holds 2 files \(a.csv, b.csv\); unpack it and name the file"):
        read_ratings(zipped)
    with pytest.raises(DataError, match="none.csv.gz: cannot be read .*No such file"):
        read_ratings(tmp_path / "none.csv.gz")


def test_without_ratings_everything_is_rated_1_where_that_will_do(tmp_path):
    path = saved(tmp_path, "user,item,timestamp\na,x,5\na,y,6\n")
    with pytest.raises(DataError, match=r"no column 'rating' .* experiments/catalogue_ranking.py ranks what was"):
        read_ratings(path)
    table = read_ratings(path, implicit=True)
    assert table.rating.tolist() == [1, 1] and table.timestamp.tolist() == [5, 6]
    with pytest.raises(DataError, match="no column 'stars' for the rating"):
        read_ratings(path, {"rating": "stars"}, implicit=True)


@pytest.mark.parametrize(
    ("rule", "ratings"),
    [("first", [2, 4]), ("last", [4, 4]), ("max", [5, 4]), ("mean", [11 / 3, 4])],
)
def test_duplicates_are_counted_and_one_is_kept_by_the_rule(tmp_path, rule, ratings):
    path = saved(tmp_path, "user,item,rating,timestamp\na,x,5,20\na,x,4,30\nb,y,4,1\na,x,2,10\nb,y,4,1\n")
    with pytest.raises(
        DataError, match="user a rates item x in line 2 and line 3, and 1 more pairs occur twice; .*--dupl"
    ):
        read_ratings(path)
    assert read_ratings(path, duplicates=rule).rating.tolist() == pytest.approx(ratings)
    untimed = saved(tmp_path, "user,item,rating\na,x,5\na,x,4\nb,y,4\na,x,2\nb,y,4\n")
    by_place = {"first": [5, 4], "last": [2, 4]}
    assert read_ratings(untimed, duplicates=rule).rating.tolist() == pytest.approx(by_place.get(rule, ratings))


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
    value = data.draw(st.sampled_from(["good", "3,5", "1_0", "0x1", "--1", "½", "like"]))
    frame = pl.DataFrame(
        [(u, i, value if k == spoilt else str(r)) for k, (u, i, r, _) in enumerate(rows)],
        schema=["user", "item", "rating"],
        orient="row",
    )
    path = tmp_path_factory.mktemp("spoilt") / "r.csv"
    frame.write_csv(path)
    with pytest.raises(DataError, match=f": line {spoilt + 2}: rating '{value}' is not a number"):
        read_ratings(path)


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
