"""Metrics of a whole catalogue: hand-worked numbers, and brute force over every order of the tied rows."""

import math
from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tied_orders import mean_over_tie_breaks, padded

from metarec_jax.eval import ranking_metrics as metrics
from metarec_jax.eval.metrics import RANKING
from metarec_jax.eval.predict import PredictionError
from metarec_jax.eval.ranking import rank_catalogue
from metarec_jax.eval.ranking_metrics import Ranks
from metarec_jax.eval.ties import tie_groups
from metarec_jax.tasks.catalogue import ImplicitUser
from metarec_jax.types import Baseline


def standing(prediction, relevant, mask) -> Ranks:
    """Where the relevant ones of all candidates stand, from rows [I] of each."""
    mask = np.asarray(mask)
    return Ranks(*tie_groups(np.asarray(prediction), mask), np.asarray(relevant) * mask > 0)


@partial(jax.jit, static_argnums=1)
def at(places: Ranks, k: int) -> dict[str, jax.Array]:
    """All metrics."""
    functions = {"recall": metrics.recall, "hit": metrics.hit_rate, "ndcg": metrics.ndcg}
    return {name: of(places, k) for name, of in functions.items()} | {"mrr": metrics.reciprocal_rank(places)}


def of_catalogue(prediction, relevant, mask) -> dict[str, float]:
    places = standing(prediction, relevant, mask)
    return {metric.name: float(jax.jit(metric.function)(places)) for metric in RANKING}


small_tasks = st.integers(1, 6).flatmap(
    lambda size: st.tuples(
        st.lists(st.sampled_from([-1.0, 0.0, 2.0]), min_size=size, max_size=size),  # few values: many ties
        st.lists(st.sampled_from([0.0, 1.0]), min_size=size, max_size=size),
    )
)


@settings(max_examples=80, deadline=None)
@given(small_tasks, st.sampled_from([1, 2, 3, 7]))
def test_they_are_the_mean_over_tie_breaks(task, k):
    prediction, relevant = task
    mask = padded([1.0] * len(relevant), 8)
    places = standing(padded(prediction, 8, filler=9.0), padded(relevant, 8, filler=1.0), mask)
    found = at(places, k)
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
        assert float(found[name]) == pytest.approx(mean_over_tie_breaks(prediction, relevant, value), abs=3e-6), name


def test_hand_worked_values():
    """Seven candidates and one known item; scores 3 | 2 2 2 2 | 1 1, of which the 2nd, 3rd and 7th are relevant."""
    prediction = np.array([3, 2, 2, 2, 2, 1, 1, 9], np.float32)
    relevant = np.array([0, 1, 1, 0, 0, 0, 1, 1], np.float32)
    task = standing(prediction, relevant, np.array([1, 1, 1, 1, 1, 1, 1, 0], np.float32))
    assert float(metrics.recall(task, 3)) == pytest.approx(2 * (2 / 4) / 3)  # two of four places are within three
    assert float(metrics.recall(task, 6)) == pytest.approx((2 + 1 / 2) / 3)
    assert float(metrics.hit_rate(task, 1)) == 0.0
    assert float(metrics.hit_rate(task, 3)) == pytest.approx(1 - (2 / 4) * (1 / 3))
    assert float(metrics.hit_rate(task, 4)) == 1.0  # the two irrelevant ones of the group can take two places only
    first = {2: 1 / 2, 3: (1 / 2) * (2 / 3), 4: (1 / 2) * (1 / 3)}  # chance of each rank of the first relevant
    assert float(metrics.reciprocal_rank(task)) == pytest.approx(sum(chance / rank for rank, chance in first.items()))
    gain = 2 * (1 / math.log2(3) + 1 / math.log2(4)) / 4
    assert float(metrics.ndcg(task, 3)) == pytest.approx(gain / (1 + 1 / math.log2(3) + 1 / math.log2(4)))


def test_a_constant_gets_chance_and_an_oracle_gets_one_in_a_large_catalogue():
    items, total = 5000, 40
    relevant = np.zeros(items, np.float32)
    relevant[np.random.default_rng(0).choice(items, total, replace=False)] = 1.0
    mask = np.ones(items, np.float32)
    constant = of_catalogue(np.full(items, 2.5, np.float32), relevant, mask)
    assert constant["recall@20"] == pytest.approx(20 / items, rel=1e-5)
    assert constant["ndcg@10"] == pytest.approx(total / items, rel=1e-5)
    missed = np.prod((items - total - np.arange(10.0)) / (items - np.arange(10.0)))
    assert constant["hit@10"] == pytest.approx(1 - missed, rel=1e-3)
    place = np.arange(items, dtype=np.float64)
    survival = np.cumprod(np.maximum(items - total - place, 0) / (items - place))
    chance = np.concatenate([[1.0], survival[:-1]]) - survival
    assert constant["mrr"] == pytest.approx(np.sum(chance / (1 + place)), rel=1e-3)
    assert of_catalogue(relevant, relevant, mask) == {
        "ndcg@10": 1.0,
        "recall@20": 0.5,
        "hit@10": 1.0,
        "mrr": 1.0,
    }
    worst = of_catalogue(-relevant, relevant, mask)
    assert worst["ndcg@10"] == worst["hit@10"] == worst["recall@20"] == 0.0
    last = items - total + 1.0
    assert worst["mrr"] == pytest.approx(1 / last, rel=1e-5)


@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_zero_and_minus_zero_are_tied(zero):
    prediction, relevant = np.array([zero, 0.0, -1.0], np.float32), np.array([1, 0, 0], np.float32)
    assert float(metrics.recall(standing(prediction, relevant, np.ones(3, np.float32)), 1)) == 0.5


small_catalogues = st.sampled_from([4, 9]).flatmap(
    lambda number: st.tuples(
        st.lists(st.sampled_from([-1.0, 0.0, 2.0]), min_size=number, max_size=number),
        st.lists(st.sampled_from(["relevant", "known", "neither"]), min_size=number, max_size=number),
        st.sampled_from([1, 4, 12]),  # items of a block
    )
)


@partial(jax.jit, static_argnums=(3, 4))
def in_blocks(scores, relevant, known, number: int, size: int) -> tuple[Ranks, jax.Array]:
    def score(first: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice_in_dim(scores, first, size)

    return metrics.find_ranks(score, relevant, known, number=number, size=size)


@settings(max_examples=60, deadline=None)
@given(small_catalogues)
def test_blocks_of_the_catalogue_find_the_places_that_sorting_all_of_it_finds(catalogue):
    scores, kinds, size = np.array(catalogue[0], np.float32), np.array(catalogue[1]), catalogue[2]
    number, blocks = len(scores), np.full(24, 5.0, np.float32)
    blocks[:number] = scores  # beyond them are items that do not exist
    relevant, known = (
        padded(np.flatnonzero(kinds == kind), 9, filler=-1).astype(np.int32) for kind in ("relevant", "known")
    )
    places, finite = in_blocks(blocks, relevant, known, number, size)
    assert finite
    ahead, tied = tie_groups(scores, (kinds != "known").astype(np.float32))
    own = relevant[relevant >= 0]
    np.testing.assert_array_equal(places.real, relevant >= 0)
    np.testing.assert_array_equal(places.ahead[: len(own)], ahead[own])
    np.testing.assert_array_equal(places.tied[: len(own)], tied[own])


def by_content() -> Baseline:
    """Scores an item by its content and what the user likes."""

    def adapt(params, support):
        return params * (support.mask @ support.x.content)

    return Baseline(lambda train: 1.0, adapt, lambda fast, x: x.content @ fast, "score")


@pytest.mark.parametrize("items", [7, 64])
def test_a_catalogue_in_blocks_is_ranked_as_all_at_once(items):
    rng = np.random.default_rng(0)
    content = rng.integers(0, 3, (50, 4)).astype(np.float32)
    drawn = np.stack([rng.permutation(50) for _ in range(5)]).astype(np.int32)
    users = ImplicitUser(drawn[:, :3], np.where(drawn[:, 3:9] % 5 > 0, drawn[:, 3:9], -1), np.zeros((5, 0), np.float32))
    users.support[0, 1:] = -1
    whole, blocks = (
        rank_catalogue("toy", by_content(), 1.0, content, users, np.arange(5), items=size, batch=2).values
        for size in (None, items)
    )
    assert whole.keys() == blocks.keys()
    for metric, values in whole.items():
        np.testing.assert_allclose(blocks[metric], values, rtol=1e-6)


def test_a_score_that_is_not_finite_is_told_wherever_it_is():
    content = np.ones((20, 1), np.float32)
    users = ImplicitUser(np.array([[0]], np.int32), np.array([[1]], np.int32), np.zeros((1, 0), np.float32))
    broken = by_content()._replace(predict=lambda fast, x: jax.numpy.where(x.id == 17, jax.numpy.nan, x.content[:, 0]))
    with pytest.raises(PredictionError, match="toy gives scores that are not finite to user anna"):
        rank_catalogue("toy", broken, 1.0, content, users, np.array(["anna"]), items=6)


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_where_a_score_is_not_finite_there_is_no_figure(score):
    scores = np.array([3.0, 1.0, 2.0, score], np.float32)
    relevant, known = np.array([0, 2, -1], np.int32), np.array([-1], np.int32)
    places, finite = in_blocks(scores, relevant, known, 4, 2)
    assert not finite
    for metric in RANKING:
        assert np.isnan(metric.function(places)), metric.name
    places, finite = in_blocks(scores, relevant, np.array([3], np.int32), 4, 2)  # no candidate any more
    assert finite and all(np.isfinite(metric.function(places)) for metric in RANKING)
