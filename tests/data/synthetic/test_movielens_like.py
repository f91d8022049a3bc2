"""Made-up ratings: as many as asked, none twice, with long tails, something to learn, and the same in any memory."""

import numpy as np
import polars as pl
import pytest

from metarec_jax.data.sets.movielens import film_features
from metarec_jax.data.synthetic import movielens_like
from metarec_jax.data.synthetic.movielens_like import make_films, make_ratings


@pytest.fixture(scope="module")
def ratings() -> pl.DataFrame:
    return pl.concat(make_ratings(0, make_films(0, 2000), users=600, ratings=40_000))


def test_they_are_as_in_the_official_file(ratings):
    assert ratings.columns == ["userId", "movieId", "rating", "timestamp"] and len(ratings) == 40_000
    assert not ratings.select("userId", "movieId").is_duplicated().any()
    assert ratings.equals(ratings.sort("userId", "movieId")) and not ratings["timestamp"].is_sorted()
    assert ratings["userId"].unique().sort().to_list() == list(range(1, 601))
    assert set(ratings["rating"].unique()) <= set(np.arange(1, 11) / 2)


def test_tails_are_long(ratings):
    for column, least in (("userId", 20), ("movieId", 1)):
        counts = ratings[column].value_counts()["count"]
        assert counts.min() == least and counts.max() > 4 * counts.median()


def test_tastes_repeat(ratings):
    """Beside the means of users and films there is a part that films of like vectors share."""
    films = make_films(0, 2000)
    residual = ratings.with_columns(
        left=pl.col("rating") - pl.col("rating").mean().over("userId") - pl.col("rating").mean().over("movieId")
    )
    one = residual.filter(pl.col("userId") == ratings["userId"].value_counts().sort("count")["userId"][-1])
    vectors = films.vectors[np.searchsorted(films.ids, one["movieId"].to_numpy())]
    alike = np.triu(vectors @ vectors.T, 1)
    left = (one["left"] - one["left"].mean()).to_numpy()
    assert np.sum(alike * np.outer(left, left)) > 0


def test_blocks_and_seeds(monkeypatch):
    films = make_films(0, 2000)
    monkeypatch.setattr(movielens_like, "ROWS", 3000)
    blocks = list(make_ratings(1, films, users=100, ratings=10_000))
    assert len(blocks) >= 3 and sum(map(len, blocks)) == 10_000
    assert all(one["userId"].max() < other["userId"].min() for one, other in zip(blocks, blocks[1:], strict=False))
    again, other = (pl.concat(make_ratings(seed, films, users=100, ratings=10_000)) for seed in (1, 2))
    assert again.equals(pl.concat(blocks)) and not other.equals(again)


@pytest.mark.parametrize("ratings", [1999, 10_001])
def test_too_few_and_too_many(ratings):
    with pytest.raises(ValueError, match="20 to 100 each are possible"):
        list(make_ratings(0, make_films(0, 2000), users=100, ratings=ratings))


def test_films_are_read_as_films_are(tmp_path):
    films = make_films(0, 2000)
    films.frame().write_csv(tmp_path / "movies.csv")
    ids, features = film_features(tmp_path / "movies.csv")
    assert ids == [str(number) for number in films.ids]
    genres = [features.names.index(f"genre={name}") for name in movielens_like.GENRES]
    np.testing.assert_array_equal(features.values[:, genres], films.genres)
    assert (features.values[:, len(genres) :].sum(1) == 1).all()  # the year
