"""Bias, ALS, EASE and kNN against their definitions, worked by hand or solved directly in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from helpers import random_table

from metarec_jax.baselines import als, bias, ease, fm, item_cosine, item_knn, means
from metarec_jax.ops import least_squares
from metarec_jax.priors.bias import content_weights, fit_biases
from metarec_jax.priors.ease import ease_weights
from metarec_jax.priors.statistics import co_sums
from metarec_jax.types import Examples, Inputs

TABLE = random_table(3, users=25, items=8, least=2, most=8)


def examples(items: list[int], ratings: list[float], mask: list[float] | None = None) -> Examples:
    """A support set without features."""
    real = jnp.ones(len(items)) if mask is None else jnp.array(mask)
    return Examples(Inputs(jnp.array(items), jnp.zeros((len(items), 0)), jnp.zeros(0)), jnp.array(ratings), real)


def test_means_are_means():
    support = examples([0, 1, 2], [5.0, 2.0, 1.0], [1.0, 1.0, 0.0])
    mean = float(TABLE.rating.mean())
    user = means.adapt_user_mean(means.fit_user_mean(TABLE, shrink=3.0), support)
    assert float(user["mean"]) == pytest.approx((3 * mean + 7.0) / 5, rel=1e-6)
    item = means.fit_item_mean(TABLE, shrink=2.0)["item"]
    rated = TABLE.rating[TABLE.item == 4]
    assert float(item[4]) == pytest.approx((rated.sum() + 2 * mean) / (len(rated) + 2), rel=1e-6)
    popular = means.fit_popularity(TABLE, liked=True)["item"]
    assert float(popular[4]) == (rated >= np.median(TABLE.rating)).sum()


def test_bias_is_the_joint_ridge_regression():
    users, items, rows = TABLE.num_users, TABLE.num_items, len(TABLE.rating)
    design = np.zeros((rows, 1 + items + users))
    design[:, 0] = 1.0
    design[np.arange(rows), 1 + TABLE.item] = 1.0
    design[np.arange(rows), 1 + items + TABLE.user] = 1.0
    penalty = np.diag([0.0] + [3.0] * items + [2.0] * users)
    solution = np.linalg.solve(design.T @ design + penalty, design.T @ TABLE.rating)
    mean, item, user = fit_biases(TABLE, reg_user=2.0, reg_item=3.0)
    np.testing.assert_allclose(np.concatenate([[mean], item, user]), solution, atol=1e-4)
    params = bias.fit(TABLE, reg_user=2.0, reg_item=3.0)
    fast = bias.adapt(params, examples([1, 5], [5.0, 4.0]))
    expected = (9.0 - 2 * mean - item[1] - item[5]) / (2 + 2.0)
    assert float(fast["user"]) == pytest.approx(expected, abs=1e-4)


def test_content_weights_are_a_weighted_ridge_regression():
    rng = np.random.default_rng(0)
    values, own, count = rng.normal(size=(9, 2)), rng.normal(size=9), np.arange(9)
    centre, weights = content_weights(values, own, count, reg_bias=2.0, reg=1.5)

    def objective(w):
        return np.sum(count / (count + 2.0) * (own - (values - values.mean(0)) @ w) ** 2) + 1.5 * np.sum(w**2)

    np.testing.assert_allclose(centre, values.mean(0))
    for step in np.vstack([np.eye(2), -np.eye(2)]) * 1e-3:
        assert objective(weights + step) > objective(weights)


@pytest.mark.parametrize("slots", [4, 12])  # more and fewer support ratings than weights
def test_ridge_weights_solve_the_normal_equations(slots):
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(slots, 6)), rng.normal(size=slots)
    mask = (np.arange(slots) < slots - 1).astype(float)
    z = features * mask[:, None]
    expected = np.linalg.solve(z.T @ z / 0.7 + np.eye(6), z.T @ target / 0.7)
    arrays = [jnp.float32(array) for array in (features, target, mask, 0.7)]
    np.testing.assert_allclose(least_squares.ridge_weights(*arrays), expected, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_als_folds_a_user_in_by_the_normal_equations(weighted):
    params = als.fit(TABLE, dim=3, reg=0.2, weighted=weighted, reg_bias=4.0)
    items, ratings = [0, 3, 6, 7], np.array([5.0, 1.0, 2.5, 4.0])
    design = np.hstack([np.float64(params["factors"])[items], np.ones((4, 1))])
    scale = float(params["scale"])
    penalty = np.diag([0.2 * (4 if weighted else 1)] * 3 + [4.0])
    residual = (ratings - np.float64(params["item"])[items]) / scale
    expected = scale * np.linalg.solve(design.T @ design + penalty, design.T @ residual)
    fast = als.adapt(params, examples([*items, 2], [*ratings, 99.0], [1.0] * 4 + [0.0]))
    np.testing.assert_allclose(np.append(fast["vector"], fast["user"]), expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize(("users", "share"), [(3, 0.5), (12, 0.5), (12, 0.2)])  # of several items: few, many, few
def test_ease_columns_are_ridge_regressions_on_the_other_items(users, share):
    x = (np.random.default_rng(1).random((users, 5)) < share).astype(float)
    weights = ease_weights(scipy.sparse.csr_array(x), reg=2.5)
    np.testing.assert_array_equal(np.diag(weights), 0.0)
    for j in range(5):
        rest = np.delete(np.arange(5), j)
        expected = np.linalg.solve(x[:, rest].T @ x[:, rest] + 2.5 * np.eye(4), x[:, rest].T @ x[:, j])
        np.testing.assert_allclose(weights[rest, j], expected, atol=1e-10)


@pytest.mark.parametrize("known", [1, 3])
def test_fm_folds_a_user_in_with_a_penalty_that_does_not_grow_with_the_ratings(known):
    """Around the prediction from the features, in units of the ratings' deviation: a vector and a bias."""
    rng = np.random.default_rng(0)
    items, own = rng.normal(size=(8, 4)), rng.normal(size=4)  # vectors of three numbers, and biases
    tables = {"item": items, "item_feature": np.zeros((0, 4)), "user": own, "user_feature": np.zeros((0, 4))}
    params = {name: jnp.float32(table) for name, table in (tables | {"mean": 3.5, "scale": 1.2, "reg": 1.7}).items()}
    place, y = np.array([2, 5, 7]), np.array([5.0, 1.0, 4.0])
    mask = 1.0 * (np.arange(3) < known)
    design = np.hstack([items[place[:known], :3], np.ones((known, 1))])
    residual = (y - 3.5) / 1.2 - (items[place, :3] @ own[:3] + items[place, 3] + own[3])
    penalty = np.diag([1.7, 1.7, 1.7, fm.REG_BIAS])
    expected = np.linalg.solve(design.T @ design + penalty, design.T @ residual[:known])
    fast = fm.adapt(params, examples(place.tolist(), y.tolist(), mask.tolist()))
    np.testing.assert_allclose(fast["own"], expected, rtol=1e-4)


def test_fm_settings_of_the_fold_in_share_the_fit():
    one, other = (fm.fit(TABLE, reg=reg, dim=2, epochs=1) for reg in (1.0, 4.0))
    assert one["item"] is other["item"] and (one["reg"], other["reg"]) == (1.0, 4.0)


def test_scores_sum_the_rows_of_liked_items():
    params = ease.fit(TABLE, reg=1.0, popularity=0.0)
    least = float(np.median(TABLE.rating))
    support = examples([2, 4, 6], [5.0, least - 0.5, least], [1.0, 1.0, 1.0])
    query = examples([0, 1, 7], [0.0] * 3).x
    expected = np.asarray(params["weights"])[[2, 6]][:, [0, 1, 7]].sum(0)
    np.testing.assert_allclose(ease.predict(ease.adapt(params, support), query), expected, rtol=1e-5)
    liked = {i: set(TABLE.user[(TABLE.item == i) & (TABLE.rating >= least)]) for i in (2, 7)}
    cosine = item_cosine.fit(TABLE, shrink=3.0)["weights"][2, 7]
    microbatch = len(liked[2] & liked[7]) / (np.sqrt(len(liked[2]) * len(liked[7])) + 3.0)
    assert float(cosine) == pytest.approx(microbatch, rel=1e-5)


def test_co_sums_run_over_the_users_who_rated_both():
    both = [
        (TABLE.rating[(TABLE.user == u) & (TABLE.item == 1)], TABLE.rating[(TABLE.user == u) & (TABLE.item == 5)])
        for u in range(TABLE.num_users)
    ]
    products = [float(one[0] * other[0]) for one, other in both if len(one) and len(other)]
    assert co_sums(TABLE, TABLE.rating)[1, 5] == pytest.approx(sum(products), rel=1e-6)
    assert co_sums(TABLE)[1, 5] == len(products)


def test_knn_worked_by_hand():
    """Two nearest of three neighbours: item 0 is 0.5, 0.25, 0.1 and -0.9 like items 1 to 4."""
    similarity = np.zeros((5, 5), np.float32)
    similarity[0, 1:] = [0.5, 0.25, 0.1, -0.9]
    params = {
        "item": jnp.array([3.0, 3.0, 2.0, 4.0, 3.0]),
        "reg_user": jnp.float32(1.0),
        "similarity": jnp.asarray(similarity),
        "neighbours": jnp.float32(2),
        "damping": jnp.float32(0.25),
    }
    support = examples([1, 2, 3, 4], [4.0, 1.0, 5.0, 3.0])
    # Residuals from the items 1, -1, 1, 0: the user's bias is 1 / 5; what is left is .8, -1.2, .8, -.2.
    expected = 3.0 + 0.2 + (0.5 * 0.8 - 0.25 * 1.2) / (0.5 + 0.25 + 0.25)
    predicted = item_knn.predict(item_knn.adapt(params, support), examples([0], [0.0]).x)
    assert float(predicted[0]) == pytest.approx(expected, rel=1e-5)


def test_similarity_is_the_shrunk_adjusted_cosine():
    residual = np.random.default_rng(2).normal(size=len(TABLE.rating)).astype(np.float32)
    similarity = item_knn.pearson(TABLE, residual, shrink=2.0)
    of = {i: dict(zip(TABLE.user[TABLE.item == i], residual[TABLE.item == i], strict=True)) for i in (1, 5)}
    products = [of[1][u] * of[5][u] for u in of[1] if u in of[5]]
    scale = [np.sqrt(np.mean(np.square(list(of[i].values())))) for i in (1, 5)]
    assert similarity[1, 5] == pytest.approx(sum(products) / (len(products) + 2.0) / np.prod(scale), rel=1e-4)
    assert np.diag(similarity).max() == 0.0
