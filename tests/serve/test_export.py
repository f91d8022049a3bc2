"""A learner as a file: many people at once are one by one, and a process without the package gives the same numbers."""

import ast
import functools
import json
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import random_table

from metarec_jax import objectives
from metarec_jax.baselines import gp
from metarec_jax.baselines.bias import BIAS
from metarec_jax.learners.closed_form.ridge import ridge
from metarec_jax.models.choice import ChoicePrior
from metarec_jax.models.recommender import TasteNet
from metarec_jax.models.trust import ItemNoise
from metarec_jax.ops.rows import map_rows
from metarec_jax.priors.gp import fit
from metarec_jax.serve.export import compare, write_learner
from metarec_jax.serve.sessions import live
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import split_users
from metarec_jax.types import Episode, Examples, Inputs

TABLE = random_table(3, users=60, items=20, least=6, most=15)
SUPPORT = 3
READER, USE = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "live.md").read_text(), re.S)


def some_tasks() -> Episode:
    return jax.tree.map(jnp.asarray, episodes(TABLE, split_users(TABLE, seed=0, query=3).test, SUPPORT)[0])


@functools.cache
def trained_ridge():
    """A ridge head with every part, none of whose parameters is 0."""
    rule = ridge(
        TasteNet(20, 3.0, 4), objectives.squared_error, prior=ChoicePrior(20, 4, width=3), item_noise=ItemNoise(20)
    )
    params = jax.jit(rule.init)(jax.random.key(0), jax.tree.map(lambda leaf: leaf[0], some_tasks()))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return rule, tree.unflatten([a + 0.03 * jax.random.normal(k, a.shape) for a, k in zip(leaves, keys, strict=True)])


METHODS = {
    "ridge": trained_ridge,
    "process": lambda: (gp.GP, fit(TABLE, rank=3)),
    "bias": lambda: (BIAS, BIAS.fit(TABLE)),
}


@pytest.mark.parametrize("name", METHODS)
def test_many_people_are_one_by_one(name):
    method, params = METHODS[name]()
    tasks = some_tasks()
    many = live(method, params, jax.tree.map(lambda leaf: leaf[0], tasks.support))
    own = jax.jit(many.adapt)(params, tasks.support)
    assert sum(leaf[0].size for leaf in own) < 200  # neither tables of items nor parameters
    found = jax.jit(many.predict)(params, own, tasks.query.x)
    alone = jax.jit(lambda support, x: method.predict(method.adapt(params, support), x))
    for row in range(len(found)):
        one = jax.tree.map(lambda leaf, row=row: leaf[row], tasks)
        np.testing.assert_allclose(found[row], alone(one.support, one.query.x), atol=1e-5)


def test_updates_of_many_people_are_the_batch_solution():
    rule, params = trained_ridge()
    tasks = some_tasks()
    many = live(rule, params, jax.tree.map(lambda leaf: leaf[0], tasks.support))

    def first(count: int) -> Examples:
        return map_rows(lambda leaf: leaf[:, :count], tasks.support)

    last = map_rows(lambda leaf: leaf[:, 2:], tasks.support)
    adapt, update = jax.jit(many.adapt), jax.jit(many.update)
    own, expected = update(params, adapt(params, first(2)), last), adapt(params, first(3))
    for found, batch in zip(own, expected, strict=True):
        np.testing.assert_allclose(found, batch, atol=1e-5)


def test_what_has_no_update_says_so():
    method, params = METHODS["bias"]()
    assert live(method, params, jax.tree.map(lambda leaf: leaf[0], some_tasks().support)).update is None


def test_a_file_is_the_same_bytes_whoever_writes_it_and_when(tmp_path, monkeypatch):
    method, params = METHODS["bias"]()

    def write(name: str) -> bytes:
        write_learner(tmp_path / name, "bias", method, params, TABLE, support=SUPPORT)
        return (tmp_path / name).read_bytes()

    first, now = write("first.zip"), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1e7)
    elsewhere = {"write": write}
    exec(compile("def other():\n\n\n    return write('second.zip')", "/home/somebody/other.py", "exec"), elsewhere)
    assert elsewhere["other"]() == first
    with zipfile.ZipFile(tmp_path / "second.zip") as archive:
        for name in archive.namelist():  # nor does it tell where the code is
            assert b".py" not in archive.read(name), name


def test_a_process_without_the_package_gives_the_same_numbers(tmp_path):
    """The text of docs/live.md, run where neither this package nor flax can be imported."""
    rule, params = trained_ridge()
    write_learner(tmp_path / "ridge.zip", "ridge", rule, params, TABLE, support=SUPPORT)
    barred = "import sys\nsys.modules.update(dict.fromkeys(['metarec_jax', 'flax', 'optax']))\n"
    numbers = (
        "context = np.full((2, 1), 7.0, np.float32)\n"
        "own = recommender.begin(context)\n"
        "for item, stars in ((3, 5.0), (8, 1.0), (0, 2.5), (11, 4.0)):\n"
        "    own = recommender.rate(own, [item, item + 1], [stars, stars], context)\n"
        "print(np.asarray(recommender.predict(own, [[2, 5, 6]] * 2, context)).tolist())\n"
    )
    tasks = jax.tree.map(np.asarray, some_tasks())
    assert compare(tmp_path / "ridge.zip", rule, params, tasks)[0] < 1e-4
    others = jax.tree.map(lambda leaf: leaf + 0.1, params)
    assert compare(tmp_path / "ridge.zip", rule, others, tasks)[0] > 1e-2
    run = subprocess.run(
        [sys.executable, "-c", barred + READER + USE + numbers], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    ranked, found = run.stdout.splitlines()
    titles = ast.literal_eval(ranked)
    assert len(set(titles)) == 10 and set(titles) <= set(TABLE.item_titles.tolist())
    for row, shift in enumerate((0, 1)):
        items, stars = jnp.array([3, 8, 0, 11]) + shift, jnp.array([5.0, 1.0, 2.5, 4.0])
        fast = rule.adapt(params, Examples(inputs(items), stars, jnp.ones(4)))
        np.testing.assert_allclose(json.loads(found)[row], rule.predict(fast, inputs(jnp.array([2, 5, 6]))), atol=1e-4)


def inputs(items):
    content = jnp.asarray(TABLE.item_features.values)[items]
    return Inputs(items, content, jnp.full(1, 7.0))
