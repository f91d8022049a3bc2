"""Learners of the table, trained on a small world: each is built, compiled and trained once in a run of the tests."""

import functools

import chex
import jax
import jax.numpy as jnp
from learner_table import ITEMS, LEARNERS

from metarec_jax.data.synthetic.gaussian_world import World, make_world
from metarec_jax.eval.predict import mean_squared_errors
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import split_users
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train import checkpoint, loop, step
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharding import Parallel, Sharding
from metarec_jax.types import Episode, Learner, Tasks

SUPPORT, QUERY, BATCH, LENGTH = 8, 4, 16, 10


@functools.cache
def learner(name: str) -> Learner:
    """The learner of this row, the same object every time, so that its programs are compiled once."""
    return LEARNERS[name]()


@functools.cache
def world() -> World:
    """A small world that all learners are trained on."""
    return make_world(0, users=160, items=ITEMS, ratings_per_user=20, dims=2)


@functools.cache
def tasks() -> tuple[Tasks, Episode]:
    """Training tasks, and the validation tasks at K = SUPPORT."""
    ratings = world().ratings
    split = split_users(ratings, seed=0, query=QUERY)
    train = training_tasks(ratings.keep_rows(split.train_rows), support=SUPPORT, query=QUERY)
    return train, episodes(ratings, split.valid, SUPPORT)[0]


def one_task() -> Episode:
    """The first validation task."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), tasks()[1])


@functools.cache
def optimiser():
    """Adam on the schedule of a long run, of which most tests train the start."""
    return adam(1e-2, 40 * LENGTH)


@functools.cache
def train_steps(name: str, devices: int = 1, parallel: Parallel = "jit") -> step.TrainSteps:
    """The compiled program of LENGTH training steps."""
    sample = tasks()[0].sample
    sharding = Sharding(devices, parallel)
    return step.make_train_steps(learner(name), sample, optimiser(), batch=BATCH, length=LENGTH, sharding=sharding)


def begin(name: str) -> loop.Run:
    """A run before its first step."""
    return loop.start(learner(name), tasks()[0], optimiser(), jax.random.key(0))


def fit(name: str, run: loop.Run, steps: int, **where) -> loop.Run:
    """The run trained up to step `steps`; `where` as in `train_steps`."""

    def validate(params) -> float:
        return float(mean_squared_errors(learner(name), params, tasks()[1]).mean())

    program = train_steps(name, **where)
    return loop.train(program, tasks()[0], run, root=jax.random.key(1), steps=steps, validate=validate)


@functools.cache
def trained(name: str) -> loop.Run:
    """After 40 steps."""
    return fit(name, begin(name), 4 * LENGTH)


@functools.cache
def trained_half(name: str) -> loop.Run:
    """After 20 steps."""
    return fit(name, begin(name), 2 * LENGTH)


def assert_trains(name: str) -> None:
    """In 40 steps the validation error falls by a tenth of its value at the start."""
    before = mean_squared_errors(learner(name), begin(name).state.params, tasks()[1]).mean()
    assert float(trained(name).best_value) < 0.9 * before


def assert_traces_once(name: str) -> None:
    """All training steps of a run are one compiled program."""
    trained(name)
    assert train_steps(name)._cache_size() == 1


def assert_resuming_is_exact(name: str, folder) -> None:
    """A run that is saved halfway, in `folder`, and restored ends in the same bits."""
    path = folder / "checkpoint"
    checkpoint.save(path, trained_half(name), {})
    restored, _ = checkpoint.restore(path, begin(name))
    chex.assert_trees_all_equal(fit(name, restored, 4 * LENGTH), trained(name))
