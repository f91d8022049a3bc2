"""What cells mean: one rule for ids in every kind of file, numbers, and times in every form."""

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_jax.data.io.ratings_file import read_ratings
from metarec_jax.data.table import build
from metarec_jax.data.values import MISSING, BadCell, ids, numbers, ratings, seconds

WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
FORMS = {  # of one whole number, as files hold it
    "integers": lambda numbers, data: pl.Series(numbers, dtype=pl.Int64),
    "floats": lambda numbers, data: pl.Series(numbers, dtype=pl.Float64),
    "decimals": lambda numbers, data: pl.Series(numbers, dtype=pl.Int64).cast(pl.Decimal(20, 2)),
    "text": lambda numbers, data: pl.Series(
        [f"{number}{data.draw(st.sampled_from(['', '.', '.0', '.000']))}" for number in numbers]
    ),
    "bytes": lambda numbers, data: pl.Series([f"{number}.0".encode() for number in numbers]),
    "categories": lambda numbers, data: pl.Series([f"{number}.0" for number in numbers]).cast(pl.Categorical),
}


@settings(max_examples=20, deadline=None)
@given(pairs=st.lists(st.tuples(WHOLE, WHOLE), min_size=1, max_size=8, unique=True), data=st.data())
@pytest.mark.parametrize("form", FORMS)
def test_a_whole_float_is_the_integer_in_every_kind_of_file(tmp_path_factory, form, pairs, data):
    users, items = zip(*pairs, strict=True)
    rating = pl.Series(range(len(pairs)))
    expected = build("plain", pl.DataFrame({"user": users, "item": items, "rating": rating}), source="test").sha256
    frame = pl.DataFrame({"user": FORMS[form](users, data), "item": FORMS[form](items, data), "rating": rating})
    assert build("frame", frame, source="test").sha256 == expected
    folder: Path = tmp_path_factory.getbasetemp()
    frame.write_parquet(folder / "r.parquet")
    assert read_ratings(folder / "r.parquet").sha256 == expected
    if form in ("integers", "decimals", "text"):  # polars rounds floats that it writes as text
        frame.write_csv(folder / "r.csv")
        assert read_ratings(folder / "r.csv").sha256 == expected


def test_other_text_is_kept():
    kept = ["007", "3.5", "1.0.0", "v1.0", "1e3", "-", "nano", "00.0"]
    assert ids(pl.Series(kept)).to_list() == kept
    assert ids(pl.Series([" 3 ", "-0.0", "-4.00"])).to_list() == ["3", "0", "-4"]


@pytest.mark.parametrize("missing", MISSING)
def test_missing_ids_are_counted(missing):
    with pytest.raises(BadCell, match="is missing in 2 rows, of which this is the first") as caught:
        ids(pl.Series(["a", missing, "b", None]))
    assert caught.value.row == 1


def test_numbers():
    assert numbers(pl.Series(["1", "True", "FALSE", "2.5"])).to_list() == [1, 1, 0, 2.5]
    assert numbers(pl.Series([True, False])).to_list() == [1, 0]
    assert numbers(pl.Series(["3,5", "1,003"]), decimal_comma=True).to_list() == [3.5, 1.003]
    assert numbers(pl.Series(["1", "", "nan", None]), gaps=True).to_list() == [1, None, None, None]
    for bad in (["3,5"], ["nan"], ["like"], [float("inf")], [None]):
        with pytest.raises(BadCell, match="is not a number"):
            numbers(pl.Series(bad))


def test_ratings_are_of_an_order_that_single_precision_holds():
    stars = np.array([1.0, 2.5, 4.0, 5.0])
    for scale, shift in ((1, 0), (1e-6, 0), (-20, 3), (1e6, 0), (0, 7)):
        held = ratings(pl.Series(scale * stars + shift))
        assert held.dtype == pl.Float32 and held.to_list() == np.float32(scale * stars + shift).tolist()
    refused = {
        (1e30, 0): "is beyond 1e[+]12, where squares overflow; correct it or divide all ratings",
        (1e-42, 0): "holds values that differ by 4e-42 at most; multiply",
        (1, 1e9): "holds values that differ by 4 at most around 1e[+]09; subtract",
    }
    for (scale, shift), complaint in refused.items():
        with pytest.raises(BadCell, match=complaint):
            ratings(pl.Series(scale * stars + shift))


T = 1_500_000_000  # 2017-07-14 02:40:00


@pytest.mark.parametrize(
    "times",
    [
        *([T], [T * 10**3 + 123], [T * 10**6 + 1], [T * 10**9 + 7], [T + 0.75], [f"{T}.7512"], ["1.5e9"]),
        *(["2017-07-14 02:40:00"], ["2017-07-14T02:40:00Z"], ["2017-07-14T04:40:00+02:00"], ["2017/07/14 02:40"]),
        *(["2017-07-14 02:40:00.123456789+0000"], ["2017-7-14 02:40:00 UTC"], ["2017-07-14T02:40:00.5"]),
        *(pl.Series([dt.datetime(2017, 7, 14, 2, 40)]).cast(pl.Datetime(unit)) for unit in ("ms", "us", "ns")),
        pl.Series([dt.datetime(2017, 7, 14, 2, 40)]).dt.replace_time_zone("UTC"),
    ],
    ids=str,
)
def test_times_in_every_form_are_seconds(times):
    assert seconds(pl.Series(times)).to_list() == [T]
    frame = pl.DataFrame({"user": [1], "item": [2], "rating": [3], "timestamp": times})
    assert build("frame", frame, source="test").timestamp.tolist() == [T]


def test_dates_and_times_that_are_not_known():
    assert seconds(pl.Series(["2017-07-14", "", "NULL", "1969-12-31"])).to_list() == [T - 9600, 0, 0, -86400]
    assert seconds(pl.Series([dt.date(2017, 7, 14), None])).to_list() == [T - 9600, 0]
    assert seconds(pl.Series([T * 1e3, float("nan"), None, 0])).to_list() == [T, 0, 0, 0]
    assert seconds(pl.Series(["", ""])).to_list() == [0, 0] and seconds(pl.Series([None])).to_list() == [0]


@pytest.mark.parametrize(
    ("times", "row", "message"),
    [
        (["1", "noon"], 1, "is not a time; write seconds since 1970 or an ISO 8601 time"),
        (["07/14/2017"], 0, "is not a time"),  # July or the 7th of the 14th month
        ([T * 1000, T], 1, "is not in milliseconds since 1970 as the largest of the times is"),
        ([[1]], None, "holds List"),
    ],
)
def test_what_is_no_time(times, row, message):
    with pytest.raises(BadCell, match=message) as caught:
        seconds(pl.Series(times))
    assert caught.value.row == row
