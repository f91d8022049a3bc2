"""Both cold: no user and no item of a held-out task is in training, and nobody is in two parts."""

import numpy as np
import polars as pl
import pytest
from helpers import random_frame, random_table, table_of
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_jax.data.table import DataError
from metarec_jax.tasks.splits import split_frame
from metarec_jax.tasks.users_and_items import split_users_and_items


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.sampled_from(["random", "time"]))
def test_no_user_and_no_item_is_in_two_parts(seed, order):
    table = random_table(3, users=300, items=120, least=40, most=60)
    frame = split_frame(table, split_users_and_items(table, seed=seed, query=2, order=order))
    frame = frame.with_columns(part=pl.col("role").str.split("_").list.first())
    for column in ("user", "item"):
        assert frame.group_by(column).agg(pl.col("part").n_unique())["part"].max() == 1
    assert set(frame["part"]) == {"train", "valid", "test"}
    assert (frame.filter(pl.col("role") == "test_query").group_by("user").len()["len"] == 2).all()


def test_shares_are_those_of_the_docstring():
    table = random_table(0, users=400, items=400, least=40, most=60)
    split = split_users_and_items(table, seed=0, query=1)
    shares = [
        len(np.unique(table.item[rows[rows >= 0]])) / table.num_items
        for rows in (split.train_rows, split.valid.query, split.test.query)
    ]
    assert shares[0] == pytest.approx(0.70, abs=0.06) and max(shares[1:]) <= 0.20
    assert len(np.unique(table.user[split.train_rows])) / table.num_users == pytest.approx(0.8, abs=0.06)


def test_a_new_user_and_a_new_item_move_nobody():
    frame = random_frame(5, users=150, items=60, least=20, most=40)
    extra = pl.DataFrame(
        {"user": ["u999"] * 3, "item": ["i0", "i1", "i999"], "rating": [1.0, 2.0, 3.0], "timestamp": [1, 2, 3]},
        schema=frame.schema,
    )
    roles = []
    for rows in (frame, pl.concat([frame, extra])):
        table = table_of(rows)
        found = split_frame(table, split_users_and_items(table, seed=0, query=2)).filter(pl.col("user") != "u999")
        roles.append(set(found.select("user", "item", "role").iter_rows()))
    assert roles[0] == roles[1]


def test_too_many_query_ratings_are_an_error():
    with pytest.raises(
        DataError,
        match=r"the split has no validation users; the largest K \+ query that works is 2, .*--query=1 --shots=0,1",
    ):
        split_users_and_items(random_table(0, users=50, items=20), seed=0, query=19)
