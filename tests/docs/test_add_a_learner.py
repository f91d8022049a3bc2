"""docs/add_a_learner.md is true: its very text is run, conforms, and learns."""

import re
import sys
import types
from pathlib import Path

import jax
import numpy as np
import pytest
from learner_table import ITEMS, LEARNERS
from trained import assert_resuming_is_exact, assert_traces_once, assert_trains

from metarec_jax import objectives
from metarec_jax.baselines import BASELINES
from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.data.table import Ratings
from metarec_jax.eval.predict import mean_squared_errors
from metarec_jax.models.recommender import TasteNet
from metarec_jax.recipes.base import OUTER_SPACE, Built, Recipe, hyperparameters
from metarec_jax.recipes.space import OneOf
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import split_users
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train import loop, step
from metarec_jax.train.config import Config
from metarec_jax.train.optimisers import adam
from metarec_jax.types import Episode, Examples, Inputs

PAGE = (Path(__file__).parents[2] / "docs" / "add_a_learner.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
MODULE, ROW, BUILDER, RECIPE = BLOCKS
K, STEPS = 10, 400


@pytest.fixture(scope="module")
def written():
    """What the page has people write: the learner's module, the row of the table and the recipe."""
    module = types.ModuleType("metarec_jax.learners.metric.neighbours")
    sys.modules[module.__name__] = module
    exec(compile(MODULE, "neighbours.py", "exec"), module.__dict__)
    parts = (Built, Recipe, Config, OneOf, Ratings, TasteNet)
    names = {part.__name__: part for part in parts} | {"objectives": objectives, "OUTER_SPACE": OUTER_SPACE}
    names |= {"ITEMS": ITEMS, "neighbours": module.neighbours}
    exec(BUILDER, names)
    yield eval("{" + ROW + "}", names)["neighbours"], eval("{" + RECIPE + "}", names)["neighbours"]
    del sys.modules[module.__name__]


def test_the_learner_is_short_and_the_page_names_where_things_go(written):
    assert sum(block.count("\n") for block in BLOCKS) < 60
    root = Path(__file__).parents[2]
    for place in ("tests/learner_table.py", "tests/learners/test_conformance.py", "metarec_jax/recipes/metric.py"):
        assert place in PAGE and (root / place).exists()
    for flag in re.findall(r"--(\w+)=", PAGE):
        assert f'"{flag}"' in "".join(path.read_text() for path in (root / "experiments").rglob("*.py")), flag


def test_a_prediction_worked_out_by_hand(written):
    row, _ = written
    learner = row()
    x = Inputs(np.array([3, 7]), np.zeros((2, 0)), np.zeros((2, 0)))
    support = Examples(x, np.array([5.0, 2.0], np.float32), np.ones(2, np.float32))
    params = learner.init(jax.random.key(0), Episode(support, support))
    assert not jax.tree.leaves(params["net"]["id_bias"])[0].any()  # so that the prior mean is 3.5 everywhere
    f = np.asarray(params["net"]["centre"] + params["net"]["id_taste"]["table"])[[3, 7]]
    w = np.exp(-np.sum((f[0] - f[1]) ** 2))
    expected = [3.5 + (1.5 - 1.5 * w) / (5 + 1 + w), 3.5 + (1.5 * w - 1.5) / (5 + 1 + w)]
    np.testing.assert_allclose(learner.predict(learner.adapt(params, support), x), expected, rtol=1e-5)


def test_it_conforms(written, monkeypatch, tmp_path):
    monkeypatch.setitem(LEARNERS, "neighbours", written[0])
    assert_trains("neighbours")
    assert_traces_once("neighbours")
    assert_resuming_is_exact("neighbours", tmp_path)


def test_its_recipe_learns_to_beat_its_own_cold_start_the_item_mean_and_the_bias_model(written):
    _, recipe = written
    world = make_world(2, users=600, items=50, ratings_per_user=30, dims=2, user_bias=0.5)
    split = split_users(world.ratings, seed=0, query=10)
    train = world.ratings.keep_rows(split.train_rows)
    own, outer = hyperparameters(recipe, {}, "neighbours")
    learner = recipe.build(train, **own).learner
    valid, cold, warm = (
        episodes(world.ratings, part, k, width=K)[0] for part, k in ((split.valid, K), (split.test, 0), (split.test, K))
    )
    tasks = training_tasks(train, support=K, query=10)
    optimiser = adam(outer.outer_lr, STEPS, weight_decay=outer.weight_decay)
    chunk = step.make_train_steps(learner, tasks.sample, optimiser, batch=outer.batch, length=100)
    start = loop.start(learner, tasks, optimiser, jax.random.key(0))

    def validate(params) -> float:
        return float(mean_squared_errors(learner, params, valid).mean())

    run = loop.train(chunk, tasks, start, root=jax.random.key(1), steps=STEPS, validate=validate)

    def rmse(method, params, tasks) -> float:
        return float(np.sqrt(mean_squared_errors(method, params, tasks).mean()))

    found = rmse(learner, run.best_params, warm)
    classics = {name: BASELINES[name].baseline for name in ("item_mean", "bias")}
    rivals = {name: rmse(classic, classic.fit(train), warm) for name, classic in classics.items()}
    assert found < 0.9 * rmse(learner, run.best_params, cold)
    assert found < 0.9 * rivals["item_mean"]
    assert found < 0.97 * rivals["bias"], (found, rivals)
