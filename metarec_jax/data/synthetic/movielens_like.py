"""Synthetic ratings of any size in the layout of MovieLens-32M, to test data that does not fit a device.

A user has 20 ratings plus a lognormal number. An item's popularity is a power of its rank, as in MovieLens. Ratings
come from latent factors, so that there is something to learn:

    rating = 3.5 + b_j + c_i + v_j . u_i + noise, rounded to half stars from 0.5 to 5.

An item's vector v_j varies around the mean of its genres. Which items a user rates is independent of the ratings. Rows
are sorted by user and film, as in the official file, and not by time. Users are generated in blocks, so memory does not
grow with the number of users, except for 8 bytes a user.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from metarec_jax.data.io.columns import blocks_of_users

MIN_RATINGS = 20  # of a user
ROWS = 2_000_000  # ratings in a block, about
DIMS = 8  # length of the latent vectors
GENRES = (
    "Action", "Adventure", "Animation", "Children", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


class Films(NamedTuple):
    """The items."""

    ids: np.ndarray  # [I] int64, ascending, with gaps
    genres: np.ndarray  # [I, G] bool
    cumulative: np.ndarray  # [I] cumulative probability of being rated
    vectors: np.ndarray  # [I, D]
    bias: np.ndarray  # [I]

    def frame(self) -> pl.DataFrame:
        """The films in the columns of movies.csv."""
        titles = [f"Film {number} ({1930 + number % 94})" for number in self.ids]
        genres = ["|".join(np.array(GENRES)[row]) or "(no genres listed)" for row in self.genres]
        return pl.DataFrame({"movieId": self.ids, "title": titles, "genres": genres})


def make_films(seed: int, items: int) -> Films:
    """Draw films whose popularity is a power of their rank; the rank is independent of everything else."""
    rng = np.random.default_rng([seed, 0])
    genres = rng.random((items, len(GENRES))) < 0.12
    means = rng.normal(size=(len(GENRES), DIMS))
    vectors = 0.15 * (genres @ means + rng.normal(size=(items, DIMS)))
    popularity = (rng.permutation(items) + 30.0) ** -1.1
    ids = 1 + np.sort(rng.choice(3 * items, items, replace=False))
    return Films(ids, genres, np.cumsum(popularity / popularity.sum()), vectors, 0.45 * rng.normal(size=items))


def make_ratings(seed: int, films: Films, *, users: int, ratings: int) -> Iterator[pl.DataFrame]:
    """Yield `ratings` rows of ratings.csv in blocks of about `ROWS`, sorted by user and film.

    Raises:
      ValueError: users would have fewer than 20 ratings, or a twentieth of the films or more on average.
    """
    counts = _counts(np.random.default_rng([seed, 1]), users, ratings, len(films.ids) // 10)
    for block in blocks_of_users(counts, ROWS):
        yield _rate(np.random.default_rng([seed, 2, block.start]), counts[block], block.start, films)


def _counts(rng: np.random.Generator, users: int, ratings: int, most: int) -> np.ndarray:
    """[U] int64 ratings of each user, `MIN_RATINGS` to `most`, which add up to `ratings`."""
    if not MIN_RATINGS * users <= ratings <= users * most // 2:
        raise ValueError(
            f"{users} users cannot have {ratings} ratings: {MIN_RATINGS} to {most // 2} each are possible."
        )
    weights = rng.lognormal(0.0, 1.3, users)
    counts = np.full(users, MIN_RATINGS)
    while (missing := ratings - counts.sum()) > 0:  # what the cap cut off is distributed again
        below_most = counts < most
        added = np.floor(np.where(below_most, weights, 0) * missing / weights[below_most].sum()).astype(np.int64)
        counts = np.minimum(counts + added, most)
        if added.sum() == 0:
            counts[rng.choice(np.flatnonzero(below_most), min(missing, below_most.sum()), replace=False)] += 1
    return counts


def _rate(rng: np.random.Generator, counts: np.ndarray, first: int, films: Films) -> pl.DataFrame:
    """The rows of a block of users; `first` is the number of its first user."""
    user, item = _choose(rng, counts, films)
    vectors, bias = rng.normal(size=(len(counts), DIMS)), 0.4 * rng.normal(size=len(counts))
    interaction = np.einsum("rd,rd->r", vectors[user], films.vectors[item])
    exact = 3.5 + films.bias[item] + bias[user] + interaction + 0.7 * rng.normal(size=len(user))
    joined = rng.integers(820_000_000, 1_700_000_000, len(counts))
    return pl.DataFrame(
        {
            "userId": user + first + 1,
            "movieId": films.ids[item],
            "rating": np.clip(np.round(2 * exact), 1, 10) / 2,
            "timestamp": joined[user] + rng.integers(0, 86_400 * 30, len(user)),
        }
    )


def _choose(rng: np.random.Generator, counts: np.ndarray, films: Films) -> tuple[np.ndarray, np.ndarray]:
    """(user, film) numbers, each [counts.sum()]: distinct films of each user, drawn by popularity."""
    users, items = len(counts), len(films.ids)
    pairs, distinct = np.zeros(0, np.int64), np.zeros(users, np.int64)
    while (missing := np.maximum(counts - distinct, 0)).any():
        user = np.repeat(np.arange(users), np.where(missing > 0, missing + missing // 2 + 8, 0))
        item = np.minimum(np.searchsorted(films.cumulative, rng.random(len(user))), items - 1)
        pairs = np.sort(np.concatenate([pairs, user * items + item]))
        pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # numpy.unique takes ten times as long
        distinct = np.bincount(pairs // items, minlength=users)
    order = np.lexsort((rng.random(len(pairs)), pairs // items))  # where there are too many, a random subset
    position = np.arange(len(pairs)) - np.repeat(np.cumsum(distinct) - distinct, distinct)
    pairs = np.sort(pairs[order[position < np.repeat(counts, distinct)]])
    return pairs // items, pairs % items
