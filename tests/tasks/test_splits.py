"""User cold start: who is held out, what is asked of them, and that training episodes are what they claim to be."""

import dataclasses
import functools
import re

import jax
import numpy as np
import polars as pl
import pytest
from helpers import assert_uniform, random_frame, random_table, table_of
from hypothesis import given, settings
from hypothesis import strategies as st

from metarec_jax.data.table import DataError
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import check_shots, fewer, make_split, pad_rows, split_frame, split_users, tied_cuts
from metarec_jax.tasks.users import training_tasks
from metarec_jax.tasks.users_and_items import split_users_and_items

ORDERS = ["random", "time"]


KS = [0, 1, 2, 4, None]


def parts_of(table, **asked):
    """Raw user id -> part, and (user, part_kind) -> raw item ids in their order, as the split file would say it."""
    frame = split_frame(table, split_users(table, **asked))
    part = {user: role.split("_")[0] for user, role in frame.select("user", "role").iter_rows()}
    tasks = frame.filter(pl.col("role") != "train").sort("place", maintain_order=True)
    return part, {(user, role): items for user, role, items in tasks.group_by("user", "role").agg("item").iter_rows()}


@settings(max_examples=25, deadline=None)
@given(data_seed=st.integers(0, 10**6), seed=st.integers(0, 10**6), order=st.sampled_from(ORDERS))
def test_new_users_rows_and_items_move_nobody(data_seed, seed, order):
    frame = random_frame(data_seed, users=200, least=3)  # so many that no seed leaves a part empty
    own, own_items = parts_of(table_of(frame), seed=seed, query=3, order=order)
    # Users and items that sort between the old ones, and more ratings for half of the old users.
    others = random_frame(data_seed + 1, users=200, least=4)
    elsewhere = pl.col("item").str.replace("i", "i1000")
    newcomers = others.with_columns(elsewhere, pl.col("user").str.replace("u", "u1000"))
    number = pl.col("user").str.slice(1).cast(pl.Int32)
    more = others.filter(number % 2 == 0).with_columns(elsewhere)
    grown = pl.concat([newcomers, more, frame]).unique(["user", "item"], keep="last", maintain_order=True)
    assert len(grown) > 2 * len(frame)
    part, items = parts_of(table_of(grown), seed=seed, query=3, order=order)
    assert {user: part[user] for user in own} == own
    untouched = {key: value for key, value in own_items.items() if int(key[0][1:]) % 2}
    assert untouched and {key: items[key] for key in untouched} == untouched


@settings(max_examples=15, deadline=None)
@given(data_seed=st.integers(0, 10**6), order=st.sampled_from(ORDERS), times=st.booleans())
def test_the_order_of_the_rows_in_the_file_does_not_matter(data_seed, order, times):
    """Many ratings of a user are of the same time, or all where there are no times."""
    frame = random_frame(data_seed, users=60, times=times or order == "time")
    tables = [table_of(frame), table_of(frame.sample(fraction=1.0, shuffle=True, seed=1))]
    one, other = (split_users(table, seed=0, query=3, order=order) for table in tables)
    assert one.sha256 == other.sha256
    assert parts_of(tables[0], seed=0, query=3, order=order) == parts_of(tables[1], seed=0, query=3, order=order)
    data = [training_tasks(table, support=2, query=2, order=order).data for table in tables]
    jax.tree.map(np.testing.assert_array_equal, *data)


def test_ratings_of_one_time_are_in_the_order_of_the_seeded_hash_and_the_share_is_told():
    frame = random_frame(3, users=200, items=20, least=10, most=10)
    table = table_of(frame.with_columns(timestamp=pl.lit(7)))
    held = split_users(table, seed=0, query=3, order="time").test
    np.testing.assert_array_equal(held.query, split_users(table, seed=0, query=3).test.query)
    assert_uniform(np.bincount((held.query - table.user_offsets[held.users][:, None]).ravel(), minlength=10))
    assert tied_cuts(table, held) == 1.0
    half = pl.when(pl.col("user").str.slice(1).cast(pl.Int64) % 2 == 0).then(7).otherwise(pl.int_range(pl.len()))
    mixed = table_of(frame.with_columns(timestamp=half))
    held = split_users(mixed, seed=0, query=3, order="time").test
    even = [int(user[1:]) % 2 == 0 for user in mixed.user_ids[held.users]]
    assert tied_cuts(mixed, held) == np.mean(even)
    assert tied_cuts(mixed, split_users(mixed, seed=0, query=3).test) is None


def test_the_hash_is_pinned():
    """Published results name a split by its seed or by its hash: neither may come to mean something else."""
    frame = pl.DataFrame({"user": [f"u{user}" for user in range(40)]}).join(
        pl.DataFrame({"item": ["i1", "i2", "i3"], "rating": [1.0, 2.5, 4.0], "timestamp": [5, 4, 3]}), how="cross"
    )
    part, items = parts_of(table_of(frame), seed=0, query=2)
    assert {user for user in part if part[user] == "valid"} == {"u8", "u11", "u21", "u29"}
    assert {user for user in part if part[user] == "test"} == {"u5", "u7", "u23", "u30", "u38"}
    assert items["u8", "valid_query"] == ["i2", "i3"]
    assert split_users(table_of(frame), seed=0, query=2).sha256[:16] == "31119f75e54acb2e"
    assert split_users(table_of(frame), seed=0, query=2, order="time").sha256[:16] == "b7f167b7f116875c"


@functools.cache
def many_users():
    return random_table(1, users=6_000, items=12, least=2, most=2)


def test_shares_are_80_10_10_and_the_seed_moves_people():
    part, _ = parts_of(many_users(), seed=0, query=1)
    assert len(part) == 6_000
    for name, share in (("train", 0.8), ("valid", 0.1), ("test", 0.1)):
        found = sum(value == name for value in part.values())
        assert abs(found - share * 6_000) < 4 * np.sqrt(6_000 * share * (1 - share))
    other, _ = parts_of(many_users(), seed=1, query=1)
    stay = sum(part[user] == other[user] for user in part) / 6_000
    assert abs(stay - (0.8**2 + 0.1**2 + 0.1**2)) < 0.03  # as if drawn anew


@settings(max_examples=25, deadline=None)
@given(
    data_seed=st.integers(0, 10**6),
    seed=st.integers(0, 10**6),
    query=st.integers(1, 5),
    order=st.sampled_from(ORDERS),
    bounds=st.sampled_from([(0, None), (5, 11)]),
    strict=st.booleans(),
)
def test_parts_are_disjoint_and_complete(data_seed, seed, query, order, bounds, strict):
    table = random_table(data_seed, users=200)
    split = split_users(
        table,
        seed=seed,
        query=query,
        order=order,
        min_ratings=bounds[0],
        max_ratings=bounds[1],
        filter_training=strict,
    )
    counts = np.diff(table.user_offsets)
    within = (counts >= bounds[0]) & (counts <= (bounds[1] or counts.max()))
    trained = np.unique(table.user[split.train_rows])
    groups = [trained, split.valid.users, split.test.users]
    everyone = np.concatenate(groups)
    assert len(set(everyone.tolist())) == len(everyone)
    # ALL ratings of a training user are in training; whoever is missing was too short, or out of bounds.
    assert len(split.train_rows) == counts[trained].sum() == len(np.unique(split.train_rows))
    held = np.concatenate(groups[1:])
    assert within[held].all() and (counts[held] >= query).all()
    if strict:
        assert within[trained].all()
    missing = np.setdiff1d(np.arange(table.num_users), everyone)
    assert ((counts[missing] < query) | ~within[missing]).all()
    if not strict and bounds[1]:
        assert (~within[trained]).any()
    for part in (split.valid, split.test):
        for user, support, asked in zip(part.users, part.support, part.query, strict=True):
            rows = np.concatenate([support[support >= 0], asked])
            first, end = table.user_offsets[user : user + 2]
            assert sorted(rows.tolist()) == list(range(first, end)) and len(asked) == query
            assert (support[np.sum(support >= 0) :] == -1).all()  # padding at the end only
            if order == "time":
                assert (np.diff(table.timestamp[rows]) >= 0).all()


def test_random_order_is_not_the_order_of_the_file_or_of_time():
    table = random_table(5, users=300, items=20, least=10, most=10)
    held = split_users(table, seed=0, query=1).test
    place = held.query[:, 0] - table.user_offsets[held.users]  # of the query rating within its user
    assert_uniform(np.bincount(place, minlength=10))


@settings(max_examples=25, deadline=None)
@given(data_seed=st.integers(0, 10**6), query=st.integers(1, 4), order=st.sampled_from(ORDERS))
def test_one_query_for_every_k_and_a_support_that_only_grows(data_seed, query, order):
    table = random_table(data_seed, users=120, least=6)
    held = split_users(table, seed=0, query=query, order=order).test
    row_of = {(user, item): row for row, (user, item) in enumerate(zip(table.user, table.item, strict=True))}
    seen = {}  # user -> (support rows so far, query rows)
    for k in KS:
        tasks, kept = episodes(table, held, k, width=6)
        assert ((held.support[kept] >= 0).sum(1) >= (k or 0)).all()
        assert k is None or len(kept) == ((held.support >= 0).sum(1) >= k).sum()
        for task, user in enumerate(held.users[kept]):
            support, asked = (rows_shown(table, part, task, user, row_of) for part in (tasks.support, tasks.query))
            assert len(support) == k if k is not None else len(support) == np.diff(table.user_offsets)[user] - query
            assert not set(support) & set(asked) and len(set(support)) == len(support)
            before, same = seen.get(user, ([], asked))
            assert same == asked and support[: len(before)] == before
            if order == "time" and support:
                assert table.timestamp[support].max() <= table.timestamp[asked].min()
            seen[user] = (support, asked)
    assert len(seen) == len(held.users)


def rows_shown(table, examples, task, user, row_of):
    """Table rows of a task's real examples, by what a learner is shown of them; it must be true."""
    real = examples.mask[task] > 0
    assert real[: real.sum()].all()  # padding at the end only
    rows = [row_of[user, item] for item in examples.x.id[task][real]]
    assert (examples.y[task][real] == table.rating[rows]).all()
    assert (examples.x.context[task] == table.user_features.values[user]).all()
    assert (examples.x.content[task] == table.item_features.values[examples.x.id[task]]).all()
    return rows


def test_width_pads_and_nothing_else():
    table = random_table(2, users=80, least=8)
    held = split_users(table, seed=0, query=2).test
    bare, wide = episodes(table, held, 3)[0], episodes(table, held, 3, width=7)[0]
    assert bare.support.mask.shape == (len(held.users), 3) and wide.support.mask.shape == (len(held.users), 7)
    assert (wide.support.mask[:, 3:] == 0).all() and bare.support.mask.all()
    shown = [wide.support.x.id, wide.support.x.content, wide.support.y, wide.support.mask]
    wanted = [bare.support.x.id, bare.support.x.content, bare.support.y, bare.support.mask]
    jax.tree.map(np.testing.assert_array_equal, [leaf[:, :3] for leaf in shown], wanted)
    jax.tree.map(np.testing.assert_array_equal, wide.query, bare.query)
    longest = held.support.shape[1]
    assert episodes(table, held, None, width=3)[0].support.mask.shape[1] == longest > 3
    assert episodes(table, held, 0, width=0)[0].support.mask.shape == (len(held.users), 0)


def test_users_who_are_too_short_for_a_k_are_left_out_and_named_by_place():
    table = random_table(2, users=200, least=3, most=9)
    held = split_users(table, seed=0, query=2).valid
    tasks, kept = episodes(table, held, 5)
    counts = np.diff(table.user_offsets)[held.users]
    assert 0 < len(kept) < len(held.users)
    np.testing.assert_array_equal(kept, np.flatnonzero(counts >= 7))
    np.testing.assert_array_equal(tasks.query.x.context[:, 0], table.user_features.values[held.users[kept], 0])


def refusal(call, *args, **kwargs):
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_time_order_needs_timestamps():
    table = random_table(0, users=80, times=False)
    wanted = "toy has no timestamps; use random order"
    assert wanted in refusal(split_users, table, seed=0, query=2, order="time")
    assert wanted in refusal(training_tasks, table, support=2, query=2, order="time")
    assert split_users(table, seed=0, query=2).sha256
    unread = dataclasses.replace(table, untimed="toy: line 3: timestamp 'noon' is not a time")
    assert "line 3: timestamp 'noon' is not a time; use" in refusal(split_users, unread, seed=0, query=2, order="time")


def test_a_k_that_nobody_has_names_what_there_is():
    table = random_table(0, users=80, least=6, most=8)
    held = split_users(table, seed=0, query=2).test
    most = int((held.support >= 0).sum(1).max())
    message = refusal(episodes, table, held, 50)
    assert "toy: 50 support + 2 query" in message and f"works is {most + 2}, for example --query=2" in message


@pytest.mark.parametrize(
    "asked, part",
    [
        ({"query": 2, "min_ratings": 16}, "validation users"),
        ({"query": 2, "min_ratings": 16, "filter_training": True}, "training ratings"),
    ],
)
def test_an_empty_part_is_named_with_the_remedy(asked, part):
    message = refusal(split_users, random_table(0, users=80), seed=0, **asked)
    assert f"toy: the split has no {part}" in message and "ask for wider bounds, or give it more data" in message


@pytest.mark.parametrize("least, most", [(1, 1), (2, 5), (6, 8)])
@pytest.mark.parametrize("split", [split_users, split_users_and_items])
def test_what_is_said_to_be_the_largest_k_and_query_works_and_more_does_not(split, least, most):
    table = random_table(0, users=300, items=40, least=least, most=most)
    message = refusal(split, table, seed=0, query=41)
    largest, query, shots = re.search(r"works is (\d+), for example --query=(\d+) --shots=([\d,]+)\.", message).groups()
    assert int(largest) == int(query) + max(map(int, shots.split(",")))
    own = split(table, seed=0, query=int(query))
    check_shots(table, own, [int(k) for k in shots.split(",")])
    message = refusal(check_shots, table, own, [0, int(largest), "all"])
    assert f"{largest} support + {query} query ratings" in message and f"works is {largest}, " in message
    assert "the split has no" in refusal(split, table, seed=0, query=int(largest) + 1)


def test_what_fits_of_the_ks_that_were_asked_for_is_kept():
    assert fewer(5, 2, (0, 1, 3, 5)) == "the largest K + query that works is 5, for example --query=2 --shots=0,1,3"
    assert fewer(1, 10, (0, 5)).endswith("--query=1 --shots=0")


def test_no_test_users_and_no_training_task():
    table = random_table(0, users=80)
    split = split_users(table, seed=0, query=2)
    nobody = split.test._replace(users=split.test.users[:0])
    assert "no test users" in refusal(make_split, table, split.train_rows, split.valid, nobody)
    singles = random_table(0, users=20, least=1, most=1)
    assert "no training user has two ratings" in refusal(training_tasks, singles, support=2, query=2)


def test_pad_rows():
    lists = [np.array([5, 3]), np.array([], int), np.array([1])]
    np.testing.assert_array_equal(pad_rows(lists), [[5, 3], [-1, -1], [1, -1]])
    assert pad_rows([]).shape == (0, 0)
