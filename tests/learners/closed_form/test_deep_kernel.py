"""The Gaussian process against NumPy."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.learners.closed_form.deep_kernel import deep_kernel
from metarec_jax.models.recommender import TasteNet
from metarec_jax.types import Episode, Examples, Inputs

SETTINGS = {"linear": 0.7, "rbf": 0.4, "length": 1.3, "constant": 0.2, "noise": 0.5}
PARAMS = {"net": {}} | {f"log_{name}": np.log(value) for name, value in SETTINGS.items()}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


class Split(nn.Module):
    """The last column is the prior mean, the others are the embedding."""

    @nn.compact
    def __call__(self, x):
        return x[:, :-1], x[:, -1]


def examples(n: int, seed: int, padding: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    mask = np.r_[np.ones(n), np.zeros(padding)]
    return Examples(*map(jnp.asarray, (rng.normal(size=(n + padding, 4)), rng.normal(size=n + padding), mask)))


def kernel(a, b):
    near = np.exp(-np.square(a[:, None] - b[None]).sum(-1) / (2 * 1.3**2))
    return 0.7 * a @ b.T + 0.4 * near + 0.2


def real(part: Examples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeddings, prior means and y of the real rows."""
    x, y = (np.asarray(leaf)[np.asarray(part.mask) > 0] for leaf in (part.x, part.y))
    return x[:, :-1], x[:, -1], y


def test_parameters_start_as_asked():
    one = Examples(Inputs(jnp.zeros(1, int), jnp.zeros((1, 0)), jnp.zeros(0)), jnp.ones(1), jnp.ones(1))
    found = deep_kernel(TasteNet(2, dim=3), **SETTINGS).init(jax.random.key(0), Episode(one, one))
    assert set(found) == set(PARAMS)
    for name, value in SETTINGS.items():
        np.testing.assert_allclose(np.exp(found[f"log_{name}"]), value, rtol=1e-6)


@pytest.mark.parametrize("k", [0, 6])
def test_posterior_mean_and_variance_are_the_textbook_s(k):
    support, query, rule = examples(k, 0, padding=2), examples(5, 1), deep_kernel(Split())
    fast = rule.adapt(PARAMS, support)
    (s, mean_s, y), (q, mean_q, _) = real(support), real(query)
    solve = np.linalg.solve(kernel(s, s) + 0.5 * np.eye(k), np.column_stack([y - mean_s, kernel(s, q)]))
    np.testing.assert_allclose(rule.predict(fast, query.x), mean_q + kernel(q, s) @ solve[:, 0], rtol=1e-9)
    variance = np.diag(kernel(q, q)) + 0.5 - np.sum(kernel(q, s) * solve[:, 1:].T, 1)
    np.testing.assert_allclose(rule.variance(fast, query.x), variance, rtol=1e-9)


def marginal(parts: list[Examples]) -> tuple[float, int]:
    """Minus the log density of all real ratings together, and their number."""
    e, mean, y = (np.concatenate(columns) for columns in zip(*map(real, parts), strict=True))
    gram, residual = kernel(e, e) + 0.5 * np.eye(len(y)), y - mean
    quadratic = residual @ np.linalg.solve(gram, residual)
    return 0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * gram)[1]), len(y)


def test_the_loss_is_the_marginal_likelihood_of_support_and_query_per_example():
    episode = Episode(examples(6, 0, padding=3), examples(4, 1, padding=1))
    loss, metrics = deep_kernel(Split()).loss(PARAMS, episode, jax.random.key(0))
    total, count = marginal(list(episode))
    np.testing.assert_allclose(loss, total / count, rtol=1e-10)
    assert metrics["loss"] == loss


def test_the_predictive_loss_is_the_chain_rule_s_other_factor():
    """With one query, p(query | support) = p(support, query) / p(support)."""
    episode = Episode(examples(6, 0), examples(1, 1))
    both, support = marginal(list(episode))[0], marginal([episode.support])[0]
    for share in (1.0, 0.25):
        loss, _ = deep_kernel(Split(), predictive=share).loss(PARAMS, episode, jax.random.key(0))
        np.testing.assert_allclose(loss, share * (both - support) + (1 - share) * both / 7, rtol=1e-9)
