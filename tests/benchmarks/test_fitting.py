"""What settings are chosen by."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_table

from metarec_jax.benchmarks import fitting, run, user_cold_start
from metarec_jax.benchmarks.fitting import value
from metarec_jax.priors import statistics
from metarec_jax.recipes import RECIPES, classical, grid
from metarec_jax.report.html import html_page
from metarec_jax.train.config import Config
from metarec_jax.train.store import Store
from metarec_jax.types import Baseline

BENCHMARK = user_cold_start((2,), query=3)
VALID = BENCHMARK.folds(random_table(0, users=90, least=6), 0, Store())[0].held_out("valid")[2]


def constant(broken_id: int, output: str = "rating") -> Baseline:
    """Predicts 3, and NaN for one item."""
    return Baseline(lambda train: {}, lambda params, support: {}, lambda fast, x: predict(x.id, broken_id), output)


def predict(ids, broken_id):
    return jnp.where(ids == broken_id, jnp.nan, 3.0)


def test_it_is_the_rmse_over_users():
    query = VALID.tasks.query
    squares = (np.square(query.y - 3.0) * query.mask).sum(1) / query.mask.sum(1)
    assert value(BENCHMARK, "constant", constant(-1), {}, VALID) == pytest.approx(np.sqrt(squares.mean()), rel=1e-6)


@pytest.mark.parametrize("output", ["rating", "score"])
def test_one_user_without_a_number_is_a_lost_setting(output):
    """The others do not count without that user."""
    broken = int(VALID.tasks.query.x.id[0, 0])
    assert value(BENCHMARK, "constant", constant(broken, output), {}, VALID) == np.inf


def test_a_method_that_is_worse_than_the_mean_says_so_in_table_and_page(caplog):
    """Once: a learner that has diverged, and a classical method at one K; what is as good as the mean says nothing."""
    table = random_table(1, users=150, items=20, least=8)
    worse = Baseline(
        lambda train: {"mean": jnp.float32(train.units[0])},
        lambda params, support: params["mean"] + 50.0 * jnp.sum(support.mask),
        lambda fast, x: jnp.full(x.id.shape, fast),
    )
    methods = [
        "constant",
        classical(worse, grid())._replace(name="worse"),
        RECIPES["maml_network"].configured(inner_lr=30.0, steps=1, id_dim=2, width=4)._replace(name="far"),
    ]
    store = Store()
    result = run(user_cold_start(shots=(0, 2), query=3), table, methods, store=store, progress=False)
    told = result.content["warnings"]
    assert [sentence.split(",")[0] for sentence in told] == ["worse", "far"]
    assert "at K = 2" in told[0] and "at K = 0" not in told[0] and "worse than the mean rating's" in told[1]
    for sentence in told:
        assert f"warning: {sentence}" in result.table("rmse") and caplog.text.count(sentence) == 1
        assert sentence.replace("'", "&#39;") in html_page(result.content)
    again = run(user_cold_start(shots=(0, 2), query=3), table, methods, store=store, progress=False)
    assert again.content["warnings"] == told


@pytest.mark.parametrize("method", ["ridge", "item_knn"])
def test_a_table_that_is_too_large_names_the_method_that_runs(monkeypatch, method):
    """Ridge starts from a Gaussian process over items: it is the one to leave out, not some baseline."""
    monkeypatch.setattr(statistics, "MAX_ITEMS", 10)
    with pytest.raises(ValueError, match=f"^{method}: toy has 20 items, .* stops at 10; leave {method} out or keep"):
        run(BENCHMARK, random_table(0, users=90, least=6), [method], progress=False)


def test_a_learner_that_is_left_for_its_start_says_so(monkeypatch):
    """In the table; and the settings tell how many steps it was trained, which is a matter of the users."""
    table, methods = random_table(2, users=120, items=20, least=8), [RECIPES["ridge"].configured(rank=2)]
    monkeypatch.setattr(fitting, "harmed", lambda *arguments: True)
    result = run(user_cold_start(shots=(0, 2), query=3), table, methods, progress=False)
    assert [told for told in result.content["warnings"] if told.startswith("ridge, seed 0: left for its start")]
    steps = Config(steps=1000, batch=64, episodes=50).bounded(result.content["split"]["train_tasks"]).steps
    assert result.content["rows"][0]["settings"]["steps"] == steps < 1000
    start = RECIPES["ridge"].configured(rank=2, outer_lr=0.0, steps=1)  # nothing is learnt
    found = run(user_cold_start(shots=(0, 2), query=3), table, [start], progress=False)
    assert [row["metrics"]["rmse"] for row in found.content["rows"]] == [
        row["metrics"]["rmse"] for row in result.content["rows"]
    ]
