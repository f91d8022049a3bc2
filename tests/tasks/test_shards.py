"""Users in parts, on any number of devices: the same training, and checkpoints that change hands."""

import functools

import chex
import jax
import numpy as np
import pytest
from learner_table import ITEMS, LEARNERS

from metarec_jax.data.synthetic.gaussian_world import make_world
from metarec_jax.data.table import DataError, Ratings
from metarec_jax.tasks.shards import sharded_tasks
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train import distributed, loop, step
from metarec_jax.train.checkpoint import CheckpointError
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharded_checkpoint import checkpoints
from metarec_jax.train.sharding import Sharding, ShardingError
from metarec_jax.types import Tasks

PARTS, SIZES = 8, {"support": 6, "query": 4}


@functools.cache
def ratings() -> Ratings:
    return make_world(0, users=61, items=ITEMS, ratings_per_user=12, dims=2).ratings


def everyone() -> Tasks:
    return sharded_tasks(ratings(), shards=PARTS, local=range(PARTS), **SIZES)


def test_every_user_is_in_one_part():
    data, table = everyone().data, ratings()
    assert data.start.shape == (PARTS, 8)  # 61 users: five parts of 8, three of 7
    found = []
    for part in range(PARTS):
        own = slice(int(data.users[part]))
        for start, count in zip(data.start[part, own], data.count[part, own], strict=True):
            found.append(
                tuple(data.rating[part, start : start + count]) + tuple(data.item[part, start : start + count])
            )
    bounds = table.user_offsets
    users = [(*table.rating[a:b], *table.item[a:b]) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]
    assert len(set(users)) == 61 and set(found) == set(users) and len(found) == 61


def test_a_host_reads_its_own_parts_only():
    two = sharded_tasks(ratings(), shards=PARTS, local=[2, 5], **SIZES).data
    chex.assert_trees_all_equal(two, jax.tree.map(lambda leaf: leaf[[2, 5]], everyone().data))


def test_the_tasks_of_a_part_are_those_of_its_users():
    part = jax.tree.map(lambda leaf: jax.numpy.asarray(leaf[0]), everyone().data)
    member = np.isin(ratings().user, np.arange(0, 61, PARTS))
    alone = training_tasks(ratings().keep_rows(np.flatnonzero(member)), **SIZES)
    keys = jax.random.split(jax.random.key(0), 4)
    mine, theirs = (jax.vmap(alone.sample, (None, 0))(data, keys) for data in (part, alone.data))
    chex.assert_trees_all_equal(mine, theirs)


def test_more_parts_than_users_are_refused():
    with pytest.raises(DataError, match="61 training users are too few for 62 shards"):
        sharded_tasks(ratings(), shards=62, local=[0], **SIZES)


def trained(folder=None, stop=20, **how) -> loop.TrainState:
    """The state at step `stop`, in halves of which each is saved and taken up again where there is a folder."""
    sharding = Sharding(shards=True, **how)
    mesh, learner, optimiser = sharding.mesh(), LEARNERS["maml"](), adam(1e-2, 100)
    tasks = everyone()
    own = jax.tree.map(lambda leaf: leaf[distributed.own_parts(PARTS, mesh)], tasks.data)
    data = distributed.from_parts(own, mesh)
    chunk = step.make_train_steps(learner, tasks.sample, optimiser, batch=16, length=10, sharding=sharding)
    one = Tasks(jax.tree.map(lambda leaf: leaf[0], own), tasks.sample)
    state = loop.start(learner, one, optimiser, jax.random.key(0)).state
    state = distributed.placed(state, sharding.of_state(mesh, state))
    if folder is None:
        while int(state.step) < stop:
            state, _ = chunk(data, state, distributed.key(1, mesh))
        return state
    with checkpoints(folder) as saved:
        if saved.latest() is not None:
            state = saved.restore(saved.latest(), state)
        state, _ = chunk(data, state, distributed.key(1, mesh))
        saved.save(int(state.step), state)
    return state


@functools.cache
def on_one() -> loop.TrainState:
    return jax.device_get(trained())


@pytest.mark.parametrize("parallel", ["jit", "shard_map"])
def test_parts_are_trained_alike_on_eight_devices(parallel):
    found = jax.device_get(trained(devices=8, parallel=parallel))
    chex.assert_trees_all_close(found.params, on_one().params, rtol=1e-4, atol=2e-6)


def test_ordered_sums_leave_less_rounding():
    found, expected = (jax.device_get(trained(devices=devices, deterministic=True)) for devices in (8, 1))
    chex.assert_trees_all_close(found.params, expected.params, rtol=0, atol=1e-6)


def test_a_run_goes_on_on_other_devices(tmp_path):
    assert int(trained(tmp_path, devices=8).step) == 10
    (tmp_path / "20.orbax-checkpoint-tmp").mkdir()  # what a host leaves that dies in the middle of a save
    found = jax.device_get(trained(tmp_path, devices=2, parallel="shard_map"))
    assert int(found.step) == 20
    chex.assert_trees_all_close(found.params, on_one().params, rtol=1e-4, atol=2e-6)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    with checkpoints(tmp_path) as saved:
        saved.save(1, {"a": jax.numpy.ones(3)})
    with checkpoints(tmp_path) as saved, pytest.raises(CheckpointError, match="step 1 cannot be restored"):
        saved.restore(1, {"b": jax.numpy.ones(3)})


def test_parts_and_devices_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="6 parts of the data cannot be spread evenly over 4 devices"):
        distributed.own_parts(6, Sharding(devices=4).mesh())
    with pytest.raises(ShardingError, match="there must be shards"):
        Sharding(deterministic=True).check(8)
    with pytest.raises(ShardingError, match="not by pmap"):
        Sharding(shards=True, parallel="pmap").check(8)
    with pytest.raises(ValueError, match="go together"):
        distributed.start("127.0.0.1:1", None, None)


def test_alone_a_process_does_everything():
    assert list(distributed.share_of(5)) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(distributed.gather(np.arange(5.0), 5), np.arange(5.0))
