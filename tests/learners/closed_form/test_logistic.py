"""The logistic head against a general optimiser, its own convergence and the limits of its model."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from metarec_jax import objectives
from metarec_jax.learners.closed_form.logistic import logistic
from metarec_jax.params import FIXED
from metarec_jax.types import Episode, Examples

LOW, HIGH, D = 1.0, 5.0, 3


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


class Split(nn.Module):
    """The last column is the prior mean, the others are features."""

    @nn.compact
    def __call__(self, x):
        return x[:, :-1], x[:, -1]


def head(steps=8):
    return logistic(Split(), objectives.squared_error, low=LOW, high=HIGH, steps=steps)


def params(noise=0.8, low=LOW, high=HIGH):
    return {"net": {}, "log_noise": jnp.log(jnp.float64(noise)), FIXED: {"low": low, "high": high}}


def examples(k: int, seed: int = 0, scale: float = 1.0) -> Examples:
    rng = np.random.default_rng(seed)
    x = np.column_stack([scale * rng.normal(size=(k, D)), rng.uniform(2.0, 4.5, k)])
    return Examples(jnp.asarray(x), jnp.asarray(rng.integers(1, 6, k).astype(float)), jnp.ones(k))


def objective(weights, support, noise=0.8):
    """Minus the log posterior of the weights, as the module states it, one example after the other."""
    total = 0.5 * weights @ weights
    for x, y, real in zip(*map(np.asarray, support), strict=True):
        share = (x[-1] - LOW) / (HIGH - LOW)
        logit = np.log(share / (1 - share)) + 4 / (HIGH - LOW) * x[:-1] @ weights
        t = (y - LOW) / (HIGH - LOW)
        total += real * (np.logaddexp(0, logit) - t * logit) * (HIGH - LOW) ** 2 / (4 * noise)
    return total


@pytest.mark.parametrize("k", [2, 12])  # the K x K and the D x D system
def test_the_mode_is_a_general_optimiser_s(k):
    support = examples(k)
    support = support._replace(mask=support.mask.at[0].set(0.0))
    fast = head().adapt(params(), support)
    found = optimize.minimize(objective, np.zeros(D), args=(support,), method="BFGS", options={"gtol": 1e-9})
    np.testing.assert_allclose(fast["weights"], found.x, atol=1e-6)


def test_the_covariance_is_the_inverse_hessian_at_the_mode():
    support = examples(6)
    fast, step = head().adapt(params(), support), 1e-4
    unit = np.eye(D) * step
    at = lambda w: objective(np.asarray(fast["weights"]) + w, support)  # noqa: E731
    hessian = np.array([[at(a + b) - at(a - b) - at(b - a) + at(-a - b) for a in unit] for b in unit]) / (4 * step**2)
    np.testing.assert_allclose(np.linalg.inv(hessian), fast["covariance"], rtol=1e-5)


def test_newton_converges_quadratically():
    """Each step squares the error: four are enough, from wherever the prior mean is."""
    support = examples(12, scale=2.0)
    exact = head(steps=30).adapt(params(), support)["weights"]
    errors = [np.abs(head(steps=n).adapt(params(), support)["weights"] - exact).max() for n in (1, 2, 3, 4, 5)]
    assert errors[3] < 1e-3
    assert errors[4] < 10 * errors[3] ** 2 + 1e-14


def test_a_wide_scale_is_the_ridge_head():
    """Far from the ends of the scale the sigmoid is a line, and the mode that of least squares."""
    support = examples(6)
    x = support.x.at[:, -1].set(3.0)
    wide = params(low=3.0 - 1e4, high=3.0 + 1e4)
    found = head().predict(head().adapt(wide, support._replace(x=x)), x)
    features, residual = np.asarray(x[:, :-1]), np.asarray(support.y) - 3.0
    expected = np.linalg.solve(features.T @ features / 0.8 + np.eye(D), features.T @ residual / 0.8)
    np.testing.assert_allclose(found, 3.0 + features @ expected, atol=1e-5)


def test_ratings_stay_on_the_scale_and_start_at_the_prior_mean():
    support = examples(12, scale=10.0)
    rule = head()
    fast = rule.adapt(params(), support)
    found = rule.predict(fast, 10 * support.x.at[:, -1].set(3.0))
    assert (found >= LOW).all()
    assert (found <= HIGH).all()
    cold = rule.adapt(params(), support._replace(mask=jnp.zeros(12)))
    np.testing.assert_allclose(rule.predict(cold, support.x), support.x[:, -1], rtol=1e-12)


def test_gradient_flows_through_the_steps():
    """In the noise, which acts through the weights only; finite differences, with padding in the support."""
    support, query = examples(6), examples(4, seed=1)
    episode = Episode(support._replace(mask=support.mask.at[2].set(0.0)), query)
    loss = jax.jit(lambda log_noise: head().loss(params() | {"log_noise": log_noise}, episode, jax.random.key(0))[0])
    slope = (loss(0.3 + 1e-6) - loss(0.3 - 1e-6)) / 2e-6
    assert abs(slope) > 1e-3
    np.testing.assert_allclose(jax.grad(loss)(0.3), slope, rtol=1e-6)
