"""Estimates and paired comparisons: known answers, coverage on normals, the effect of groups."""

import numpy as np
import pytest
from scipy import stats

from metarec_jax.eval import intervals


def test_undefined_tasks_are_counted_and_left_out():
    found = intervals.estimate([1.0, np.nan, 3.0, np.nan, np.nan], np.arange(5), root=False)
    assert (found.mean, found.tasks, found.undefined) == (2.0, 2, 3)
    nothing = intervals.estimate([np.nan, np.nan], [0, 1], root=False)
    assert np.isnan(nothing[:3]).all() and nothing[3:] == (0, 2)


def test_root_is_of_the_mean_and_of_the_interval():
    squared = np.random.default_rng(0).random(50)
    plain = intervals.estimate(squared, np.arange(50), root=False)
    rooted = intervals.estimate(squared, np.arange(50), root=True)
    np.testing.assert_allclose(np.square(rooted[:3]), plain[:3], rtol=1e-3)
    assert rooted.low < rooted.mean < rooted.high


def test_one_group_has_a_mean_and_no_interval():
    found = intervals.estimate([1.0, 2.0], ["a", "a"], root=False)
    assert found.mean == 1.5 and np.isnan([found.low, found.high]).all()
    difference = intervals.compare([1.0, 2.0], [0.0, 0.0], ["a", "a"], root=False)
    assert difference.difference == 1.5 and np.isnan(difference[1:]).all()


def test_coverage_and_width_on_normals():
    """The 95% interval holds the true mean in about 95% of 200 samples, and is as wide as theory says."""
    rng = np.random.default_rng(1)
    found = [intervals.estimate(rng.normal(3.0, 2.0, 60), np.arange(60), root=False) for _ in range(200)]
    covered = np.mean([one.low <= 3.0 <= one.high for one in found])
    assert 0.90 <= covered <= 0.99
    width = np.mean([one.high - one.low for one in found])
    assert width == pytest.approx(2 * 1.96 * 2.0 / np.sqrt(60), rel=0.05)


def test_repeated_tasks_of_a_group_add_no_certainty():
    values, users = np.random.default_rng(2).normal(size=40), np.arange(40)
    once = intervals.estimate(values, users, root=False)
    repeated = np.tile(values, 9), np.tile(users, 9)
    grouped = intervals.estimate(*repeated, root=False)
    np.testing.assert_allclose(grouped[:3], once[:3])
    wrong = intervals.estimate(repeated[0], np.arange(360), root=False)
    assert wrong.high - wrong.low == pytest.approx((once.high - once.low) / 3, rel=0.15)


def test_the_mean_is_over_tasks_and_the_resampling_over_groups_of_any_size():
    found = intervals.estimate([0.0, 1.0, 1.0, 1.0], [7, 3, 3, 3], root=False)
    assert found.mean == 0.75 and (found.low, found.high) == (0.0, 1.0)


def test_results_do_not_depend_on_the_chunk(monkeypatch):
    values, users = np.random.default_rng(3).random(30), np.arange(30)
    whole = intervals.estimate(values, users, root=True)
    assert intervals.estimate(values, users, root=True) == whole
    monkeypatch.setattr(intervals, "_BLOCK_ELEMENTS", 30 * 70)
    assert intervals.estimate(values, users, root=True) == whole


def test_compare_sign_interval_and_p():
    rng = np.random.default_rng(4)
    b = rng.random(200) + 1.0
    a = b - 0.1 + 0.02 * rng.normal(size=200)
    found = intervals.compare(a, b, np.arange(200), root=False)
    assert found.low < found.difference < found.high < 0 and found.p < 1e-6
    swapped = intervals.compare(b, a, np.arange(200), root=False)
    np.testing.assert_allclose(swapped[:3], [-found.difference, -found.high, -found.low])
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    rooted = intervals.compare(a, b, np.arange(200), root=True)
    assert rooted.difference == pytest.approx(np.sqrt(a.mean()) - np.sqrt(b.mean()))


def test_pairing_cancels_what_makes_a_task_hard_for_both():
    rng = np.random.default_rng(5)
    hard = 10.0 * rng.random(100)
    found = intervals.compare(hard - 0.05, hard + 0.01 * rng.normal(size=100), np.arange(100), root=False)
    assert found.high < 0 and found.high - found.low < 0.01


def test_compare_uses_tasks_where_both_are_defined():
    found = intervals.compare([1.0, np.nan, 4.0, 3.0], [0.0, 5.0, np.nan, 0.0], np.arange(4), root=False)
    assert found.difference == 2.0
    assert np.isnan(intervals.compare([np.nan, 1.0], [1.0, np.nan], [0, 1], root=False)).all()


def test_equal_methods_differ_by_nothing():
    values = np.random.default_rng(6).random(20)
    assert intervals.compare(values, values, np.arange(20), root=True) == (0.0, 0.0, 0.0, 1.0)


def test_no_difference_is_seldom_called_one():
    rng = np.random.default_rng(7)
    found = [intervals.compare(*rng.normal(size=(2, 40)), np.arange(40), root=False) for _ in range(100)]
    assert np.mean([one.low > 0 or one.high < 0 for one in found]) <= 0.12
    assert np.mean([one.p < 0.05 for one in found]) <= 0.12


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="one group a task"):
        intervals.estimate([1.0, 2.0], [0], root=False)
    with pytest.raises(ValueError, match="one group a task"):
        intervals.compare([1.0, 2.0], [1.0], [0, 1], root=False)


def test_correlation_is_numpy_s_and_groups_are_drawn_together():
    rng = np.random.default_rng(0)
    a = rng.normal(size=400) + 7.0
    b = 0.6 * a + rng.normal(size=400)
    found = intervals.correlation(a, b, np.arange(400) // 4)
    assert found.mean == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert found.low < found.mean < found.high and found.tasks == 400
    twice = intervals.correlation(np.tile(a, 4), np.tile(b, 4), np.tile(np.arange(400) // 4, 4))
    assert twice.high - twice.low == pytest.approx(found.high - found.low)  # copies add nothing
    assert np.isnan(intervals.correlation(np.ones(9), np.arange(9.0), np.arange(9)).mean)


def test_groups_that_all_differ_by_the_same_leave_no_doubt():
    found = intervals.compare(np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.5, 2.5]), np.array(["a", "b", "c"]), False)
    assert found.p == 0.0 and found.low == pytest.approx(0.5) == found.high
