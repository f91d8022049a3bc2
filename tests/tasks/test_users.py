"""Training users as tasks: each episode is what it claims to be, and every user and rating has its chance."""

import functools

import jax
import numpy as np
import pytest
from helpers import assert_uniform, random_table
from scipy import stats

from metarec_jax.tasks.splits import split_users
from metarec_jax.tasks.users import training_tasks

ORDERS = ["random", "time"]


LONG = 10  # users of the table below have 1 to 10 ratings, and S + Q = 7


@functools.cache
def train_table():
    """50 of its users can be a task: a multiple of LONG, and LONG one of the 5 sizes of a support, so that a random
    number used for two purposes would show."""
    table = random_table(170, users=60, items=25, least=1, most=LONG)
    assert np.sum(np.diff(table.user_offsets) >= 2) == 50
    return table


@functools.cache
def drawn(order, vary, support=4, query=3, number=12_000):
    """Episodes of `train_table`, as numpy; every one is another key's."""
    tasks = training_tasks(train_table(), support=support, query=query, vary_support=vary, order=order)
    keys = jax.random.split(jax.random.key(1), number)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(tasks.sample, in_axes=(None, 0)))(tasks.data, keys))


def located(order, vary):
    """Users [E] and table rows [E, S] and [E, Q] of episodes, -1 padding, checked against what is shown of them."""
    table, batch = train_table(), drawn(order, vary)
    by_number = {number: user for user, number in enumerate(table.user_features.values[:, 0])}
    user = np.array([by_number[number] for number in batch.query.x.context[:, 0]])
    row_of = np.full((table.num_users, table.num_items), -1)
    row_of[table.user, table.item] = np.arange(len(table.user))
    found = []
    for part in batch:
        real = part.mask > 0
        assert (np.sort(part.mask, 1)[:, ::-1] == part.mask).all()  # padding at the end only
        rows = np.where(real, row_of[user[:, None], part.x.id], -1)
        assert ((rows >= 0) == real).all()  # each belongs to the one user
        assert (part.x.context == table.user_features.values[user]).all()
        assert (part.x.content == table.item_features.values[part.x.id]).all()
        assert (part.y == table.rating[rows])[real].all()
        found.append(rows)
    return user, *found


CASES = [(order, vary) for order in ORDERS for vary in (True, False)]


@pytest.mark.parametrize("order, vary", CASES)
def test_an_episode_is_different_ratings_of_one_training_user(order, vary):
    _, support, query = located(order, vary)
    rows = np.sort(np.concatenate([support, query], 1))
    assert ((np.diff(rows) > 0) | (rows[:, :-1] == -1)).all()


@pytest.mark.parametrize("order, vary", CASES)
def test_sizes_of_long_and_short_users(order, vary):
    user, support, query = located(order, vary)
    count = np.diff(train_table().user_offsets)[user]
    supported, queried = (support >= 0).sum(1), (query >= 0).sum(1)
    assert count.min() == 2 and (queried == np.minimum(3, count // 2)).all()
    if vary:
        assert (supported <= np.minimum(4, count - queried)).all()
        assert_uniform(np.bincount(supported[count >= 7], minlength=5))
    else:
        assert (supported == np.minimum(4, count - queried)).all()


@pytest.mark.parametrize("order", ORDERS)
def test_every_user_with_a_task_is_equally_likely(order):
    counts = np.diff(train_table().user_offsets)
    assert (counts == 1).any()  # has no task
    times = np.bincount(located(order, True)[0], minlength=len(counts))
    assert (times[counts == 1] == 0).all()
    assert_uniform(times[counts > 1])


def test_user_size_and_ratings_are_drawn_independently():
    """Each has random numbers of its own: among long users, sizes and places do not depend on who it is."""
    user, support, query = located("random", True)
    count = np.diff(train_table().user_offsets)[user]
    who, size = user, (support >= 0).sum(1)
    place = np.where(size > 0, support[:, 0], query[:, 0]) - train_table().user_offsets[user]  # the first to be drawn
    for chosen, one, other in ((count >= 7, who, size), (count == LONG, who, place), (count == LONG, size, place)):
        table = np.zeros((one.max() + 1, other.max() + 1))
        np.add.at(table, (one[chosen], other[chosen]), 1)
        table = table[table.any(1)][:, table.any(0)]
        assert min(table.shape) >= 2 and stats.chi2_contingency(table).pvalue > 1e-4


def test_every_rating_is_equally_likely_at_every_place_in_random_order():
    table = train_table()
    user, support, query = located("random", False)
    for who in np.flatnonzero(np.diff(table.user_offsets) == LONG):
        first = table.user_offsets[who]
        for place in (*support[user == who].T, *query[user == who].T):
            assert_uniform(np.bincount(place - first, minlength=LONG))


def test_in_time_order_every_rating_is_drawn_as_often_and_the_past_supports_the_future():
    table = train_table()
    for vary in (True, False):
        user, support, query = located("time", vary)
        some = (support >= 0).any(1)
        latest = np.where(support >= 0, table.timestamp[support], -1).max(1)
        earliest = np.where(query >= 0, table.timestamp[query], 2**60).min(1)
        assert some.any() and (latest <= earliest).all()
    for who in np.flatnonzero(np.diff(table.user_offsets) == LONG):  # always 7 of its ratings
        rows = np.concatenate([support, query], 1)[user == who] - table.user_offsets[who]
        share, number = 7 / LONG, len(rows)
        times = np.bincount(rows.ravel(), minlength=LONG)
        assert (np.abs(times - share * number) < 5 * np.sqrt(number * share * (1 - share))).all()


def test_random_order_does_look_at_any_time():
    """The check above can fail: in random order support ratings are often later than query ratings."""
    table = train_table()
    _, support, query = located("random", False)
    latest = np.where(support >= 0, table.timestamp[support], -1).max(1)
    assert (latest > np.where(query >= 0, table.timestamp[query], 2**60).min(1)).mean() > 0.5


def test_a_held_out_user_never_enters_training_data():
    table = random_table(7, users=100)
    split = split_users(table, seed=0, query=3)
    train = table.keep_rows(split.train_rows)
    tasks = training_tasks(train, support=4, query=3)
    held = {table.user_ids[user] for part in (split.valid, split.test) for user in part.users}
    assert held and not held & set(train.user_ids)
    assert len(train.rating) == len(split.train_rows) == tasks.data.item.shape[0]
    eligible = np.diff(train.user_offsets) >= 2
    np.testing.assert_array_equal(tasks.data.context, train.user_features.values[eligible])
    assert train.item_ids is table.item_ids  # item numbers mean the same on both sides


def test_sampling_does_not_copy_the_table_into_the_program():
    table = train_table()
    tasks = training_tasks(table, support=4, query=3)
    traced = jax.make_jaxpr(tasks.sample)(tasks.data, jax.random.key(0))
    assert all(np.size(constant) <= 1 for constant in traced.consts)


def test_unseen_items_have_strange_ids_and_their_own_content():
    """The one feature of an item is the number in its raw id, so content tells which item it really is."""
    table = random_table(2, users=40, items=30, least=6)
    train = table.keep_rows(np.flatnonzero(table.item < 25))
    tasks = training_tasks(train, support=4, query=3, unseen=0.5)
    drawn = jax.jit(jax.vmap(tasks.sample, in_axes=(None, 0)))(tasks.data, jax.random.split(jax.random.key(0), 400))
    plain = training_tasks(train, support=4, query=3)
    same = jax.jit(jax.vmap(plain.sample, in_axes=(None, 0)))(plain.data, jax.random.split(jax.random.key(0), 400))
    for part, own in zip(drawn, same, strict=True):
        np.testing.assert_array_equal(part.x.content, own.x.content)
        np.testing.assert_array_equal(part.y, own.y)
        strange = np.asarray(part.x.id) >= 25
        assert (strange.all(1) | ~strange.any(1)).all()  # a whole episode or nothing of it
        np.testing.assert_array_equal(np.asarray(part.x.id)[~strange], np.asarray(own.x.id)[~strange])
    assert_uniform(np.bincount((np.asarray(drawn.query.x.id[:, 0]) >= 25).astype(int), minlength=2))
    ids = np.asarray(drawn.query.x.id)
    assert_uniform(np.bincount(ids[ids >= 25] - 25, minlength=5))
    everything = training_tasks(table, support=4, query=3, unseen=1.0)  # nothing is unrated: nothing is hidden
    assert jax.jit(everything.sample)(everything.data, jax.random.key(1)).query.x.id.max() < 30
