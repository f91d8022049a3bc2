"""Users and items exchanged: nothing is lost, and what reads users as tasks reads items as tasks."""

import dataclasses

import numpy as np
import pytest
from helpers import random_table
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.split_file import read_split, write_split
from metarec_jax.tasks.splits import split_frame, split_users

TABLE = random_table(0)


@pytest.mark.parametrize(("levels", "liked"), [((1, 2, 5), 4.0), ((0, 10), 7.5), ((0.5, 5.0), 3.875)])
def test_liked_is_what_is_three_quarters_up_the_scale(levels, liked):
    scale = dataclasses.replace(TABLE, rating=np.float32(levels)).scale
    assert scale == (levels[0], levels[-1])
    assert scale.liked == pytest.approx(liked, rel=1e-5) and scale.liked < liked


def test_a_level_three_quarters_up_is_liked_in_any_unit():
    for unit in np.arange(1, 1000) / 700:
        levels = np.float32(unit * np.arange(1, 6))
        scale = dataclasses.replace(TABLE, rating=levels).scale
        assert (levels >= scale.liked).tolist() == [False] * 3 + [True] * 2


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), times=st.booleans())
def test_twice_transposed_is_the_same_ratings(seed, times):
    table = random_table(seed, times=times)
    there = table.transposed()
    assert there.roles == ("item", "user") and there.sha256 == table.sha256
    assert (np.diff(there.user) >= 0).all() and there.num_users == table.num_items
    pairs = set(zip(there.item.tolist(), there.user.tolist(), there.rating.tolist(), strict=True))
    assert pairs == set(zip(table.user.tolist(), table.item.tolist(), table.rating.tolist(), strict=True))
    if times:  # within an owner by time
        same = there.user[1:] == there.user[:-1]
        assert (np.diff(there.timestamp)[same] >= 0).all()
    back = there.transposed()
    assert back.roles == table.roles
    np.testing.assert_array_equal(back.user, table.user)
    np.testing.assert_array_equal(back.user_features.values, table.user_features.values)


def test_features_follow_their_owners():
    """The one feature of the helpers' tables is the number in the raw id."""
    table = random_table(0, users=60, items=40, least=8).transposed()
    tasks, kept = episodes(table, split_users(table, seed=0, query=3).test, 2)
    owners = split_users(table, seed=0, query=3).test.users[kept]
    for task, owner in enumerate(owners):
        assert table.user_ids[owner].startswith("i")
        np.testing.assert_array_equal(tasks.query.x.context[task], float(table.user_ids[owner][1:]))
        raters = [float(table.item_ids[i][1:]) for i in tasks.query.x.id[task]]
        np.testing.assert_array_equal(tasks.query.x.content[task, :, 0], raters)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_split_of_items_is_written_and_read_with_the_right_columns(tmp_path, suffix):
    table = random_table(1, users=60, items=40, least=8).transposed()
    split = split_users(table, seed=0, query=3)
    frame = split_frame(table, split)
    assert frame["item"].str.starts_with("i").all() and frame["user"].str.starts_with("u").all()
    cold = set(frame.filter(frame["role"] == "test_query")["item"])
    assert cold and not cold & set(frame.filter(frame["role"] == "train")["item"])
    write_split(tmp_path / f"split{suffix}", table, split)
    assert read_split(tmp_path / f"split{suffix}", table).sha256 == split.sha256
