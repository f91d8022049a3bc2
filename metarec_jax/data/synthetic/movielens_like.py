"""Ratings as many as wanted, in the layout of MovieLens-32M, to try what does not fit a device.

A user's number of ratings is 20 and a lognormal number more, an item's popularity falls with its rank by a power, as in
MovieLens, and ratings come from latent factors, so that there is something to learn:

    rating = 3.5 + b_j + c_i + v_j . u_i + noise, rounded to half stars from 0.5 to 5.

An item's v_j are around the mean of its genres. Which items a user rates has nothing to do with how they are rated. The
rows are in order of users and films, as in the official file, and so not in that of their times. Users are made some at
a time: memory does not depend on their number, save for 8 bytes each.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from metarec_jax.data.io.columns import blocks_of_users

LEAST = 20  # ratings of a user
ROWS = 2_000_000  # made at a time
DIMS = 8
GENRES = (
    "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


class Films(NamedTuple):
    """What there is to rate."""

    ids: np.ndarray  # [I] int64, ascending, with gaps
    genres: np.ndarray  # [I, G] bool
    cumulative: np.ndarray  # [I] chance of a film or one before it
    vectors: np.ndarray  # [I, D]
    bias: np.ndarray  # [I]

    def frame(self) -> pl.DataFrame:
        """As movies.csv has them."""
        titles = [f"Film {number} ({1930 + number % 94})" for number in self.ids]
        genres = ["|".join(np.array(GENRES)[row]) or "(no genres listed)" for row in self.genres]
        return pl.DataFrame({"movieId": self.ids, "title": titles, "genres": genres})


def make_films(seed: int, items: int) -> Films:
    """Films whose popularity is a power of their rank, and whose rank says nothing of the rest."""
    rng = np.random.default_rng([seed, 0])
    genres = rng.random((items, len(GENRES))) < 0.12
    means = rng.normal(size=(len(GENRES), DIMS))
    vectors = 0.15 * (genres @ means + rng.normal(size=(items, DIMS)))
    popularity = (rng.permutation(items) + 30.0) ** -1.1
    ids = 1 + np.sort(rng.choice(3 * items, items, replace=False))
    return Films(ids, genres, np.cumsum(popularity / popularity.sum()), vectors, 0.45 * rng.normal(size=items))


def make_ratings(seed: int, films: Films, *, users: int, ratings: int) -> Iterator[pl.DataFrame]:
    """`ratings` rows of ratings.csv, some millions at a time, in order of users and films.

    Raises:
      ValueError: users would have fewer than 20 ratings, or a twentieth of the films or more on average.
    """
    counts = _counts(np.random.default_rng([seed, 1]), users, ratings, len(films.ids) // 10)
    for part in blocks_of_users(counts, ROWS):
        yield _rate(np.random.default_rng([seed, 2, part.start]), counts[part], part.start, films)


def _counts(rng: np.random.Generator, users: int, ratings: int, most: int) -> np.ndarray:
    """[U] int64 ratings of each user, `LEAST` to `most`, which add up to `ratings`."""
    if not LEAST * users <= ratings <= users * most // 2:
        raise ValueError(f"{users} users cannot have {ratings} ratings: {LEAST} to {most // 2} each are possible.")
    more = rng.lognormal(0.0, 1.3, users)
    counts = np.full(users, LEAST)
    while (left := ratings - counts.sum()) > 0:  # what the cap cut off is dealt again
        free = counts < most
        wanted = np.floor(np.where(free, more, 0) * left / more[free].sum()).astype(np.int64)
        counts = np.minimum(counts + wanted, most)
        if wanted.sum() == 0:
            counts[rng.choice(np.flatnonzero(free), min(left, free.sum()), replace=False)] += 1
    return counts


def _rate(rng: np.random.Generator, counts: np.ndarray, first: int, films: Films) -> pl.DataFrame:
    """The rows of some users, of whom the first has the number `first`."""
    who, what = _choose(rng, counts, films)
    vectors, bias = rng.normal(size=(len(counts), DIMS)), 0.4 * rng.normal(size=len(counts))
    liking = np.einsum("rd,rd->r", vectors[who], films.vectors[what])
    exact = 3.5 + films.bias[what] + bias[who] + liking + 0.7 * rng.normal(size=len(who))
    joined = rng.integers(820_000_000, 1_700_000_000, len(counts))
    return pl.DataFrame(
        {
            "userId": who + first + 1,
            "movieId": films.ids[what],
            "rating": np.clip(np.round(2 * exact), 1, 10) / 2,
            "timestamp": joined[who] + rng.integers(0, 86_400 * 30, len(who)),
        }
    )


def _choose(rng: np.random.Generator, counts: np.ndarray, films: Films) -> tuple[np.ndarray, np.ndarray]:
    """(user, film) numbers, each [counts.sum()]: as many different films of each user, popular ones more often."""
    users, items = len(counts), len(films.ids)
    pairs, have = np.zeros(0, np.int64), np.zeros(users, np.int64)
    while (short := np.maximum(counts - have, 0)).any():
        who = np.repeat(np.arange(users), np.where(short > 0, short + short // 2 + 8, 0))
        what = np.minimum(np.searchsorted(films.cumulative, rng.random(len(who))), items - 1)
        pairs = np.sort(np.concatenate([pairs, who * items + what]))
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # numpy.unique takes ten times as long
        have = np.bincount(pairs // items, minlength=users)
    order = np.lexsort((rng.random(len(pairs)), pairs // items))  # of too many, some at random
    place = np.arange(len(pairs)) - np.repeat(np.cumsum(have) - have, have)
    pairs = np.sort(pairs[order[place < np.repeat(counts, have)]])
    return pairs // items, pairs % items
