"""The driver: one schema for all protocols, what is done is not done again, and what cannot be run is said."""

import dataclasses
import functools
import io

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from metarec_jax import recipes
from metarec_jax.baselines import means
from metarec_jax.benchmarks import catalogue_ranking, item_cold_start, online, run, user_cold_start
from metarec_jax.benchmarks.driver import ROWS
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.eval.predict import PredictionError
from metarec_jax.recipes import classical
from metarec_jax.train.store import FolderStore, Store, StoreError
from metarec_jax.types import Baseline

BENCHMARKS = {
    "users": lambda: user_cold_start(shots=(0, 2, "all"), query=3),
    "items": lambda: item_cold_start(shots=(0, 2), query=3),
    "catalogue": lambda: catalogue_ranking(shots=(0, 2), least=4, liked=float("-inf")),
    "online": lambda: online(positions=8, shots=(0, 2), query=3),
}
METHODS = {"users": ("constant", "bias"), "items": ("constant",), "catalogue": ("popularity",), "online": ("constant",)}


@functools.cache
def ratings(seed: int = 0):
    """120 users of 40 items, in an order of time."""
    table = make_world(seed, users=120, items=40, ratings_per_user=15, dims=2).ratings
    return dataclasses.replace(table, timestamp=np.arange(len(table.rating)))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_all_protocols_keep_predictions_and_values_in_one_schema(name):
    store = Store()
    result = run(BENCHMARKS[name](), ratings(), METHODS[name], store=store, progress=False)
    predictions = pl.read_parquet(io.BytesIO(store.load("predictions.parquet")))
    assert predictions.columns == list(ROWS)
    kinds = {"name": pl.String, "shots": pl.String, "seed": pl.Int32, "task": pl.Int32, "prediction": pl.Float32}
    assert all(predictions.schema[column] == kind for column, kind in kinds.items())
    values = pl.read_parquet(io.BytesIO(store.load("values.parquet")))
    assert values.columns[:5] == ["name", "shots", "seed", "task", "user"]
    assert set(values.columns[5:]) == {metric.name for metric in BENCHMARKS[name]().metrics}
    frame = result.frame()
    assert set(frame["name"]) == set(METHODS[name]) and set(frame["shots"]) == set(predictions["shots"].unique())


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    benchmark = BENCHMARKS["users"]()
    first = run(benchmark, ratings(), ["constant", "bias"], seeds=(0, 1), store=FolderStore(tmp_path), progress=False)
    monkeypatch.setattr("metarec_jax.benchmarks.driver.fitted", None)
    again = run(benchmark, ratings(), ["constant", "bias"], seeds=(0, 1), store=FolderStore(tmp_path), progress=False)
    assert again.content["rows"] == first.content["rows"] and first.content["seeds"] == [0, 1]
    (tmp_path / "seed_0" / "bias" / "values.parquet").write_bytes(b"not a table")
    with pytest.raises(StoreError, match="seed_0/bias.* is damaged; delete .* to run bias again"):
        run(benchmark, ratings(), ["bias"], seeds=(0, 1), store=FolderStore(tmp_path), progress=False)


def test_a_store_is_of_one_data_set():
    store = Store()
    run(BENCHMARKS["users"](), ratings(), ["constant"], store=store, progress=False)
    with pytest.raises(StoreError, match="the ratings or splits have changed"):
        run(BENCHMARKS["users"](), ratings(1), ["constant"], store=store, progress=False)


def test_a_method_whose_predictions_are_no_numbers_leaves_nothing():
    broken = Baseline(lambda train: {}, means.adapt_constant, lambda fast, x: jnp.full(len(x.id), jnp.nan))
    store = Store()
    with pytest.raises(PredictionError, match="broken predicts nan"):
        recipe = classical(broken, [{}])._replace(name="broken")
        run(BENCHMARKS["users"](), ratings(), [recipe], store=store, progress=False)
    assert store.load("seed_0/broken/info.json") is None


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ([], "there is no method to run"),
        (["mamml"], "unknown method 'mamml'; user_cold_start knows constant, "),
        ([recipes.bias(), recipes.bias(reg_user=1.0)], "two methods are called 'bias'"),
    ],
)
def test_what_cannot_be_run_is_said(methods, message):
    with pytest.raises(ValueError, match=message):
        run(BENCHMARKS["users"](), ratings(), methods, progress=False)
