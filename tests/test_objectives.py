"""Losses over a whole catalogue against numbers worked out by hand and against the sums they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.eval.metrics import normalised_dcg
from metarec_jax.objectives import catalogue_cross_entropy, catalogue_ndcg
from metarec_jax.types import Examples

SCORES = jnp.array([1.0, 0.0, 2.0, -1.0, 5.0])
TASK = Examples(None, jnp.array([1.0, 0.0, 1.0, 0.0, 1.0]), jnp.array([1.0, 1.0, 1.0, 1.0, 0.0]))  # the last is known


def test_cross_entropy_is_the_mean_over_positives_of_the_log_softmax_over_candidates():
    total = np.log(np.exp(1) + 1 + np.exp(2) + np.exp(-1))
    assert float(catalogue_cross_entropy(SCORES, TASK)[0]) == pytest.approx(((total - 1) + (total - 2)) / 2)
    assert float(catalogue_cross_entropy(SCORES, TASK, 2.0)[0]) == pytest.approx(((total - 1) + (total - 2)) / 4)


def test_gradient_of_the_cross_entropy_is_softmax_less_the_share_of_the_positives():
    gradient = jax.grad(lambda scores: catalogue_cross_entropy(scores, TASK)[0])(SCORES)
    share = np.exp([1.0, 0, 2, -1]) / np.exp([1.0, 0, 2, -1]).sum()
    np.testing.assert_allclose(gradient, [*(share - [0.5, 0, 0.5, 0]), 0.0], atol=1e-6)


def test_a_pair_counts_by_how_much_ndcg_changes_when_its_rows_change_places():
    rng = np.random.default_rng(0)
    scores = jnp.asarray(rng.normal(size=12), jnp.float32)
    task = Examples(
        None, jnp.asarray(rng.random(12) < 0.4, jnp.float32), jnp.asarray(rng.random(12) < 0.8, jnp.float32)
    )
    pairs = [(p, n) for p in np.flatnonzero(task.y * task.mask) for n in np.flatnonzero((1 - task.y) * task.mask)]
    swapped = np.tile(scores, (len(pairs), 1))
    for row, pair in zip(swapped, pairs, strict=True):
        row[list(pair)] = row[list(pair[::-1])]
    at, *after = jax.jit(jax.vmap(lambda row: normalised_dcg(row, task.y, task.mask, 3)))(jnp.stack([scores, *swapped]))
    loss = np.log1p(np.exp([float(scores[n] - scores[p]) for p, n in pairs]))
    likelihood, wanted = float(catalogue_cross_entropy(scores, task)[0]), np.abs(np.array(after) - at) @ loss
    for weight in (1.0, 10.0, 0.0):
        found = float(catalogue_ndcg(scores, task, depth=3, pairs=weight)[0])
        assert found == pytest.approx(likelihood + weight * wanted, rel=1e-5)


@pytest.mark.parametrize("objective", [catalogue_cross_entropy, catalogue_ndcg])
def test_without_a_positive_or_a_candidate_the_loss_is_zero_and_so_is_its_gradient(objective):
    for task in (TASK._replace(y=jnp.zeros(5)), TASK._replace(mask=jnp.zeros(5))):
        loss, gradient = jax.value_and_grad(lambda scores, task=task: objective(scores, task)[0])(SCORES)
        assert float(loss) == 0.0
        np.testing.assert_array_equal(gradient, np.zeros(5))


@pytest.mark.parametrize("objective", [catalogue_cross_entropy, catalogue_ndcg])
def test_what_is_not_a_candidate_counts_for_nothing(objective):
    moved = SCORES.at[4].set(-80.0)
    assert float(objective(moved, TASK)[0]) == float(objective(SCORES, TASK)[0])
