"""The task axis of a training step: all tasks at once or group after group, on one device or eight."""

import functools

import chex
import jax
import pytest

from metarec_jax.learners.gradient.maml import maml
from metarec_jax.models.mlp import MLP
from metarec_jax.objectives import squared_error
from metarec_jax.tasks.sinusoid import sinusoids
from metarec_jax.train import loop, step
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharding import Sharding, ShardingError
from metarec_jax.types import Metrics, TrainState

TASKS = sinusoids(support=5, query=5)
BATCH = 16


def chunk(**where) -> tuple[step.TrainSteps, loop.Run]:
    learner, optimiser = maml(MLP((8,)), squared_error, lr=0.01), adam(1e-2, 10)
    made = step.make_train_steps(learner, TASKS.sample, optimiser, batch=BATCH, length=3, sharding=Sharding(**where))
    return made, loop.start(learner, TASKS, optimiser, jax.random.key(0))


@functools.cache
def at_once() -> tuple[TrainState, Metrics]:
    made, run = chunk()
    return made(TASKS.data, run.state, jax.random.key(1))


@pytest.mark.parametrize(
    "where",
    [
        {"microbatch": 1},
        {"microbatch": 4},
        {"microbatch": 8, "devices": 8},
        {"microbatch": 1, "devices": 8, "parallel": "pmap"},
        {"devices": 8, "parallel": "shard_map"},
    ],
)
def test_groups_of_tasks_give_the_same_steps(where):
    made, run = chunk(**where)
    state, metrics = made(TASKS.data, run.state, jax.random.key(1))
    chex.assert_trees_all_close(state.params, at_once()[0].params, rtol=1e-4, atol=1e-5)
    chex.assert_trees_all_close(metrics, at_once()[1], rtol=1e-4, atol=1e-5)


def test_memory_is_that_of_one_group():
    def scratch(microbatch: int | None) -> int:
        made, run = chunk(microbatch=microbatch)
        return made.lower(TASKS.data, run.state, jax.random.key(1)).compile().memory_analysis().temp_size_in_bytes

    assert scratch(1) < 0.5 * scratch(None)


def test_groups_that_do_not_divide_the_tasks_are_refused():
    with pytest.raises(ShardingError, match="16 tasks a step, on 1 devices, are no multiple of 5"):
        chunk(microbatch=5)
