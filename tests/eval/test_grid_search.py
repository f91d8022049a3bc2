"""Tuning: the best setting for each K, bad settings lose without stopping the run, losers are let go."""

import functools
import gc
import weakref

import jax.numpy as jnp
import numpy as np
import pytest

from metarec_jax.benchmarks import HeldOut, user_cold_start
from metarec_jax.benchmarks.fitting import value
from metarec_jax.eval.grid_search import grid_search
from metarec_jax.eval.predict import PredictionError, predict_tasks
from metarec_jax.types import Baseline, Episode, Examples, Inputs, Scale

SHOTS = [0, 3, 5]


def valid_tasks():
    """K -> 20 tasks with K support ratings; the content is the truth."""
    rng = np.random.default_rng(0)

    def examples(size, real):
        y = rng.integers(1, 6, (20, size)).astype(np.float32)
        mask = np.broadcast_to(np.arange(size) < real, y.shape).astype(np.float32)
        return Examples(Inputs(np.zeros(y.shape, np.int32), y[..., None], np.zeros((len(y), 0))), y, mask)

    return {k: Episode(examples(5, k), examples(8, 8)) for k in SHOTS}


def best_at(output="rating", fitted=None):
    """A method whose setting `at` is right where K = at, and which is the worse the farther K is: it adds the distance
    to the truth, or as a score turns the order around everywhere else."""

    def fit(train, at):
        params = {"at": jnp.float32(at)}
        if fitted is not None:
            fitted.append(weakref.ref(params["at"]))
        return params

    def adapt(params, support):
        return jnp.abs(params["at"] - jnp.sum(support.mask))

    def predict(distance, x):
        truth = x.content[:, 0]
        return truth + distance if output == "rating" else jnp.where(distance > 0, -truth, truth) + 0 * distance

    return Baseline(fit, adapt, predict, output)


def tuned(grid, baseline=None):
    held_out = {k: HeldOut(tasks, np.arange(20), Scale(1.0, 5.0)) for k, tasks in valid_tasks().items()}
    judge = functools.partial(value, user_cold_start())
    return list(grid_search("toy", baseline or best_at(), [{"at": at} for at in grid], None, held_out, judge))


@pytest.mark.parametrize("output", ["rating", "score"])
@pytest.mark.parametrize("grid", [[0, 3, 5], [5, 3, 0], [3, 0, 17, 5]])
def test_each_k_gets_its_own_best_setting(output, grid):
    found = tuned(grid, best_at(output))
    assert {entry.settings["at"]: list(entry.values) for entry in found} == {0: [0], 3: [3], 5: [5]}
    assert all(float(entry.params["at"]) == entry.settings["at"] for entry in found)


def test_one_entry_a_setting_with_all_the_ks_at_which_it_wins():
    found = tuned([4, 40])
    assert [(entry.settings, list(entry.values)) for entry in found] == [({"at": 4}, SHOTS)]
    found = tuned([-1, 4])
    assert {entry.settings["at"]: list(entry.values) for entry in found} == {-1: [0], 4: [3, 5]}


def test_the_earlier_setting_wins_a_tie():
    for grid in ([2, 4], [4, 2]):  # both are 1 away from K = 3
        assert {entry.settings["at"]: list(entry.values) for entry in tuned(grid)}[grid[0]].count(3) == 1


@pytest.mark.parametrize("output", ["rating", "score"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("grid", [["bad", 3], [3, "bad"]])
def test_a_setting_that_gives_no_numbers_loses_at_every_k(output, bad, grid):
    found = tuned([bad if at == "bad" else at for at in grid], best_at(output))
    assert [(entry.settings, list(entry.values)) for entry in found] == [({"at": 3}, SHOTS)]


def test_where_every_setting_is_broken_the_prediction_says_so():
    (found,) = tuned([float("nan"), float("inf")])
    with pytest.raises(PredictionError, match="toy"):
        predict_tasks("toy", best_at(), found.params, valid_tasks()[3], np.arange(20))


def test_only_winners_are_kept():
    fitted = []
    alive = []

    def count(train, at):
        gc.collect()
        alive.append(sum(ref() is not None for ref in fitted))
        return baseline.fit(train, at)

    baseline = best_at(fitted=fitted)
    found = tuned([50, 40, 30, 20, 12, 0], baseline._replace(fit=count))
    gc.collect()
    # Each setting beats the one before it at every K.
    assert alive == [0, 1, 1, 1, 1, 1]
    assert len(found) == 1 and [ref() is not None for ref in fitted] == [False] * 5 + [True]
