"""Metrics of a whole catalogue: hand-worked numbers, and brute force over every order of the tied rows."""

import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_metrics import brute_force, padded

from metarec_jax import metrics

small_tasks = st.integers(1, 6).flatmap(
    lambda size: st.tuples(
        st.lists(st.sampled_from([-1.0, 0.0, 2.0]), min_size=size, max_size=size),  # few values: many ties
        st.lists(st.sampled_from([0.0, 1.0]), min_size=size, max_size=size),
    )
)


@settings(max_examples=80, deadline=None)
@given(small_tasks, st.integers(1, 7))
def test_they_are_the_mean_over_tie_breaks(task, k):
    prediction, relevant = task
    arguments = padded(prediction, 8, filler=9.0), padded(relevant, 8, filler=1.0), padded([1.0] * len(relevant), 8)
    found = {
        "recall": metrics.recall(*arguments, k),
        "hit": metrics.hit_rate(*arguments, k),
        "mrr": metrics.reciprocal_rank(*arguments),
        "ndcg": metrics.ndcg(*arguments, k),
    }
    if not any(relevant):
        assert all(math.isnan(value) for value in found.values())
        return
    total = sum(relevant)
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, int(total))))
    wanted = {
        "recall": lambda r: sum(r[:k]) / total,
        "hit": lambda r: float(any(r[:k])),
        "mrr": lambda r: 1 / (1 + r.index(1.0)),
        "ndcg": lambda r: sum(gain / math.log2(rank + 2) for rank, gain in enumerate(r[:k])) / ideal,
    }
    for name, value in wanted.items():
        assert float(found[name]) == pytest.approx(brute_force(prediction, relevant, value), abs=3e-6), name


def test_hand_worked_values():
    """Seven candidates and one known item; scores 3 | 2 2 2 2 | 1 1, of which the 2nd, 3rd and 7th are relevant."""
    prediction = np.array([3, 2, 2, 2, 2, 1, 1, 9], np.float32)
    relevant = np.array([0, 1, 1, 0, 0, 0, 1, 1], np.float32)
    task = prediction, relevant, np.array([1, 1, 1, 1, 1, 1, 1, 0], np.float32)
    assert float(metrics.recall(*task, 3)) == pytest.approx(2 * (2 / 4) / 3)  # two of four places are within three
    assert float(metrics.recall(*task, 6)) == pytest.approx((2 + 1 / 2) / 3)
    assert float(metrics.hit_rate(*task, 1)) == 0.0
    assert float(metrics.hit_rate(*task, 3)) == pytest.approx(1 - (2 / 4) * (1 / 3))
    assert float(metrics.hit_rate(*task, 4)) == 1.0  # the two irrelevant ones of the group can take two places only
    first = {2: 1 / 2, 3: (1 / 2) * (2 / 3), 4: (1 / 2) * (1 / 3)}  # chance of each rank of the first relevant
    assert float(metrics.reciprocal_rank(*task)) == pytest.approx(sum(chance / rank for rank, chance in first.items()))
    gain = 2 * (1 / math.log2(3) + 1 / math.log2(4)) / 4
    assert float(metrics.ndcg(*task, 3)) == pytest.approx(gain / (1 + 1 / math.log2(3) + 1 / math.log2(4)))


def test_a_constant_gets_chance_and_an_oracle_gets_one_in_a_large_catalogue():
    items, total = 5000, 40
    relevant = np.zeros(items, np.float32)
    relevant[np.random.default_rng(0).choice(items, total, replace=False)] = 1.0
    mask = np.ones(items, np.float32)
    constant = jax.jit(metrics.catalogue)(np.full(items, 2.5, np.float32), relevant, mask)
    assert float(constant["recall@20"]) == pytest.approx(20 / items, rel=1e-5)
    assert float(constant["ndcg@10"]) == pytest.approx(total / items, rel=1e-5)
    missed = np.prod((items - total - np.arange(10.0)) / (items - np.arange(10.0)))
    assert float(constant["hit@10"]) == pytest.approx(1 - missed, rel=1e-3)
    place = np.arange(items, dtype=np.float64)
    survival = np.cumprod(np.maximum(items - total - place, 0) / (items - place))
    chance = np.concatenate([[1.0], survival[:-1]]) - survival
    assert float(constant["mrr"]) == pytest.approx(np.sum(chance / (1 + place)), rel=1e-3)
    oracle = jax.jit(metrics.catalogue)(relevant, relevant, mask)
    assert {name: float(value) for name, value in oracle.items()} == {
        "ndcg@10": 1.0,
        "recall@20": 0.5,
        "hit@10": 1.0,
        "mrr": 1.0,
    }
    worst = jax.jit(metrics.catalogue)(-relevant, relevant, mask)
    assert float(worst["ndcg@10"]) == float(worst["hit@10"]) == float(worst["recall@20"]) == 0.0
    last = items - total + 1.0
    assert float(worst["mrr"]) == pytest.approx(1 / last, rel=1e-5)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_zero_and_minus_zero_are_tied(zero):
    prediction, relevant = np.array([zero, 0.0, -1.0], np.float32), np.array([1, 0, 0], np.float32)
    assert float(metrics.recall(prediction, relevant, np.ones(3, np.float32), 1)) == 0.5
