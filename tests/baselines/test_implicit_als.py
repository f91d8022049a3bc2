"""Implicit ALS: the fold-in is the paper's equation 4 over ALL items, and alternation goes down in the paper's loss."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_table

from metarec_jax.baselines.implicit_als import IMPLICIT_ALS
from metarec_jax.types import Examples, Inputs

TABLE = random_table(1, users=40, items=15, least=3, most=9)
LIKED = np.median(TABLE.rating)
SETTINGS = {"dim": 4, "reg": 2.0, "alpha": 7.0}


def support_of(items: list[int], rating: float = 5.0) -> Examples:
    ids = jnp.array(items, jnp.int32)
    return Examples(Inputs(ids, jnp.zeros((len(ids), 0)), jnp.zeros(0)), jnp.full(len(ids), rating), jnp.ones(len(ids)))


def folded(factors: np.ndarray, items: list[int]) -> np.ndarray:
    """Equation 4 with the diagonal matrix of confidences written out."""
    known = np.isin(np.arange(len(factors)), items)
    confidence = np.diag(1.0 + SETTINGS["alpha"] * known)
    left = factors.T @ confidence @ factors + SETTINGS["reg"] * np.eye(factors.shape[1])
    return np.linalg.solve(left, factors.T @ confidence @ known)


def test_fold_in_is_equation_4():
    params = IMPLICIT_ALS.fit(TABLE, **SETTINGS)
    fast = IMPLICIT_ALS.adapt(params, support_of([2, 7, 11]))
    wanted = folded(np.asarray(params["factors"], np.float64), [2, 7, 11])
    np.testing.assert_allclose(fast["vector"], wanted, rtol=2e-4, atol=1e-6)
    nothing_liked = IMPLICIT_ALS.adapt(params, support_of([2, 7], rating=float(LIKED) - 0.5))
    np.testing.assert_array_equal(nothing_liked["vector"], np.zeros(4))


def test_item_vectors_are_the_items_half_of_a_sweep():
    """From the users' vectors that the last sweep folded in, equation 5 gives the item vectors of one more sweep."""
    before, after = (IMPLICIT_ALS.fit(TABLE, **SETTINGS, sweeps=n) for n in (3, 4))
    liked = np.zeros((TABLE.num_users, TABLE.num_items), bool)
    liked[TABLE.user, TABLE.item] = TABLE.rating >= LIKED
    factors = np.asarray(before["factors"], np.float64)
    users = np.stack([folded(factors, np.flatnonzero(row)) for row in liked])
    items = np.stack([folded(users, np.flatnonzero(column)) for column in liked.T])
    np.testing.assert_allclose(after["factors"], items, rtol=2e-3, atol=1e-4)


def objective(factors: np.ndarray, liked: np.ndarray) -> float:
    """Equation 3 at the users' best vectors."""
    users = np.stack([folded(factors, np.flatnonzero(row)) for row in liked])
    error = (1.0 + SETTINGS["alpha"] * liked) * (liked - users @ factors.T) ** 2
    return float(error.sum() + SETTINGS["reg"] * ((users**2).sum() + (factors**2).sum()))


def test_every_sweep_lowers_the_loss():
    liked = np.zeros((TABLE.num_users, TABLE.num_items))
    liked[TABLE.user[TABLE.rating >= LIKED], TABLE.item[TABLE.rating >= LIKED]] = 1.0
    losses = [
        objective(np.asarray(IMPLICIT_ALS.fit(TABLE, **SETTINGS, sweeps=n)["factors"]), liked) for n in (1, 2, 4, 8)
    ]
    assert all(later < earlier for earlier, later in zip(losses, losses[1:], strict=False))


def test_without_support_the_order_is_that_of_popularity():
    params = IMPLICIT_ALS.fit(TABLE, **SETTINGS, popularity=0.1)
    scores = IMPLICIT_ALS.predict(IMPLICIT_ALS.adapt(params, support_of([])), support_of(list(range(15))).x)
    counts = np.bincount(TABLE.item[TABLE.rating >= LIKED], minlength=TABLE.num_items)
    assert scores == pytest.approx(0.1 * counts / TABLE.num_users)
