"""The weight-space Gaussian process against the textbook: function space, brute-force GLS, likelihood under EM."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_table

from metarec_jax.baselines import gp
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.data.table import Features, Ratings
from metarec_jax.priors.gp import fit
from metarec_jax.priors.gp_features import item_covariance, top_eigenvectors
from metarec_jax.priors.gp_penalties import BOUNDS, excess_errors, group_penalties, make_folds
from metarec_jax.priors.gp_population import em_step, item_noise, population_weights, solve_population, user_evidence
from metarec_jax.types import Examples, Inputs

TABLE = random_table(5, users=40, items=12, least=3, most=10)
RNG = np.random.default_rng(0)
PHI = RNG.normal(0.0, 0.6, (12, 3)).astype(np.float32)
MEAN = RNG.normal(3.0, 0.3, 12).astype(np.float32)
NOISE = 0.8


def of_users():
    """Per training user: f_u with a leading 1, Phi_u, r_u - mean_u, all float64."""
    for u in range(TABLE.num_users):
        rows = TABLE.user == u
        items = TABLE.item[rows]
        features = np.append(1.0, TABLE.user_features.values[u]).astype(np.float64)
        yield features, np.float64(PHI[items]), np.float64(TABLE.rating[rows] - MEAN[items])


def test_weight_space_is_the_function_space_posterior():
    params = fit(TABLE, rank=3, shrink=2.0)
    wide = {name: np.asarray(value, np.float64) for name, value in params.items()}
    items, query = np.array([0, 3, 5, 8]), np.arange(12)
    ratings, context = np.array([5.0, 1.0, 2.5, 4.0]), np.array([7.0])

    def inputs(ids):
        content = TABLE.item_features.values[ids]
        return Inputs(jnp.asarray(ids), jnp.asarray(content), jnp.asarray(context, jnp.float32))

    prior = wide["mean"] + wide["phi"] @ (wide["intercept"] + context @ wide["population"])
    kernel = wide["phi"] @ wide["phi"].T
    gain = kernel[:, items] @ np.linalg.inv(kernel[np.ix_(items, items)] + wide["noise"] * np.eye(4))
    expected = prior + gain @ (ratings - prior[items])
    fast = gp.adapt(params, Examples(inputs(items), jnp.float32(ratings), jnp.ones(4)))
    np.testing.assert_allclose(gp.predict(fast, inputs(query)), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(gp.prior_mean(params, inputs(query)), prior, rtol=1e-4, atol=1e-4)


def test_population_weights_are_generalised_least_squares():
    system, target = 2.0 * np.eye(2 * 3), np.zeros((2, 3))
    for features, phi, residual in of_users():
        inverse = np.linalg.inv(phi @ phi.T + NOISE * np.eye(len(phi)))
        system += np.kron(np.outer(features, features), phi.T @ inverse @ phi)
        target += np.outer(features, phi.T @ inverse @ residual)
    expected = np.linalg.solve(system, target.ravel()).reshape(2, 3)
    fitted = population_weights(user_evidence(TABLE, PHI, MEAN, NOISE), reg=2.0)
    np.testing.assert_allclose(fitted, expected, rtol=5e-3, atol=5e-4)


def log_likelihood(phi: np.ndarray, noise: float, population: np.ndarray) -> float:
    """Of all training ratings, each user's weights integrated out."""
    total = 0.0
    for u, (features, _, residual) in enumerate(of_users()):
        z = np.float64(phi[TABLE.item[TABLE.user == u]])
        cov = z @ z.T + noise * np.eye(len(z))
        left = residual - z @ (features @ population)
        total -= 0.5 * (np.linalg.slogdet(2 * np.pi * cov)[1] + left @ np.linalg.solve(cov, left))
    return total


def test_em_raises_the_likelihood():
    phi, noise = PHI, NOISE
    population = np.zeros((2, 3), np.float32)
    before = log_likelihood(phi, noise, population)
    for _ in range(3):
        users = user_evidence(TABLE, phi, MEAN, noise)
        phi, noise = em_step(TABLE, users, population, phi, MEAN, prior_ratings=1e-3)
        after = log_likelihood(phi, noise, population)
        assert after > before
        before = after


def test_em_hardly_moves_an_item_that_is_held():
    users = user_evidence(TABLE, PHI, MEAN, NOISE)
    held, _ = em_step(TABLE, users, np.zeros((2, 3), np.float32), PHI, MEAN, prior_ratings=1e6)
    np.testing.assert_allclose(held, PHI, atol=1e-3)


def test_item_noise_is_the_expected_squared_error_of_an_item_over_that_of_all():
    population = RNG.normal(0.0, 0.1, (2, 3)).astype(np.float32)
    sums, count = np.zeros(12), np.zeros(12)
    for u, (features, phi, residual) in enumerate(of_users()):
        items, expected = TABLE.item[TABLE.user == u], features @ population
        cov = np.linalg.inv(np.eye(3) + phi.T @ phi / NOISE)
        weights = expected + cov @ phi.T @ (residual - phi @ expected) / NOISE
        sums[items] += (residual - phi @ weights) ** 2 + np.sum(phi @ cov * phi, axis=1)
        count[items] += 1
    usual = sums.sum() / count.sum()
    found = item_noise(TABLE, user_evidence(TABLE, PHI, MEAN, NOISE), population, PHI, MEAN, prior_ratings=4.0)
    np.testing.assert_allclose(found, (sums / usual + 4.0) / (count + 4.0), rtol=1e-3)


def test_top_eigenvectors_are_those_of_eigh():
    spectrum = np.concatenate([[9.0, 5.0, 2.0, 1.0], np.linspace(0.2, -0.5, 76)])
    basis, _ = np.linalg.qr(RNG.normal(size=(80, 80)))
    values, vectors = top_eigenvectors((basis * spectrum) @ basis.T, rank=3)
    np.testing.assert_allclose(values, spectrum[:3], rtol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(vectors * basis[:, :3], axis=0)), 1.0, rtol=1e-6)


def test_covariance_weighs_a_user_by_the_root_of_the_count():
    residual = RNG.normal(size=len(TABLE.rating)).astype(np.float32)
    covariance = item_covariance(TABLE, residual, shrink=4.0, noise=0.1)
    count = np.bincount(TABLE.user)
    weight = len(TABLE.user) / np.sqrt(count) / np.sum(np.sqrt(count))
    top, bottom = 0.0, 4.0
    for u in range(TABLE.num_users):
        of = dict(zip(TABLE.item[TABLE.user == u], residual[TABLE.user == u], strict=True))
        if 2 in of and 7 in of:
            top, bottom = top + weight[u] * of[2] * of[7], bottom + weight[u]
    assert covariance[2, 7] == pytest.approx(top / bottom, rel=1e-4)


def test_an_item_without_ratings_is_what_its_content_says():
    table = make_world(1, users=150, items=60, ratings_per_user=30).ratings
    train = table.keep_rows(np.flatnonzero(table.item < 50))
    fitted = {name: np.asarray(leaf) for name, leaf in fit(train, rank=8).items()}
    side = table.item_features.values
    for whole, part in (("phi", "content_phi"), ("mean", "content_mean")):
        left = (fitted[whole] - side @ fitted[part])[50:]
        np.testing.assert_allclose(left, np.broadcast_to(left[0], left.shape), atol=1e-5)


def test_solutions_with_a_penalty_a_row_and_any_target():
    """The system of `population_weights`, solved for other right-hand sides, as cross-validation needs it."""
    reg, target = np.array([2.0, 30.0]), RNG.normal(size=(2, 3))
    system = np.kron(np.diag(reg), np.eye(3))
    for features, phi, _ in of_users():
        inverse = np.linalg.inv(phi @ phi.T + NOISE * np.eye(len(phi)))
        system += np.kron(np.outer(features, features), phi.T @ inverse @ phi)
    found = solve_population(user_evidence(TABLE, PHI, MEAN, NOISE), reg, target)
    np.testing.assert_allclose(found, np.linalg.solve(system, target.ravel()).reshape(2, 3), rtol=5e-3, atol=1e-4)


def telling_table() -> Ratings:
    """400 users with 12 features: the first 6 move the weights, with a variance of 0.5 each, the last 6 do not."""
    rng = np.random.default_rng(0)
    table = random_table(6, users=400, items=12, least=6, most=10)
    features = rng.normal(size=(400, 12)).astype(np.float32)
    weights = features[:, :6] @ rng.normal(0, 0.5**0.5, (6, 3)) + rng.normal(size=(400, 3))
    noise = rng.normal(0, 0.3**0.5, len(table.user))
    rating = MEAN[table.item] + np.sum(PHI[table.item] * weights[table.user], 1) + noise
    names = (*(f"tells={k}" for k in range(6)), *(f"idle={k}" for k in range(6)))
    return dataclasses.replace(table, rating=rating.astype(np.float32), user_features=Features(names, features))


def test_penalties_trust_the_group_that_tells_and_not_the_one_that_does_not():
    table = telling_table()
    reg = group_penalties(table, user_evidence(table, PHI, MEAN, 0.3), PHI, MEAN, start=20.0)
    assert reg.shape == (13,) and len(set(reg[1:7])) == len(set(reg[7:])) == 1
    assert reg[0] == 20.0
    assert reg[1] < 10.0
    assert reg[7] == BOUNDS[1]  # it has not earned its place


def test_what_decides_is_the_error_on_users_left_out():
    """Against a loop over the users: the error of predictions from features, less that of the mean alone."""
    table, penalties = telling_table(), np.full(13, 8.0)
    folds = make_folds(table, user_evidence(table, PHI, MEAN, 0.3), PHI, MEAN, seed=0)
    with_features, alone, weight = 0.0, 0.0, 0.0
    for fold in folds:
        population = solve_population(fold.users, penalties, fold.target)
        for features in fold.features:
            u = int(np.flatnonzero((table.user_features.values == features[1:]).all(1))[0])
            items, rating = table.item[table.user == u], table.rating[table.user == u]
            expected = MEAN[items] + PHI[items] @ (features @ population)
            user_weight = min(len(items), 10) / len(items)
            with_features += user_weight * np.sum((rating - expected) ** 2)
            alone, weight = alone + user_weight * np.sum((rating - MEAN[items]) ** 2), weight + user_weight * len(items)
    assert sum(len(fold.features) for fold in folds) == 400
    assert excess_errors(folds, penalties).sum() == pytest.approx((with_features - alone) / weight, rel=1e-3)
