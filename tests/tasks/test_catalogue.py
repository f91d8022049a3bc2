"""Ranking tasks: who is in which part, what is revealed, what is relevant, and what a training episode may hold."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_uniform, random_table

from metarec_jax.data.table import DataError
from metarec_jax.tasks.catalogue import (
    ImplicitUser,
    catalogue_episode,
    default_threshold,
    held_out_implicit_users,
    liked_only,
    rated_by,
    split_liked,
    training_catalogue,
)
from metarec_jax.tasks.splits import split_users

RATINGS = random_table(3, users=200, items=60, least=2, most=40)
LIKED = liked_only(RATINGS, 3.0)
SUPPORT, LEAST = 4, 7
SPLIT = split_liked(LIKED, seed=0, support=SUPPORT, least=LEAST)
TRAIN = LIKED.keep_rows(SPLIT.train_rows)


def likes(table, user: str) -> set[int]:
    return set(table.item[table.user_ids[table.user] == user].tolist())


def test_liked_rows_are_those_rated_high_enough_and_all_say_one():
    wanted = {
        (RATINGS.user_ids[u], i) for u, i, r in zip(RATINGS.user, RATINGS.item, RATINGS.rating, strict=True) if r >= 3.0
    }
    found = {(LIKED.user_ids[u], i) for u, i in zip(LIKED.user, LIKED.item, strict=True)}
    assert found == wanted and (LIKED.rating == 1.0).all() and LIKED.num_items == RATINGS.num_items
    assert len(liked_only(RATINGS, -np.inf).rating) == len(RATINGS.rating)
    with pytest.raises(DataError, match=r"nothing is rated 99 or more \(the highest .* is 5\); .* --liked=any"):
        liked_only(RATINGS, 99.0)


def test_three_quarters_up_the_scale_are_liked_but_of_counts_the_upper_half():
    def threshold(ratings):
        return default_threshold(dataclasses.replace(RATINGS, rating=np.float32(ratings)))

    for ratings, least in (([1, 2, 3, 4, 5], 4), ([0, 10, 5, 8], 7.5), ([1, 1, 1], 1)):
        assert threshold(ratings) == pytest.approx(least, rel=1e-5) and threshold(ratings) <= least
    counts = [1] * 30 + [2] * 20 + [5] * 30 + [70] * 19 + [9000]  # of plays: one item is heard all day
    assert threshold(counts) == 3.5 and threshold([1] * 99 + [50]) == 1


def test_what_is_said_to_be_the_largest_least_works_and_more_does_not():
    with pytest.raises(DataError) as caught:
        split_liked(LIKED, seed=0, support=10, least=1000)
    message = str(caught.value)
    least, shots = re.search(r"--least that works is (\d+), for example --least=\1 --shots=([\d,]+);", message).groups()
    assert "--liked=any" in message
    split_liked(LIKED, seed=0, support=max(map(int, shots.split(","))), least=int(least))
    with pytest.raises(DataError, match=rf"that works is {least}, [^;]*\.$"):
        split_liked(LIKED, seed=0, support=1, least=int(least) + 1, everything=True)
    single = LIKED.keep_rows(LIKED.user_offsets[:-1])
    with pytest.raises(DataError, match="it takes two for each, one to know and one to find"):
        split_liked(single, seed=0, support=1, least=2)


def test_no_user_is_in_two_parts_and_the_parts_are_those_of_user_cold_start():
    train = set(TRAIN.user_ids)
    valid, test = (set(LIKED.user_ids[part.users]) for part in (SPLIT.valid, SPLIT.test))
    assert not (train & valid or train & test or valid & test)
    other = split_users(RATINGS, seed=0, query=1)
    assert valid <= set(RATINGS.user_ids[other.valid.users]) and test <= set(RATINGS.user_ids[other.test.users])
    assert train <= set(RATINGS.user_ids[RATINGS.user[other.train_rows]])


def test_whatever_the_training_users_rated_and_nothing_of_others():
    rated = rated_by(RATINGS, TRAIN)
    wanted = {
        (RATINGS.user_ids[user], int(item))
        for user, item in zip(RATINGS.user, RATINGS.item, strict=True)
        if RATINGS.user_ids[user] in set(TRAIN.user_ids)
    }
    found = set(zip(rated.user_ids[rated.user], rated.item.tolist(), strict=True))
    assert found == wanted and len(rated.rating) == len(wanted) > len(TRAIN.rating)
    assert (rated.rating == 1).all() and rated.num_items == TRAIN.num_items


@pytest.mark.parametrize("part", [SPLIT.valid, SPLIT.test])
def test_support_grows_by_one_item_and_what_is_relevant_never_changes(part):
    before = held_out_implicit_users(LIKED, part, 0)
    assert (before.support == -1).all() and before.support.shape == (len(part.users), SUPPORT)
    for shots in range(1, SUPPORT + 1):
        now = held_out_implicit_users(LIKED, part, shots)
        np.testing.assert_array_equal(now.relevant, before.relevant)
        np.testing.assert_array_equal(now.support[:, : shots - 1], before.support[:, : shots - 1])
        assert (now.support[:, :shots] >= 0).all() and (now.support[:, shots:] == -1).all()
        before = now
    for user, support, relevant in zip(LIKED.user_ids[part.users], before.support, before.relevant, strict=True):
        known, sought = set(support.tolist()), set(relevant[relevant >= 0].tolist())
        assert len(known) == SUPPORT and not known & sought
        assert known | sought == likes(LIKED, user) and len(known | sought) >= LEAST


def test_another_rating_moves_nobody_and_no_other_rating():
    """Leaving one user's rows out leaves everybody else's tasks as they are."""
    gone = LIKED.user_ids[SPLIT.test.users[0]]
    fewer = LIKED.keep_rows(np.flatnonzero(LIKED.user_ids[LIKED.user] != gone))
    again = split_liked(fewer, seed=0, support=SUPPORT, least=LEAST)
    for name in ("valid", "test"):
        old, new = getattr(SPLIT, name), getattr(again, name)
        kept = LIKED.user_ids[old.users] != gone
        np.testing.assert_array_equal(LIKED.user_ids[old.users][kept], fewer.user_ids[new.users])
        for k in (0, 3):
            a, b = held_out_implicit_users(LIKED, old, k), held_out_implicit_users(fewer, new, k)
            np.testing.assert_array_equal(a.support[kept], b.support)


def test_impossible_splits_are_refused():
    with pytest.raises(DataError, match="none left after a support of 10"):
        split_liked(LIKED, seed=0, support=10, least=10)
    with pytest.raises(DataError, match="no validation users"):
        split_liked(LIKED, seed=0, support=10, least=1000)


def test_an_episode_has_every_item_as_candidate_but_the_support():
    content = jnp.arange(12.0).reshape(6, 2)
    user = ImplicitUser(jnp.array([4, 1, -1]), jnp.array([0, 5, -1, -1]), jnp.array([7.0]))
    support, query = jax.jit(catalogue_episode)(content, user)
    np.testing.assert_array_equal(support.mask, [1, 1, 0])
    np.testing.assert_array_equal(support.x.id[:2], [4, 1])
    np.testing.assert_array_equal(support.x.content[:2], content[jnp.array([4, 1])])
    np.testing.assert_array_equal(query.x.id, np.arange(6))
    np.testing.assert_array_equal(query.y, [1, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(query.mask, [1, 0, 1, 1, 0, 1])
    np.testing.assert_array_equal(query.x.context, [7.0])


def draw(tasks, number: int):
    return jax.jit(jax.vmap(tasks.sample, (None, 0)))(tasks.data, jax.random.split(jax.random.key(0), number))


def test_training_episodes_hold_likes_of_one_training_user():
    support, query = jax.device_get(draw(training_catalogue(TRAIN, support=5), 400))
    liked = {user: likes(TRAIN, user) for user in TRAIN.user_ids}
    of_number = {LIKED.user_features.values[i, 0]: name for i, name in enumerate(LIKED.user_ids)}
    for ids, real, y, mask, context in zip(
        support.x.id, support.mask, query.y, query.mask, query.x.context, strict=True
    ):
        own = liked[of_number[float(context[0])]]
        known, sought = set(ids[real > 0].tolist()), set(np.flatnonzero(y).tolist())
        assert known <= own and sought <= own and not known & sought
        assert len(known) == real.sum() and set(np.flatnonzero(mask == 0).tolist()) == known
        assert known | sought == own and sought
    sizes = np.bincount(np.asarray(support.mask.sum(1), int), minlength=6)
    assert (sizes[:6] > 0).all()


def test_support_sizes_rows_and_items_are_equally_likely():
    """Users with 8 likes, or 1, or 16, of which 0 to 3 are known: none with 1, and twice as often the one with 16."""
    counts = np.diff(TRAIN.user_offsets)
    users = np.flatnonzero(counts >= 16)[:5]
    rows = [TRAIN.user_offsets[user] + np.arange(n) for user, n in zip(users, (8, 1, 8, 16, 8), strict=True)]
    eight = TRAIN.keep_rows(np.concatenate(rows))
    support, query = draw(training_catalogue(eight, support=3), 4000)
    assert_uniform(np.bincount(np.asarray(support.mask.sum(1), int), minlength=4))
    numbers, seen = np.unique(np.asarray(query.x.context[:, 0]), return_counts=True)
    sixteen = numbers == eight.user_features.values[3, 0]
    assert len(numbers) == 4 and eight.user_features.values[1, 0] not in numbers
    assert_uniform(np.append(seen[~sixteen], [seen[sixteen].item() // 2] * 2))
    one = np.asarray(query.x.context[:, 0]) == eight.user_features.values[0, 0]
    first = np.asarray(support.x.id[:, 0])[one & (np.asarray(support.mask[:, 0]) > 0)]
    assert_uniform(np.unique(first, return_counts=True)[1])
    assert len(np.unique(first)) == 8


def test_ids_and_content_of_a_batch_are_not_repeated_for_every_user():
    """`vmap` leaves unbatched what does not depend on the key: the memory of a step does not hold [T, I, F]."""
    tasks = training_catalogue(TRAIN, support=3)

    def ids_and_content(key):
        x = tasks.sample(tasks.data, key).query.x
        return x.id, x.content

    keys = jax.random.split(jax.random.key(0), 17)
    found = jax.vmap(ids_and_content, out_axes=None)(keys)  # an error if either depends on the key
    assert found[1].shape == tasks.data.content.shape


def test_a_table_without_pairs_of_likes_is_refused():
    single = TRAIN.keep_rows(TRAIN.user_offsets[:-1])
    with pytest.raises(DataError, match="no training user likes two items"):
        training_catalogue(single)
