"""Small ratings tables that tests build, a chi-square test against equal chances, experiments in this process."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from metarec_jax.data.table import Features, Ratings, build


def slow_but(quick: Collection, cases: Iterable) -> list:
    """The cases, of which all but the quick ones have the marker "slow"."""
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in cases]


def random_frame(
    seed: int, *, users: int = 30, items: int = 20, least: int = 1, most: int = 15, times: bool = True
) -> pl.DataFrame:
    """Users u0, u1, ... with `least` to `most` ratings each, in random row order; timestamps repeat often."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{user}", f"i{item}", float(rng.integers(1, 11)) / 2, int(rng.integers(1, 12)))
        for user in range(users)
        for item in rng.choice(items, rng.integers(least, most + 1), replace=False)
    ]
    frame = pl.DataFrame(
        [rows[place] for place in rng.permutation(len(rows))],
        schema={"user": pl.String, "item": pl.String, "rating": pl.Float32, "timestamp": pl.Int64},
        orient="row",
    )
    return frame if times else frame.drop("timestamp")


def table_of(frame: pl.DataFrame, name: str = "toy") -> Ratings:
    """The table of a frame; the one feature of a user or item is the number in its raw id, which so can be told
    from what a learner is shown."""

    def number(column: str) -> tuple[list[str], Features]:
        ids = frame[column].unique().to_list()
        return ids, Features(("number",), np.array([[float(raw[1:])] for raw in ids], np.float32))

    return build(name, frame, source="a test", user_features=number("user"), item_features=number("item"))


def random_table(seed: int, **sizes) -> Ratings:
    """`random_frame` as a table."""
    return table_of(random_frame(seed, **sizes))


def write_ratings(path: Path, users: int = 90, items: int = 40) -> None:
    """Users with 6 to 15 ratings, some of whose ids would not survive as numbers or as bare CSV fields."""
    rng = np.random.default_rng(0)
    quality = rng.normal(size=items)
    lines = ["user,item,rating,timestamp,note"]
    for user in range(users):
        for place, item in enumerate(rng.choice(items, rng.integers(6, 16), replace=False)):
            stars = int(np.clip(np.round(3.4 + quality[item] + rng.normal()), 1, 5))
            lines.append(f'"{user:03},x","i {item}",{stars},{1000 * user + place // 2},ignored')
    path.write_text("\n".join(lines) + "\n")


def write_tastes(path: Path) -> None:
    """120 users with tastes, 16 ratings each; the items' ids hold markup."""
    rng = np.random.default_rng(0)
    taste, quality = rng.normal(size=(120, 2)), rng.normal(size=(40, 2))
    lines = ["user,item,rating"]
    for user in range(120):
        for item in rng.choice(40, 16, replace=False):
            stars = int(np.clip(np.round(3.4 + taste[user] @ quality[item] + 0.3 * rng.normal()), 1, 5))
            lines.append(f"u{user},<b>i{item},{stars}")
    path.write_text("\n".join(lines) + "\n")


def call(program, *arguments) -> None:
    """An experiment in this process."""
    program.main(["program.py", *map(str, arguments)])


def assert_uniform(counts: np.ndarray) -> None:
    """Counts of equally likely outcomes: a chi-square test at 1 in 10,000. Callers fix the seed, so it never flakes."""
    counts = np.asarray(counts)
    assert stats.chisquare(counts).pvalue > 1e-4, counts
