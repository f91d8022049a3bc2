"""Attentive ridge: nothing at first but the ridge head it is built on, then its own two layers by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import ITEMS, taste_net

from metarec_jax import objectives
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.learners.closed_form.attentive_ridge import Keys, attentive_ridge
from metarec_jax.learners.closed_form.ridge import ridge
from metarec_jax.models.choice import STATISTICS, ChoicePrior
from metarec_jax.models.trust import ItemNoise
from metarec_jax.priors.choice import choice_vectors
from metarec_jax.train.optimisers import adam
from metarec_jax.types import Episode, Examples, Inputs


def task(seed: int = 0) -> Episode:
    """Six ratings and four candidates, none of them rated."""
    rng = np.random.default_rng(seed)
    items = rng.permutation(ITEMS)[:10].astype(np.int32)

    def part(rows: np.ndarray) -> Examples:
        n = len(rows)
        x = Inputs(jnp.asarray(rows), jnp.asarray(rng.normal(size=(n, 3)), jnp.float32), jnp.ones(2))
        return Examples(x, jnp.asarray(rng.uniform(1, 6, n), jnp.float32), jnp.ones(n))

    return Episode(part(items[:6]), part(items[6:]))


def build(**settings):
    rule = attentive_ridge(taste_net(), objectives.squared_error, keys=Keys(ITEMS, 4, width=4), **settings)
    return rule, jax.jit(rule.init)(jax.random.key(0), task())


def test_it_starts_as_the_ridge_head():
    prior = ChoicePrior(ITEMS, 6, width=4)
    rule, params = build(prior=prior)
    head = ridge(taste_net(), objectives.squared_error, prior=prior)
    own = {name: part for name, part in params.items() if name != "attention"}
    episode = task()
    found = rule.predict(rule.adapt(params, episode.support), episode.query.x)
    np.testing.assert_allclose(found, head.predict(head.adapt(own, episode.support), episode.query.x), atol=1e-6)


def test_attention_adds_the_weighted_residuals():
    """With one rating and keys alike, e^s / (e^s + e^null) of what the ridge head leaves of it is added, times the
    gate."""
    rule, params = build(sharpness=2.0, null=0.5)
    alike = params["attention"]["keys"] | {"id_key": {"table": jnp.ones((ITEMS, 4))}}
    params["attention"] |= {"keys": alike, "gate": jnp.float32(0.7)}
    head = ridge(taste_net(), objectives.squared_error)
    episode = task()
    one = episode.support._replace(mask=jnp.zeros(6).at[2].set(1.0))
    fast = head.adapt({name: params[name] for name in ("net", "log_noise")}, one)
    left = (one.y - head.predict(fast, one.x))[2]
    share = np.exp(2.0) / (np.exp(2.0) + np.exp(0.5))
    expected = head.predict(fast, episode.query.x) + 0.7 * share * left
    np.testing.assert_allclose(rule.predict(rule.adapt(params, one), episode.query.x), expected, rtol=1e-5)


def test_a_noisy_rating_counts_less():
    """The head is the posterior when every item has its own noise, and a rating with very much noise does not count."""
    item_noise = ItemNoise(ITEMS)
    rule = ridge(taste_net(), objectives.squared_error, item_noise=item_noise)
    episode = task()
    params = jax.jit(rule.init)(jax.random.key(0), episode)
    items = np.asarray(episode.support.x.id)
    table = np.zeros((ITEMS, 1), np.float32)
    table[items[:3], 0] = [0.4, -0.3, 1.0]
    noisy = params | {"item_noise": params["item_noise"] | {"id_item_noise": {"table": jnp.asarray(table)}}}
    features, mean = taste_net().apply({"params": params["net"]}, episode.support.x)
    noise = np.exp(float(params["log_noise"]) + table[items, 0])
    gain = features.T @ np.linalg.inv(features @ features.T + np.diag(noise))
    expected = gain @ (episode.support.y - mean)
    np.testing.assert_allclose(rule.adapt(noisy, episode.support)["weights"], expected, rtol=1e-4, atol=1e-5)
    table[items[0], 0] = 30.0
    without = episode.support._replace(mask=episode.support.mask.at[0].set(0.0))
    left_out = rule.adapt(noisy, without)["weights"]
    extreme = params | {"item_noise": params["item_noise"] | {"id_item_noise": {"table": jnp.asarray(table)}}}
    np.testing.assert_allclose(rule.adapt(extreme, episode.support)["weights"], left_out, atol=1e-5)


def test_only_what_is_alike_is_listened_to():
    """A candidate whose key is that of one rating, with the others opposite, hears that rating alone."""
    rule, params = build(sharpness=50.0, null=-50.0)
    episode = task()
    table = np.tile([-1.0, 0.0, 0.0, 0.0], (ITEMS, 1))
    table[[int(episode.support.x.id[3]), int(episode.query.x.id[1])]] = [1.0, 0.0, 0.0, 0.0]
    keys = params["attention"]["keys"] | {"id_key": {"table": jnp.float32(table)}, "mix": {"kernel": jnp.eye(4)}}
    params["attention"] |= {"keys": keys, "gate": jnp.float32(1.0)}
    fast = rule.adapt(params, episode.support)
    silent = rule.predict(fast | {"attention": params["attention"] | {"gate": jnp.float32(0.0)}}, episode.query.x)
    added = rule.predict(fast, episode.query.x) - silent
    np.testing.assert_allclose(added[1], fast["residual"][3], rtol=1e-4)
    others = np.delete(np.asarray(fast["residual"]), 3).mean()
    np.testing.assert_allclose(added[0], others, rtol=1e-4)


def test_choice_prior_reads_the_items_and_not_the_ratings():
    prior = ChoicePrior(ITEMS, 6, width=4)
    support = task().support
    params = prior.init(jax.random.key(1), support.x, support.mask)["params"]
    kernel = np.random.default_rng(0).normal(size=(4 + 2, 6)).astype(np.float32)
    params = params | {"expected": {"kernel": jnp.asarray(kernel), "bias": jnp.zeros(6)}}
    found = prior.apply({"params": params}, support.x, support.mask.at[4:].set(0.0))
    table = np.asarray(params["id_choice"]["table"])
    summed = table[np.asarray(support.x.id[:4])].sum(0) / np.sqrt(5)
    np.testing.assert_allclose(found, np.concatenate([summed, [np.log(5) / 3, 1 / np.sqrt(5)]]) @ kernel, rtol=1e-5)


@pytest.fixture(scope="module")
def table():
    """Two tribes: the even users rate the even items only, the odd the odd."""
    ratings = make_world(0, users=120, items=ITEMS, ratings_per_user=20, dims=2).ratings
    return ratings.keep_rows(np.flatnonzero(ratings.user % 2 == ratings.item % 2))


def test_first_choice_vector_tells_the_tribes_apart(table):
    first = choice_vectors(table, 3)[:, 0]
    tribe = np.where(np.arange(table.num_items) % 2, 1.0, -1.0)
    assert abs(np.corrcoef(first, tribe)[0, 1]) > 0.97


def test_choice_vectors_have_mean_square_one_over_the_ratings(table):
    vectors = choice_vectors(table, 3)
    assert vectors.shape == (ITEMS, 3 + STATISTICS)
    np.testing.assert_allclose((vectors[table.item, :5] ** 2).mean(0), 1.0, rtol=1e-4)
    np.testing.assert_allclose(vectors[table.item, 3:].mean(0), 0.0, atol=1e-4)  # popularity, mean and their squares


def test_more_axes_than_there_are_leave_zeros(table):
    vectors = choice_vectors(table, 60)
    assert vectors.shape == (ITEMS, 60 + STATISTICS)
    assert np.isfinite(vectors).all()
    assert (vectors[:, 38:60] == 0).all()


def test_rates_scale_the_steps_of_their_parts():
    """Adam's first step is the learning rate in every coordinate, here times the rate of the innermost name."""
    params = {"own": jnp.ones(3), "part": {"own": jnp.ones(2), "other": jnp.ones(2)}, "other": jnp.ones(1)}
    optimiser = adam(0.1, 1000, rates={"own": 0.2, "part": 0.5})
    updates, _ = optimiser.update(jax.tree.map(jnp.ones_like, params), optimiser.init(params), params)
    expected = {"own": 0.2, "part": {"own": 0.2, "other": 0.5}, "other": 1.0}
    jax.tree.map(lambda update, rate: np.testing.assert_allclose(update, -0.1 * rate, rtol=1e-4), updates, expected)
