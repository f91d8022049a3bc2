"""One learner for use: its training goes on from the store, and the test tasks are left alone."""

import dataclasses

import jax
import numpy as np
import pytest
from helpers import random_table

from metarec_jax.benchmarks import user_cold_start
from metarec_jax.benchmarks.single import open_fold, train_for_use
from metarec_jax.recipes import RECIPES
from metarec_jax.train.store import Store, StoreError

TABLE = random_table(0, users=90, least=6)
BENCHMARK = user_cold_start((0, 2), query=3)


def unseen(ratings, seed, store):
    """The folds of the benchmark, whose test tasks nobody may ask for."""

    def held_out(part):
        assert part == "valid"
        return fold.held_out(part)

    (fold,) = BENCHMARK.folds(ratings, seed, store)
    return [dataclasses.replace(fold, held_out=held_out)]


def test_a_training_that_has_ended_is_not_done_again():
    recipe, store = RECIPES["protonet"].configured(steps=2), Store()
    benchmark = BENCHMARK._replace(folds=unseen)
    (first, fold), (again, _) = (train_for_use(benchmark, recipe, TABLE, store=store, progress=False) for _ in range(2))
    assert [record["step"] for record in store.records] == [1, 2] and fold.seed == 0
    jax.tree.map(np.testing.assert_array_equal, again.params, first.params)
    assert first.settings["steps"] == 2


def test_a_store_belongs_to_its_data():
    store = Store()
    open_fold(BENCHMARK, TABLE, 0, store)
    with pytest.raises(StoreError, match="choose another --workdir"):
        open_fold(BENCHMARK, random_table(1, users=90, least=6), 0, store)
    with pytest.raises(StoreError):
        open_fold(BENCHMARK, TABLE, 1, store)  # another split
