"""Dense algebra against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.ops.linear import gaussian_posterior, inverse_and_log_determinant, ridge_weights


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def positive_definite(n: int) -> np.ndarray:
    factor = np.random.default_rng(n).normal(size=(n, n + 2))
    return factor @ factor.T + 0.1 * np.eye(n)


@pytest.mark.parametrize("n", [1, 2, 7])
def test_inverse_and_log_determinant_are_numpy_s(n):
    matrix = positive_definite(n)
    inverse, log_determinant = inverse_and_log_determinant(jnp.asarray(matrix))
    np.testing.assert_allclose(inverse, np.linalg.inv(matrix), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(log_determinant, np.linalg.slogdet(matrix)[1], rtol=1e-10)


def test_an_empty_matrix_has_determinant_1():
    inverse, log_determinant = inverse_and_log_determinant(jnp.zeros((0, 0)))
    assert inverse.shape == (0, 0)
    assert log_determinant == 0


def test_first_and_second_derivatives_are_those_of_finite_differences():
    base, change = jnp.asarray(positive_definite(4)), jnp.asarray(positive_definite(5)[:4, :4])

    def value(t):
        inverse, log_determinant = inverse_and_log_determinant(base + t * change)
        return jnp.sum(jnp.sin(inverse)) + log_determinant

    for function, slope in ((value, jax.grad(value)), (jax.grad(value), jax.grad(jax.grad(value)))):
        expected = (function(0.1 + 1e-6) - function(0.1 - 1e-6)) / 2e-6
        np.testing.assert_allclose(slope(0.1), expected, rtol=1e-7)


@pytest.mark.parametrize("k", [0, 3, 9])  # 0, fewer and more than D = 5
def test_posterior_is_the_textbook_s(k):
    rng = np.random.default_rng(k)
    features, target, noise = rng.normal(size=(k, 5)), rng.normal(size=k), rng.uniform(0.5, 2.0, k)
    mask = np.ones(k)
    mask[:1] = 0.0
    precision = positive_definite(5)
    mean, covariance = gaussian_posterior(*map(jnp.asarray, (features, target, mask, noise, precision)))
    expected = np.linalg.inv(precision + features.T @ np.diag(mask / noise) @ features)
    np.testing.assert_allclose(covariance, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mean, expected @ (features.T @ (mask / noise * target)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        ridge_weights(*map(jnp.asarray, (features, target, mask, noise))),
        gaussian_posterior(*map(jnp.asarray, (features, target, mask, noise, np.eye(5))))[0],
        rtol=1e-9,
        atol=1e-12,
    )


def test_slope_in_the_noise_is_finite_under_padding():
    """sqrt(mask / noise) would have a slope of 0 times infinity there."""
    features, mask = jnp.asarray(positive_definite(4)[:3]), jnp.array([1.0, 1.0, 0.0])

    def total(noise):
        return ridge_weights(features, jnp.ones(3), mask, noise).sum()

    expected = (total(0.7 + 1e-6) - total(0.7 - 1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(total)(0.7), expected, rtol=1e-7)
