"""A small made-up table, and a ridge head on a process fitted to it, ready to be asked."""

import dataclasses

import numpy as np
import pytest
from helpers import table_of
from polars import DataFrame

from metarec_jax.recipes import RECIPES
from metarec_jax.serve.demo.server import make_app
from metarec_jax.serve.recommender import Recommender

MARKUP = '<b>&"x"</b><script>document.title = "caught"</script><img src=x>'
TITLES = {
    0: MARKUP,
    1: "Amélie (2001)",
    2: "Ocean's Eleven (2001)",
    3: "2001: A Space Odyssey (1968)",
    4: "Eleven Ángeles (1999)",
}


@pytest.fixture(scope="session")
def table():
    """Two kinds of people and of items: who likes even items dislikes odd ones. Item 0 is the most popular."""
    rng, rows = np.random.default_rng(0), []
    for user in range(80):
        for item in range(30):
            if rng.random() < 0.9 - 0.02 * item:
                taste = 1.2 if user % 2 == item % 2 else -1.2
                stars = float(np.clip(np.round(3 + taste + 0.02 * item + 0.4 * rng.normal()), 1, 5))
                rows.append((f"u{user}", f"i{item}", stars))
    ratings = table_of(DataFrame(rows, schema=["user", "item", "rating"], orient="row"))
    titles = [TITLES.get(int(raw[1:]), f"Film {raw}") for raw in ratings.item_ids]
    return dataclasses.replace(ratings, item_titles=np.array(titles))


@pytest.fixture(scope="session")
def ridge(table):
    """The learner and its parameters, without meta-training."""
    built = RECIPES["ridge"].build(table, rank=4)
    return built.method, built.params


@pytest.fixture(scope="session")
def recommender(table, ridge):
    return Recommender(*ridge, table, capacity=16, shown=5)


@pytest.fixture(scope="session")
def demo(table, recommender):
    """The WSGI application."""
    return make_app(recommender, table, "ridge")
