"""Ranking the whole catalogue for a cold user: the support is K liked items, and every other item is a candidate.

Feedback is implicit: an item is liked or nothing is known about it, and y is 1 or 0. A held-out user's relevant items
are the same for every K. The candidates of all episodes are the same rows in the same order, so of the arrays of the
size of the catalogue only y, the mask and the scores depend on the user: `vmap` does not copy ids and content.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.hashing import seeded_hash
from metarec_jax.data.table import DataError, Ratings
from metarec_jax.tasks.hashing import in_hash_order
from metarec_jax.tasks.sampling import below, draw_distinct
from metarec_jax.tasks.splits import HeldOut, Split, make_split, pad_rows
from metarec_jax.types import Array, Episode, Examples, Inputs, Tasks

RARE = 0.05  # a share of ratings


def default_threshold(ratings: Ratings) -> float:
    """The least rating of a liked item, three quarters up the scale: 4 for 1..5, 7.5 for 0..10.

    Where fewer than one rating in twenty is so high, as in counts of plays, whose scale ends with the one item that
    somebody plays all day, it is the median rating.
    """
    threshold = ratings.scale.liked
    return float(np.median(ratings.rating)) if np.mean(ratings.rating >= threshold) < RARE else threshold


def liked_only(ratings: Ratings, threshold: float) -> Ratings:
    """The rows rated at least `threshold` (-inf: any interaction), with rating 1; users without such a row are dropped.

    Raises:
      DataError: there is no such row.
    """
    kept = ratings.keep_rows(np.flatnonzero(ratings.rating >= threshold))
    if len(kept.rating) == 0:
        raise DataError(
            f"{ratings.name}: nothing is rated {threshold:g} or more (the highest rating is {ratings.levels[-1]:g}); "
            "choose another --liked, or --liked=any for whatever was rated."
        )
    return dataclasses.replace(kept, rating=np.ones_like(kept.rating))


def rated_by(ratings: Ratings, train: Ratings) -> Ratings:
    """All items that the users of `train` rated, liked or not, with rating 1 and the users and items of `train`.

    Args:
      ratings: the whole table, with the items of `train`.
      train: the training part of `liked_only`.
    """
    rows = np.flatnonzero(np.isin(ratings.user_ids, train.user_ids)[ratings.user])
    return liked_only(ratings.keep_rows(rows), float("-inf"))


def split_liked(liked: Ratings, *, seed: int, support: int = 10, least: int = 15, everything: bool = False) -> Split:
    """80% of the users train, 10% validate, 10% test, as in user cold start.

    A held-out user's liked items are sorted by a hash of (seed, user, item): the first `support` can be revealed, all
    others are relevant.

    Args:
      liked: a table from `liked_only`.
      seed: another seed gives another split.
      support: the largest K.
      least: number of liked items that a held-out user has at least; other users are left out.
      everything: whether whatever was rated is liked, so that a message need not propose it.

    Raises:
      DataError: `least` leaves no relevant item, or a part of the split is empty.
    """
    if least <= support:
        raise DataError(f"users with {least} liked items have none left after a support of {support}; ask for more.")
    counts = np.diff(liked.user_offsets)
    folds = np.array([seeded_hash(seed, user) % 10 for user in liked.user_ids])

    def held_out(fold: int) -> HeldOut:
        users = np.flatnonzero((folds == fold) & (counts >= least))
        orders = [in_hash_order(liked, np.arange(*liked.user_offsets[[user, user + 1]]), seed) for user in users]
        supports, relevant = [rows[:support] for rows in orders], [rows[support:] for rows in orders]
        return HeldOut(users.astype(np.int32), pad_rows(supports), pad_rows(relevant))

    most = min(int(counts[folds == fold].max(initial=0)) for fold in (8, 9))
    rows, remedy = np.flatnonzero((folds < 8)[liked.user]), fewer_liked(most, everything)
    return make_split(liked, rows, held_out(8), held_out(9), remedy=remedy)


def fewer_liked(most: int, everything: bool) -> str:
    """What to ask for where held-out users like too few items; `most` is the largest `least` that works."""
    ks = ",".join(str(k) for k in sorted({0, most // 2, max(most - 1, 0)}))
    lower = f"the largest --least that works is {most}, for example --least={most} --shots={ks}"
    proposals = [lower if most >= 2 else "it takes two for each, one to know and one to find"]
    if not everything:
        proposals.append("or let more count as liked by --liked, with --liked=any whatever was rated")
    return "; ".join(proposals)


class ImplicitUser(NamedTuple):
    """One user as a task, at a size that does not depend on the catalogue. Items are indices, -1 is padding."""

    support: Array  # [S] int32, items known to be liked
    relevant: Array  # [R] int32, held-out items that should be ranked high
    context: Array  # [G] float32, the user's side features


def held_out_implicit_users(liked: Ratings, held_out: HeldOut, shots: int) -> ImplicitUser:
    """The held-out users with their first `shots` support items; leading [T] on every leaf (numpy).

    The support has the width of the largest K, so that one compiled program serves every K.
    """
    support = np.where(np.arange(held_out.support.shape[1]) < shots, held_out.support, -1)

    def items(rows: np.ndarray) -> np.ndarray:
        return np.where(rows >= 0, liked.item[np.maximum(rows, 0)], -1).astype(np.int32)

    return ImplicitUser(items(support), items(held_out.query), liked.user_features.values[held_out.users])


def catalogue_episode(content: Array, user: ImplicitUser) -> Episode:
    """The user's support, and all items as the query, with y and mask 0 at the items of the support.

    Args:
      content: [I, F] side features of all items.
      user: one user, without a leading axis.
    """
    number = content.shape[0]
    flags = jnp.zeros(number)
    relevant, known = (
        flags.at[jnp.where(items >= 0, items, number)].set(1.0, mode="drop") for items in (user.relevant, user.support)
    )
    unknown = 1.0 - known
    query = Examples(Inputs(jnp.arange(number), content, user.context), relevant * unknown, unknown)
    return Episode(liked_support(content, user), query)


def liked_support(content: Array, user: ImplicitUser) -> Examples:
    """The user's support as examples with y = 1; `content` is [I, F] of all items."""
    ids = jnp.maximum(user.support, 0)
    real = (user.support >= 0).astype(jnp.float32)
    return Examples(Inputs(ids, content[ids], user.context), jnp.ones(len(ids)), real)


class _TrainData(NamedTuple):
    start: Array  # [U] int32 first row of each training user
    count: Array  # [U] int32 number of liked items
    item: Array  # [R] int32
    user: Array  # [R] int32 the user of each row, in the numbering of `start`
    content: Array  # [I, F] float32
    context: Array  # [U, G] float32


def training_catalogue(train: Ratings, *, support: int = 10) -> Tasks:
    """Training users as a task distribution on the device; a user's probability is proportional to the liked items.

    An episode has K liked items of the user as support, with K uniform on 0..support but smaller than the user's number
    of liked items, and all other liked items as positives. So no liked item is a negative, and a learner with counts
    over the training users can subtract this user's (`models.neighbours.leave_out`).

    A ranking metric counts every relevant item alike. A loss that is a mean over a user's n positives weighs an item by
    1 / n; drawing the user with a probability proportional to n cancels that weight, so that without support the best
    ranking is by popularity.

    Args:
      train: the training part of a table from `liked_only`; users with one item only cannot be a task and are left out.
      support: the largest K.

    Raises:
      DataError: no user has two liked items.
    """
    counts = np.diff(train.user_offsets)
    users = np.flatnonzero(counts >= 2)
    if len(users) == 0:
        raise DataError(f"{train.name}: no training user likes two items, so there is no task to train on.")
    rows = np.flatnonzero(counts[train.user] >= 2)
    data = _TrainData(
        start=jnp.asarray(np.cumsum(counts[users]) - counts[users], jnp.int32),
        count=jnp.asarray(counts[users], jnp.int32),
        item=jnp.asarray(train.item[rows]),
        user=jnp.asarray(np.repeat(np.arange(len(users)), counts[users]), jnp.int32),
        content=jnp.asarray(train.item_features.values),
        context=jnp.asarray(train.user_features.values[users]),
    )

    longest = int(counts.max())

    def sample(data: _TrainData, key: Array) -> Episode:
        bits = jax.random.bits(key, (2 + support,))
        user = data.user[below(bits[0], data.user.shape[0])]
        start, count = data.start[user], data.count[user]
        num_support = jnp.minimum(below(bits[1], support + 1), count - 1)
        position = jnp.arange(longest)
        implicit_user = ImplicitUser(
            support=jnp.where(jnp.arange(support) < num_support, data.item[start + draw_distinct(bits[2:], count)], -1),
            relevant=jnp.where(position < count, data.item[start + jnp.minimum(position, count - 1)], -1),
            context=data.context[user],
        )
        return catalogue_episode(data.content, implicit_user)

    return Tasks(data, sample)
