"""Interviews: the textbook's posterior, brute force, and scores by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_table
from learner_table import ITEMS, LEARNERS

from metarec_jax.serve.interview import (
    Design,
    Familiarity,
    all_known,
    by_score,
    by_variance,
    evidence_score,
    fit_familiarity,
    observe,
    personal_gradient,
    target_matrix,
    variance_reduction,
)
from metarec_jax.types import Episode, Examples, Inputs

N, D, Q = 7, 3, 4


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def design(seed: int) -> tuple[Design, np.ndarray]:
    """Items at random, and the weights of their errors."""
    rng = np.random.default_rng(seed)
    phi, weight = jnp.asarray(rng.normal(size=(N, D))), rng.uniform(size=N)
    fraction, psi = rng.uniform(0.2, 0.8, N), 0.3 * rng.normal(size=(N, 2))
    familiarity = Familiarity(jnp.asarray(fraction), jnp.asarray(psi), jnp.asarray(rng.uniform(0.1, 0.3, N)))
    noise = jnp.asarray(rng.uniform(0.3, 2.0, N))
    return Design(phi, noise, target_matrix(phi, jnp.asarray(weight)), familiarity), weight


def variance(made: Design, weight: np.ndarray, items) -> float:
    """V after answers about some items, from the textbook's precision: I + sum of phi phi' / noise."""
    phi, noise = np.asarray(made.features), np.asarray(made.noise)
    covariance = np.linalg.inv(np.eye(D) + sum(np.outer(phi[j], phi[j]) / noise[j] for j in items))
    return float(weight @ np.einsum("id,de,ie->i", phi, covariance, phi))


def test_an_answer_moves_the_posterior_as_the_textbook_says():
    made, weight = design(0)
    covariance = jnp.eye(D)
    for count, item in enumerate((4, 1, 4, 6)):  # the same item may be asked about twice
        before = [4, 1, 4, 6][:count]
        reductions = [variance(made, weight, before) - variance(made, weight, [*before, j]) for j in range(N)]
        np.testing.assert_allclose(variance_reduction(made, covariance), reductions, rtol=1e-9)
        assert min(reductions) > 0  # V never rises
        covariance = observe(covariance, made.features[item], made.noise[item])
        phi, noise = np.asarray(made.features), np.asarray(made.noise)
        precision = np.eye(D) + sum(np.outer(phi[j], phi[j]) / noise[j] for j in [*before, item])
        np.testing.assert_allclose(covariance, np.linalg.inv(precision), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_greedy_is_brute_force(seed):
    made, weight = design(seed)
    rng = np.random.default_rng(seed)
    askable = np.ones(N)
    askable[rng.integers(N)] = 0
    known = (rng.random(N) < 0.6).astype(float)
    found = jax.jit(by_variance, static_argnums=3)(made, jnp.asarray(askable), jnp.asarray(known), Q)
    fraction, psi, noise = map(np.asarray, made.familiarity)
    answered, asked, left = [], [], list(np.flatnonzero(askable))
    for place in range(Q):
        said, of = known[asked] - fraction[asked], psi[asked]
        precision = np.eye(2) + of.T @ (of / noise[asked][:, None])
        chance = np.clip(fraction + psi @ np.linalg.solve(precision, of.T @ (said / noise[asked])), 1e-3, 1)
        worth = [chance[j] * (variance(made, weight, answered) - variance(made, weight, [*answered, j])) for j in left]
        best = left.pop(int(np.argmax(worth)))
        assert found.items[place] == best and found.answered[place] == known[best]
        asked, answered = [*asked, best], answered + [best] * int(known[best])


@pytest.mark.parametrize("users, items", [(12, 6), (6, 12)])
def test_familiarity_is_the_covariance_of_who_rated_what(users, items):
    train = random_table(0, users=users, items=items, most=5)
    table = np.zeros((train.num_users, train.num_items))
    table[train.user, train.item] = 1
    size = min(table.shape) - 1
    found = fit_familiarity(train, rank=20)  # all axes but one
    np.testing.assert_allclose(found.fraction, table.mean(0), rtol=1e-6)
    values, axes = np.linalg.eigh(np.cov(table.T, bias=True))
    kept = axes[:, -size:] * values[-size:] @ axes[:, -size:].T
    assert found.loadings.shape == (train.num_items, size)
    np.testing.assert_allclose(found.loadings @ found.loadings.T, kept, atol=1e-6)
    left = found.fraction * (1 - found.fraction) - np.diag(kept)
    np.testing.assert_allclose(found.noise, np.maximum(left, 1e-3), atol=1e-6)


def test_where_there_is_nothing_left_to_ask_there_is_no_answer():
    made = design(0)[0]._replace(familiarity=all_known(N))
    askable = jnp.zeros(N).at[jnp.array([2, 5])].set(1.0)
    score = jnp.arange(float(N))
    for found in (by_variance(made, askable, jnp.ones(N), Q), by_score(score, askable, jnp.ones(N), Q)):
        assert found.answered.tolist() == [1, 1, 0, 0] and set(found.items[:2].tolist()) == {2, 5}
    assert by_score(score, jnp.ones(N), askable, Q).items.tolist() == [6, 5, 4, 3]
    assert by_score(score, jnp.ones(N), askable, Q).answered.tolist() == [0, 1, 0, 0]


def test_personal_gradient_is_that_of_the_loss_over_its_size():
    learner, rng = LEARNERS["melu"](), np.random.default_rng(0)
    x = Inputs(jnp.asarray(rng.permutation(ITEMS)[:5]), jnp.asarray(rng.normal(size=(5, 3))), jnp.ones(2))
    support = Examples(x, jnp.asarray(rng.uniform(1, 6, 5)), jnp.array([1.0, 1, 1, 1, 0]))
    shapes = jax.eval_shape(learner.init, jax.random.key(0), Episode(support, support))
    params = jax.tree.map(lambda leaf: jnp.asarray(0.3 * rng.normal(size=leaf.shape)), shapes)

    def log_loss(free):
        squares = jnp.square(learner.predict(params | free, x) - support.y)
        return jnp.log(jnp.sum(squares * support.mask) / 4)

    encoder = {name: leaf for name, leaf in params["encoder"].items() if name.startswith("layer_")}

    def of_decision(free):
        return log_loss({"encoder": params["encoder"] | free["encoder"], "head": free["head"]})

    slope = jax.jit(jax.grad(of_decision))({"encoder": encoder, "head": params["head"]})
    norm = np.sqrt(sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(slope)))
    found = jax.jit(lambda *asked: personal_gradient(learner, *asked))(params, support)
    assert found == pytest.approx(0.1 * 4 / (4 + 2.0) * norm)  # the inner rate, and the prior count of 2


def test_evidence_is_popularity_times_gradient():
    train = random_table(0, users=12, items=6, most=5)
    gradients = np.random.default_rng(1).uniform(1, 3, 12)
    score = evidence_score(train, gradients)
    raters = [train.user[train.item == item] for item in range(train.num_items)]
    counts, means = np.array([len(who) for who in raters]), np.array([gradients[who].mean() for who in raters])
    np.testing.assert_allclose(score, counts / counts.max() * means / means.max())
    none = dataclasses.replace(train, item_ids=np.append(train.item_ids, "new"))
    assert evidence_score(none, gradients)[-1] == 0
