"""Tables of ids that are trained row by row: Adam where every row is met, and nothing of the size of the catalogue."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import slow_but
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import PartitionSpec
from learner_table import ITEMS, LEARNERS

from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.learners.gradient.maml import maml
from metarec_jax.models.recommender import RatingNet
from metarec_jax.objectives import squared_error
from metarec_jax.params import FIXED, in_table
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train import gradients, loop, sparse_tables
from metarec_jax.train import step as chunks
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharding import Sharding
from metarec_jax.types import Episode, Examples, Inputs

RATE = 1e-2


def rows_of(ids, size: int) -> jax.Array:
    return jnp.unique(jnp.asarray(ids), size=len(ids), fill_value=size)


def row_adam() -> optax.GradientTransformation:
    return optax.chain(sparse_tables.scale_by_row_adam(), optax.scale(-RATE))


def test_where_every_row_is_met_it_is_adam():
    params = {"id_table": jax.random.normal(jax.random.key(0), (6, 3)), "id_bias": jnp.ones((6, 1))}
    lazy, dense, rows = row_adam(), optax.adam(RATE), jnp.arange(6)
    mine = theirs = params
    my_state, their_state = lazy.init(params), dense.init(params)
    for step in range(20):
        slope = jax.tree.map(lambda leaf, step=step: jnp.sin(leaf + step), mine)
        updates, my_state = lazy.update(slope, my_state, rows=rows)
        mine = sparse_tables.add(mine, sparse_tables.SparseRows(rows, updates))
        updates, their_state = dense.update(slope, their_state)
        theirs = optax.apply_updates(theirs, updates)
    chex.assert_trees_all_close(mine, theirs, rtol=1e-6, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=5), min_size=1, max_size=8))
def test_each_row_is_adam_on_the_steps_that_met_it(met):
    start = jnp.arange(10.0).reshape(5, 2)
    lazy, params = row_adam(), {"id_table": start}
    state = lazy.init(params)
    for ids in met:
        rows = rows_of(ids, 5)
        updates, state = lazy.update(jax.tree.map(jnp.cos, sparse_tables.take(params, rows)), state, rows=rows)
        params = sparse_tables.add(params, sparse_tables.SparseRows(rows, updates))
    dense = optax.adam(RATE)
    for row in range(5):
        alone, own = start[row], dense.init(start[row])
        for _ in [ids for ids in met if row in ids]:
            updates, own = dense.update(jnp.cos(alone), own)
            alone = optax.apply_updates(alone, updates)
        np.testing.assert_allclose(params["id_table"][row], alone, rtol=1e-5, atol=1e-6)


def test_row_wise_a_row_by_hand():
    """Two steps meet row 1 and one row 0: mu and the mean of squares, corrected by each row's own count."""
    lazy, params = (
        sparse_tables.scale_by_row_adam(row_wise=True),
        {"id_table": jnp.ones((3, 2)), "id_bias": jnp.ones((3, 1))},
    )
    state = lazy.init(params)
    assert {name: leaf.shape for name, leaf in state.nu.items()} == {"id_table": (3, 1), "id_bias": (3, 1)}
    first = {"id_table": jnp.array([[3.0, 4.0]]), "id_bias": jnp.array([[2.0]])}
    _, state = lazy.update(first, state, rows=jnp.array([1]))
    second = {"id_table": jnp.array([[1.0, 0.0], [0.0, 2.0]]), "id_bias": jnp.ones((2, 1))}
    updates, state = lazy.update(second, state, rows=jnp.array([0, 1]))
    mu = (0.9 * 0.1 * np.array([3.0, 4.0]) + 0.1 * np.array([0.0, 2.0])) / (1 - 0.9**2)
    nu = (0.999 * 0.001 * 12.5 + 0.001 * 2.0) / (1 - 0.999**2)  # (9 + 16) / 2 = 12.5, (0 + 4) / 2 = 2
    expected = [np.array([1.0, 0.0]) / np.sqrt(0.5), mu / np.sqrt(nu)]
    np.testing.assert_allclose(updates["id_table"], expected, rtol=1e-4)
    np.testing.assert_allclose(updates["id_bias"][0], 1.0, rtol=1e-4)


def test_row_wise_is_of_rows():
    with pytest.raises(ValueError, match="row_wise .* set rows"):
        adam(RATE, 100, row_wise=True)


def test_a_count_ends_at_its_most():
    lazy, params = sparse_tables.scale_by_row_adam(), {"id_table": jnp.ones((2, 1))}
    state = lazy.init(params)._replace(id_count=jnp.full(2, sparse_tables.MOST, jnp.uint16))
    _, state = lazy.update(params, state, rows=jnp.arange(2))
    assert state.id_count.tolist() == [sparse_tables.MOST] * 2


def rows_and_masks(number: int):
    return st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=number, max_size=number)


@settings(max_examples=30, deadline=None)
@given(rows_and_masks(4), rows_and_masks(6))
def test_places_name_the_ids_of_all_rows_but_padding(known, asked):
    def examples(rows) -> Examples:
        ids, real = (jnp.asarray(column).reshape(2, -1) for column in zip(*rows, strict=True))
        return Examples(Inputs(ids, jnp.zeros((2, 0)), jnp.zeros(0)), jnp.zeros(ids.shape), 1.0 * real)

    ids, placed = sparse_tables.relabel(Episode(examples(known), examples(asked)), 10)
    distinct = sorted({row for row, real in known + asked if real})
    assert ids.tolist() == distinct + [10] * (len(ids) - len(distinct))
    for part, rows in zip(placed, (known, asked), strict=True):
        named = ids[part.x.id].ravel()
        for name, (row, real) in zip(named, rows, strict=True):
            assert name == row or not real


def test_padding_is_not_met():
    """A row whose id stands in padding alone is not counted as met."""

    def examples(ids, mask) -> Examples:
        x = Inputs(jnp.array([ids]), jnp.zeros((1, len(ids), 0)), jnp.zeros((1, 0)))
        return Examples(x, jnp.ones((1, len(ids))), jnp.array([mask]))

    batch = Episode(examples([5, 2, 0], [1, 1, 0]), examples([3, 4], [1, 0]))
    params = {"id_table": jnp.ones((6, 2))}
    slope_of = gradients.row_gradient(lambda params, drawn, step: (params, {}))
    slope, _ = slope_of(params, (batch, jax.random.split(jax.random.key(1), 1)), 0)
    assert slope.ids.tolist() == [2, 3, 5, 6, 6]
    lazy = sparse_tables.scale_by_row_adam()
    _, state = lazy.update(slope.values, lazy.init(params), rows=slope.ids)
    assert state.id_count.tolist() == [0, 0, 1, 1, 0, 1]


def world():
    ratings = make_world(0, users=40, items=ITEMS, ratings_per_user=20, dims=2).ratings
    return training_tasks(ratings, support=6, query=4)


@pytest.mark.parametrize("name", ["maml", "attentive_ridge"])
def test_the_gradient_of_the_rows_is_the_gradient(name):
    learner, tasks = LEARNERS[name](), world()
    params = learner.init(jax.random.key(0), tasks.sample(tasks.data, jax.random.key(1)))
    params = jax.tree.map(lambda leaf: leaf + 0.01 * jnp.sin(jnp.arange(leaf.size)).reshape(leaf.shape), params)
    batch = gradients.draw_tasks(tasks.sample, tasks.data, jax.random.split(jax.random.key(2), 8))
    whole, metrics = jax.jit(gradients.task_batch_gradient(learner))(params, batch, 0)
    found, also = jax.jit(gradients.row_gradient(gradients.task_batch_gradient(learner)))(params, batch, 0)
    chex.assert_trees_all_close(
        sparse_tables.add(jax.tree.map(jnp.zeros_like, params), found), whole, rtol=1e-3, atol=1e-6
    )
    chex.assert_trees_all_close(also, metrics, rtol=1e-5)
    assert any(in_table(path) for path, _ in jax.tree_util.tree_flatten_with_path(params)[0])


@pytest.mark.parametrize(
    "how",
    [
        {"devices": 8},
        {"devices": 8, "parallel": "shard_map"},
        {"devices": 8, "parallel": "pmap"},
        {"devices": 4, "id_tables": "sharded"},
        {"microbatch": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize("row_wise", slow_but([False], [False, True]))
def test_rows_are_trained_alike_however_they_are_spread(how, row_wise):
    chex.assert_trees_all_close(
        after_steps(row_wise, **how).params, on_one_device(row_wise).params, rtol=1e-4, atol=1e-6
    )


def after_steps(row_wise: bool, **how) -> chunks.TrainState:
    learner, tasks, how = LEARNERS["maml"](), world(), Sharding(**({"id_tables": "rows"} | how))
    optimiser = adam(RATE, 100, rows=True, row_wise=row_wise)
    chunk = chunks.make_train_steps(learner, tasks.sample, optimiser, batch=8, length=10, sharding=how)
    state = loop.start(learner, tasks, optimiser, jax.random.key(0)).state
    state = jax.device_put(state, how.of_state(how.mesh(), state))
    state, _ = chunk(tasks.data, state, jax.random.key(3))
    if how.id_tables == "sharded":
        assert state.params["encoder"]["id_table"]["table"].sharding.spec == PartitionSpec("data")
    return jax.device_get(state)


@functools.cache
def on_one_device(row_wise: bool) -> chunks.TrainState:
    return after_steps(row_wise)


def test_a_step_makes_nothing_of_the_size_of_the_table():
    def scratch(items: int) -> int:
        ratings = make_world(0, users=20, items=30, ratings_per_user=10, dims=2).ratings
        tasks, optimiser = training_tasks(ratings, support=6, query=4), adam(RATE, 100, rows=True)
        learner = maml(RatingNet(items, id_dim=8, hidden=(8,)), squared_error, lr=0.1)
        state = loop.start(learner, tasks, optimiser, jax.random.key(0)).state
        sharding = Sharding(id_tables="rows")
        chunk = chunks.make_train_steps(learner, tasks.sample, optimiser, batch=4, length=5, sharding=sharding)
        return chunk.lower(tasks.data, state, jax.random.key(1)).compile().memory_analysis().temp_size_in_bytes

    assert scratch(100_000) <= scratch(1_000) + 1024


def test_parameters_without_rows_are_refused():
    with pytest.raises(sparse_tables.TableError, match="have no rows"):
        sparse_tables.num_rows({"head": jnp.ones(3)})
    with pytest.raises(sparse_tables.TableError, match=r"have \[3, 4\] rows"):
        sparse_tables.num_rows({"id_a": jnp.ones((3, 1)), "id_b": jnp.ones((4, 1))})
    with pytest.raises(sparse_tables.TableError, match="keeps data for each id"):
        sparse_tables.num_rows({FIXED: {"of_id": jnp.ones(3)}, "id_a": jnp.ones((3, 1))})
    assert sparse_tables.num_rows({FIXED: {"mean": jnp.ones(())}, "id_a": jnp.ones((3, 1))}) == 3
