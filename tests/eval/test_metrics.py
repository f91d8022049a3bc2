"""Metrics against hand-worked numbers and against brute force over every order of the tied rows."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tied_orders import mean_over_tie_breaks, padded

from metarec_jax.eval import metrics
from metarec_jax.types import Scale

FIVE, ZERO_TO_FIVE = Scale(1.0, 5.0), Scale(0.0, 5.0)
RATINGS = np.array([5.0, 3.0, 4.0, 1.0], np.float32)
ONES = np.ones(4, np.float32)


def dcg(ranked, k):
    """Of ratings 0..5, as stars 1..5."""
    stars = [1.0 + 0.8 * rating for rating in ranked[:k]]
    return sum((2.0**star - 1.0) / math.log2(rank + 2.0) for rank, star in enumerate(stars))


def ordered_pairs(ranked):
    pairs = [(a, b) for a, b in itertools.combinations(ranked, 2) if a != b]
    return sum(a > b for a, b in pairs) / len(pairs)


small_tasks = st.integers(1, 5).flatmap(
    lambda size: st.tuples(
        st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=size, max_size=size),  # few values: many ties
        st.lists(st.integers(0, 5).map(float), min_size=size, max_size=size),
    )
)


@settings(max_examples=60, deadline=None)
@given(small_tasks, st.integers(1, 6))
def test_ranking_metrics_are_the_mean_over_tie_breaks(task, k):
    prediction, rating = task
    arguments = padded(prediction, filler=9.0), padded(rating, filler=5.0), padded([1.0] * len(rating))

    ideal = dcg(sorted(rating, reverse=True), k)
    found = float(metrics.ndcg(*arguments, k, ZERO_TO_FIVE))
    if len(set(rating)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(mean_over_tie_breaks(prediction, rating, lambda r: dcg(r, k)) / ideal, abs=2e-6)

    found = float(metrics.precision(*arguments, k, 4.0))
    if max(rating) < 4:
        assert math.isnan(found)
    else:
        share = mean_over_tie_breaks(prediction, rating, lambda r: np.mean([x >= 4 for x in r[:k]]))
        assert found == pytest.approx(share, abs=2e-6)

    found = float(metrics.auc(*arguments))
    if len(set(rating)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(mean_over_tie_breaks(prediction, rating, ordered_pairs), abs=2e-6)


def test_hand_worked_values():
    prediction = np.array([4.0, 4.0, 2.0, 1.0], np.float32)  # 5 and 3 tied on top, then 4, then 1
    assert float(metrics.squared_error(prediction, RATINGS, ONES)) == (1 + 1 + 4 + 0) / 4
    assert float(metrics.absolute_error(prediction, RATINGS, ONES)) == (1 + 1 + 2 + 0) / 4
    # pairs (5,3) tied, (5,4) right, (5,1) right, (4,3) wrong, (3,1) right, (4,1) right
    assert float(metrics.auc(prediction, RATINGS, ONES)) == pytest.approx(4.5 / 6)
    second = 1 / math.log2(3)
    expected = (31 + 7) * (1 + second) / 2  # gains of 5 and 3, each on rank 1 or 2
    assert float(metrics.ndcg(prediction, RATINGS, ONES, 2, FIVE)) == pytest.approx(expected / (31 + 15 * second))
    assert float(metrics.precision(prediction, RATINGS, ONES, 1, 4.0)) == 0.5
    assert float(metrics.precision(prediction, RATINGS, ONES, 3, 4.0)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("constant", [3.5, 0.0, -7.0])
def test_constant_predictor_gets_chance_in_any_order_of_the_rows(constant):
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        prediction, rating = np.full(4, constant, np.float32), RATINGS[order]
        assert float(metrics.auc(prediction, rating, ONES)) == 0.5
        for k in (1, 2, 3, 4, 9):
            assert float(metrics.precision(prediction, rating, ONES, k, 4.0)) == pytest.approx(0.5)


def test_oracle_and_reversed_oracle():
    assert float(metrics.ndcg(RATINGS, RATINGS, ONES, 3, FIVE)) == 1.0
    assert float(metrics.auc(RATINGS, RATINGS, ONES)) == 1.0
    assert float(metrics.auc(-RATINGS, RATINGS, ONES)) == 0.0
    assert float(metrics.ndcg(-RATINGS, RATINGS, ONES, 3, FIVE)) < 0.7
    assert float(metrics.precision(-RATINGS, RATINGS, ONES, 2, 4.0)) == 0.0


# Rows of (prediction, rating), few of each: many ties.
unequal_tasks = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5)), min_size=2, max_size=6).filter(
    lambda rows: len({rating for _, rating in rows}) > 1
)
any_unit = st.tuples(st.floats(0.01, 100), st.floats(-30, 30))  # a and b / a of a * rating + b


@settings(max_examples=60, deadline=None)
@given(unequal_tasks, any_unit, st.integers(1, 6))
def test_ndcg_does_not_depend_on_the_unit_and_is_between_0_and_1(rows, unit, k):
    scale, shift = unit
    prediction, rating = np.array(rows, np.float32).T
    moved = np.float32(scale * (rating + shift))
    ends = Scale(*(float(np.float32(scale * (end + shift))) for end in FIVE))
    arguments = padded(prediction), padded(moved), padded([1.0] * len(rows))
    found = float(metrics.ndcg(*arguments, k, ends))
    assert found == pytest.approx(
        float(metrics.ndcg(padded(prediction), padded(rating), arguments[2], k, FIVE)), abs=1e-4
    )
    assert 0.0 <= found <= 1.0
    liked = moved >= np.float32(ends.liked)
    np.testing.assert_array_equal(liked, rating >= 4)


@settings(max_examples=60, deadline=None)
@given(unequal_tasks, any_unit, st.integers(1, 6), st.sampled_from([-1.0, 0.0, 1.0]))
def test_a_perfect_order_is_exactly_1_however_equal_ratings_are_ordered(rows, unit, k, tie_break):
    scale, shift = unit
    other, rating = np.array(rows, np.float32).T
    moved = np.float32(scale * (rating + shift))
    ends = Scale(*(float(np.float32(scale * (end + shift))) for end in FIVE))
    perfect = rating + 0.1 * tie_break * other
    assert float(metrics.ndcg(padded(perfect), padded(moved), padded([1.0] * len(rows)), k, ends)) == 1.0


@pytest.mark.parametrize("scale", [FIVE, Scale(-3.0, 5.0), Scale(0.0, 1e4)])
def test_ndcg_is_undefined_where_no_order_can_matter_and_nowhere_else(scale):
    prediction = np.array([1.0, 2.0, 3.0], np.float32)
    for rating, mask in (
        ([5, 5, 5], [1, 1, 1]),
        ([1, 1, 1], [1, 1, 1]),
        ([5, 1, 2], [1, 0, 0]),
        ([5, 1, 2], [0, 0, 0]),
    ):
        assert math.isnan(float(metrics.ndcg(prediction, np.float32(rating), np.float32(mask), 5, scale)))
    ends = np.float32([scale.high, scale.low, scale.low])
    for wrong in (prediction, np.zeros(3, np.float32)):
        assert 0.0 < float(metrics.ndcg(wrong, ends, np.ones(3, np.float32), 5, scale)) < 1.0


def test_k_larger_than_the_task_uses_the_real_rows():
    mask = np.array([1, 1, 1, 0], np.float32)
    assert float(metrics.precision(RATINGS, RATINGS, mask, 5, 4.0)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("filler", [0.0, 100.0, np.nan, np.inf])
def test_padding_is_inert(filler):
    rng = np.random.default_rng(0)
    prediction, rating = rng.integers(1, 4, (3, 7)) * 1.0, rng.integers(1, 6, (3, 7)) * 1.0
    bare = metrics.per_task(prediction, rating, np.ones((3, 7)), FIVE)
    wide = [np.concatenate([x, np.full((3, 4), filler)], axis=1) for x in (prediction, rating)]
    mask = np.concatenate([np.ones((3, 7)), np.zeros((3, 4))], axis=1)
    for name, values in metrics.per_task(*wide, mask, FIVE).items():
        np.testing.assert_allclose(values, bare[name], rtol=2e-6, err_msg=name)


def test_per_task_holds_every_metric_of_every_task_and_nan_where_undefined():
    rating = np.array([[5.0, 5.0, 5.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [4.0, 1.0, 1.0]])
    mask = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 1], [0, 0, 0]])
    values = metrics.per_task(rating - 2.0, rating, mask, Scale(0.0, 16 / 3))
    assert set(values) == {"rmse", "mae", "auc", "ndcg@5", "precision@5", "ndcg@10"}
    np.testing.assert_array_equal(values["rmse"], [4, 4, 4, np.nan])  # the MSE: no root of a single task
    np.testing.assert_array_equal(values["mae"], [2, 2, 2, np.nan])
    np.testing.assert_array_equal(values["auc"], [np.nan, 1, np.nan, np.nan])
    np.testing.assert_array_equal(values["ndcg@5"], [np.nan, 1, np.nan, np.nan])
    np.testing.assert_array_equal(values["precision@5"], [1, np.nan, np.nan, np.nan])


OF_ONE_TASK = {
    "squared_error": metrics.squared_error,
    "absolute_error": metrics.absolute_error,
    "auc": metrics.auc,
    "ndcg": lambda *task: metrics.ndcg(*task, 2, FIVE),
    "precision": lambda *task: metrics.precision(*task, 2, 4.0),
    "accuracy": lambda outputs, classes, mask: metrics.accuracy(jnp.stack([outputs, 9 - outputs], 1), classes, mask),
}


@pytest.mark.parametrize("name", OF_ONE_TASK)
@pytest.mark.parametrize("where", ["prediction", "rating"])
def test_nan_is_refused_and_in_a_compiled_program_it_is_no_figure(name, where):
    metric, spoilt = OF_ONE_TASK[name], np.array([4.0, np.nan, 2.0, 1.0], np.float32)
    classes = np.array([0, 1, 0, 1]) if name == "accuracy" else RATINGS
    if name == "accuracy" and where == "rating":
        return  # classes are whole numbers
    task = (spoilt, classes) if where == "prediction" else (RATINGS, spoilt)
    with pytest.raises(ValueError, match="is NaN, which no metric can count"):
        metric(*task, ONES)
    assert np.isnan(jax.jit(metric)(*task, ONES))
    assert np.isfinite(metric(*task, np.array([1.0, 0.0, 1.0, 1.0], np.float32)))  # padding may hold anything


def test_nan_among_tasks_is_refused_by_the_number_of_the_task():
    prediction, rating = np.full((3, 4), 3.0), np.full((3, 4), 4.0)
    prediction[1, 2] = np.nan
    with pytest.raises(ValueError, match="of task 1 is NaN"):
        metrics.per_task(prediction, rating, np.ones((3, 4)), FIVE)
    mask = np.ones((3, 4))
    mask[1, 2] = 0
    assert metrics.per_task(prediction, rating, mask, FIVE)["rmse"].tolist() == [1, 1, 1]
