"""The posterior against the textbook, and one by one against all at once."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.learners.closed_form.alpaca import alpaca
from metarec_jax.models.recommender import TasteNet
from metarec_jax.ops.rows import map_rows
from metarec_jax.types import Episode, Examples, Inputs

D, NOISE = 4, 0.6


class Split(nn.Module):
    """The last column is the prior mean, the others are features."""

    @nn.compact
    def __call__(self, x):
        return x[:, :-1], x[:, -1]


def params(dtype=np.float64):
    rng = np.random.default_rng(7)
    factor = np.tril(rng.normal(size=(D, D))) + 2 * np.eye(D)
    values = {"prior_mean": rng.normal(size=D), "prior_factor": factor, "log_noise": np.log(NOISE)}
    return {"net": {}} | jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), values)


def examples(n: int, seed: int = 0, dtype=np.float64) -> Examples:
    rng = np.random.default_rng(seed)
    mask = np.ones(n)
    mask[1:2] = 0.0
    return Examples(*(jnp.asarray(leaf, dtype) for leaf in (rng.normal(size=(n, D + 1)), rng.normal(size=n), mask)))


def textbook(support: Examples):
    """Mean and covariance of the weights, by the normal equations."""
    x, y, mask = map(np.asarray, support)
    x, y = x[mask > 0], y[mask > 0]
    prior = params()
    precision = prior["prior_factor"] @ prior["prior_factor"].T
    covariance = np.linalg.inv(precision + x[:, :-1].T @ x[:, :-1] / NOISE)
    mean = covariance @ (precision @ prior["prior_mean"] + x[:, :-1].T @ (y - x[:, -1]) / NOISE)
    return mean, covariance


@pytest.mark.parametrize("n", [0, 3, 9])
def test_posterior_and_prediction_are_the_textbook_s(n):
    with jax.enable_x64(True):
        support, query, rule = examples(n), examples(5, seed=1), alpaca(Split())
        fast = rule.adapt(params(), support)
        mean, covariance = textbook(support)
        np.testing.assert_allclose(fast["weights"], mean, rtol=1e-9)
        np.testing.assert_allclose(fast["covariance"], covariance, rtol=1e-9, atol=1e-12)
        features, prior = np.asarray(query.x)[:, :-1], np.asarray(query.x)[:, -1]
        np.testing.assert_allclose(rule.predict(fast, query.x), prior + features @ mean, rtol=1e-9)
        expected = NOISE + np.einsum("nd,de,ne->n", features, covariance, features)
        np.testing.assert_allclose(rule.variance(fast, query.x), expected, rtol=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-10)])
@pytest.mark.parametrize("at_a_time", [1, 3])
def test_updating_equals_adapting_at_once(dtype, tolerance, at_a_time):
    with jax.enable_x64(dtype is np.float64):
        support, rule = examples(9, dtype=dtype), alpaca(Split())
        update = jax.jit(rule.update)
        fast = rule.adapt(params(dtype), map_rows(lambda leaf: leaf[:0], support))
        for start in range(0, 9, at_a_time):
            fast = update(fast, jax.tree.map(lambda leaf, at=start: leaf[at : at + at_a_time], support))
        at_once = rule.adapt(params(dtype), support)
        for name in ("weights", "covariance"):
            assert fast[name].dtype == dtype
            np.testing.assert_allclose(fast[name], at_once[name], rtol=tolerance, atol=tolerance)


def test_the_loss_is_minus_the_log_density_of_the_query():
    with jax.enable_x64(True):
        episode = Episode(examples(5), examples(4, seed=1))
        loss, _ = alpaca(Split()).loss(params(), episode, jax.random.key(0))
        (mean, covariance), (x, y, mask) = textbook(episode.support), map(np.asarray, episode.query)
        variance = NOISE + np.einsum("nd,de,ne->n", x[:, :-1], covariance, x[:, :-1])
        density = np.exp(-0.5 * (y - x[:, -1] - x[:, :-1] @ mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)
        np.testing.assert_allclose(loss, -np.log(density[mask > 0]).mean(), rtol=1e-9)


def test_the_prior_starts_as_the_ridge_head_s():
    """Weights N(0, I), so that a fitted Gaussian process can be put in its place."""
    rule = alpaca(TasteNet(2, dim=D), noise=0.5)
    one = Examples(Inputs(jnp.zeros(1, int), jnp.zeros((1, 0)), jnp.zeros(0)), jnp.ones(1), jnp.zeros(1))
    cold = rule.adapt(rule.init(jax.random.key(0), Episode(one, one)), one)
    np.testing.assert_allclose(cold["weights"], 0)
    np.testing.assert_allclose(cold["covariance"], np.eye(D), atol=1e-6)
    np.testing.assert_allclose(cold["noise"], 0.5, rtol=1e-6)
