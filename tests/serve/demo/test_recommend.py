"""What a person is told, against the learner itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.models.trust import ItemNoise
from metarec_jax.params import FIXED
from metarec_jax.serve.demo.search import Titles
from metarec_jax.serve.recommender import Recommender
from metarec_jax.types import Examples, Inputs

RATED, STARS = [0, 3, 8, 11], [5.0, 1.0, 4.0, 2.0]


@pytest.fixture(scope="module")
def asked(table, ridge):
    """(items, stars) -> the adapted learner, its functions compiled, and x of all items; without any padding."""
    learner, params = ridge
    content, person = jnp.asarray(table.item_features.values), table.user_features.values.mean(0)

    def x(items) -> Inputs:
        items = jnp.asarray(items, jnp.int32)
        return Inputs(items, content[items], jnp.asarray(person))

    @jax.jit
    def told(items, stars) -> tuple[jax.Array, jax.Array]:
        fast = learner.adapt(params, Examples(x(items), stars, jnp.ones(len(items))))
        everything = x(jnp.arange(table.num_items))
        return learner.predict(fast, everything), learner.variance(fast, everything)

    return lambda items, stars: map(np.asarray, told(jnp.int32(items), jnp.float32(stars)))


@pytest.mark.parametrize("known", [0, 1, 4])
def test_predictions_and_certainty_are_the_learners(asked, ridge, recommender, known):
    prediction, variance = asked(RATED[:known], STARS[:known])
    answer = recommender(RATED[:known], STARS[:known])
    np.testing.assert_allclose(answer.prediction, prediction, atol=2e-5)
    everything = Inputs(jnp.arange(len(prediction)), jnp.zeros((len(prediction), 0)), jnp.zeros(0))
    of_item = ItemNoise(len(prediction)).apply({"params": ridge[1]["item_noise"]}, everything)
    noise = np.square(ridge[1][FIXED]["units"].scale) * np.exp(ridge[1]["log_noise"] + of_item)
    np.testing.assert_allclose(answer.spread, np.sqrt(variance - noise), atol=2e-3)
    best = [item for item in np.argsort(-prediction) if item not in RATED[:known]][:5]
    assert list(answer.top) == best
    assert np.all(answer.influence[:, known:] == 0)
    assert set(np.flatnonzero(~answer.open)) == set(RATED[:known])


def test_what_to_ask_next_is_what_lessens_the_variance_most(asked, recommender):
    """Rank one updates: a rating of c takes cov(n, c)^2 / (noise + var c); here by rating it in truth."""
    answer = recommender(RATED, STARS)
    left = [item for item in answer.ask if answer.open[item]]
    after = {item: list(asked([*RATED, item], [*STARS, 3.0]))[1].mean() for item in left}
    assert min(after, key=after.get) == left[0]
    assert np.corrcoef(np.arange(len(left)), list(after.values()))[0, 1] > 0.95


def test_a_learner_without_a_posterior_has_no_certainty_and_asks_for_what_is_popular(table, ridge):
    learner, params = ridge
    answer = Recommender(learner._replace(variance=None), params, table, capacity=4)([2], [5.0])
    assert answer.spread is None and np.all(np.isfinite(answer.prediction))
    counts = np.bincount(table.item)[[item for item in answer.ask if answer.open[item]]]
    assert np.all(np.diff(counts) <= 0)


def test_titles_are_found_by_how_words_begin():
    titles = np.array(["Amélie (2001)", "Ocean's Eleven (2001)", "2001: A Space Odyssey (1968)", "Eleven Ángeles"])
    index = Titles(titles, np.array([3, 10, 7, 7]))
    assert index.find("") == [1, 2, 3, 0]
    assert index.find("AMELIE") == index.find("amé") == [0]
    assert index.find("eleven") == [1, 3] and index.find("eleven ang") == [3]
    assert index.find("oceans") == [1] and index.find("ocean's") == [1]
    assert index.find("2001") == [1, 2, 0] and index.find("2001", most=2) == [1, 2]
    assert index.find("leven") == index.find("eleven odyssey") == []
