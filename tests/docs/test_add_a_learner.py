"""docs/add_a_learner.md is true: its very text is run, nothing added, conforms, and learns."""

import re
from pathlib import Path
from types import SimpleNamespace

import jax
import learner_table
import numpy as np
import pytest
from learner_table import LEARNERS
from trained import assert_resuming_is_exact, assert_traces_once, assert_trains, learner, one_task, trained

from experiments.flags import EVERY
from metarec_jax.recipes import metric
from metarec_jax.testing import check_learner
from metarec_jax.types import Episode, Examples, Inputs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "add_a_learner.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROWS = re.findall(r'`("neighbours": [^`]*),`', PAGE)


@pytest.fixture(scope="module")
def page() -> SimpleNamespace:
    """What the page's names are after its Python was run, one block after another."""
    names = {"__name__": "page"}
    for number, block in enumerate(BLOCKS, 1):
        exec(compile(block, f"block {number} of the page", "exec"), names)
    return SimpleNamespace(**names)


@pytest.fixture
def row(page):
    """The row of the learner table, as somebody would add it there."""
    return eval("{" + ROWS[0] + "}", vars(learner_table) | {"neighbours": page.neighbours})["neighbours"]


def test_the_code_is_short_and_the_page_names_what_there_is():
    assert sum(bool(line.strip()) for block in BLOCKS for line in block.splitlines()) < 60
    for place in re.findall(r"[a-z_]+/[a-z_/]+\.(?:py|sh)", PAGE):
        assert (ROOT / place).exists() or place.endswith("neighbours.py"), place
    for flag in re.findall(r"--(\w+)=", PAGE):
        assert flag in EVERY, flag


def test_a_prediction_worked_out_by_hand(page):
    x = Inputs(np.array([3, 7]), np.zeros((2, 0)), np.zeros(0))
    support = Examples(x, np.array([5.0, 2.0], np.float32), np.ones(2, np.float32))
    params = page.learner.init(jax.random.key(0), Episode(support, support))
    assert not jax.tree.leaves(params["net"]["id_bias"])[0].any()  # so that the prior mean is 3.5 everywhere
    f = np.asarray(params["net"]["centre"] + params["net"]["id_taste"]["table"])[[3, 7]]
    w = np.exp(-np.sum((f[0] - f[1]) ** 2))
    expected = [3.5 + (1.5 - 1.5 * w) / (5 + 1 + w), 3.5 + (1.5 * w - 1.5) / (5 + 1 + w)]
    fast = page.learner.adapt(params, support)
    np.testing.assert_allclose(page.learner.predict(fast, x), expected, rtol=1e-5)


def test_its_row_of_the_learner_table_conforms(row, monkeypatch, tmp_path):
    monkeypatch.setitem(LEARNERS, "neighbours", row)
    assert_trains("neighbours")
    assert_traces_once("neighbours")
    assert_resuming_is_exact("neighbours", tmp_path)
    check_learner(learner("neighbours"), one_task(), params=trained("neighbours").best_params)


def test_its_row_of_the_recipes_is_the_recipe_of_the_page(page):
    row = eval("{" + ROWS[1] + "}", vars(metric) | vars(page))["neighbours"]
    assert row == page.recipe._replace(build=page.recipe.build.__wrapped__)  # the package wraps its rows in one place
    assert "neighbours" not in metric.RECIPES  # else the page would describe what is there already


def test_it_learns_to_beat_its_own_cold_start_the_item_mean_and_the_bias_model(page):
    rows = page.result.frame().filter(metric="rmse").iter_rows(named=True)
    rmse = {(row["name"], row["shots"]): row["mean"] for row in rows}
    error = rmse["neighbours", "10"]
    assert error < 0.9 * rmse["neighbours", "0"]
    assert error < 0.9 * rmse["item_mean", "10"]
    assert error < 0.97 * rmse["bias", "10"], rmse
