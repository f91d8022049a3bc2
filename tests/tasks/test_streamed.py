"""Ratings that stay on the host: the episodes and the training of those in memory, resumed, and when a thread fails."""

import contextlib
import dataclasses
import functools
import threading
from functools import partial

import chex
import jax
import numpy as np
import pytest
from helpers import random_frame
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import NamedSharding, PartitionSpec

from metarec_jax.data.io.columns import Columns, open_columns
from metarec_jax.data.io.convert import write_columns
from metarec_jax.data.io.ratings_file import read_ratings
from metarec_jax.data.table import DataError, Features, Ratings
from metarec_jax.learners.metric.protonet import protonet_ratings
from metarec_jax.models.recommender import Encoder
from metarec_jax.objectives import squared_error
from metarec_jax.tasks.streamed import Stream
from metarec_jax.tasks.users import training_tasks
from metarec_jax.train import loop, prefetch, step
from metarec_jax.train.optimisers import adam
from metarec_jax.train.sharding import Sharding, ShardingError
from metarec_jax.types import Streamed, TrainState

BATCH, LENGTH, SIZES = 8, 5, {"support": 4, "query": 3}


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> tuple[Columns, Ratings]:
    """The same ratings as columns and as a table."""
    folder = tmp_path_factory.mktemp("stream")
    random_frame(170, users=50, items=25).write_csv(folder / "r.csv")
    ids, content = [f"i{item}" for item in range(30)], np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    write_columns(folder / "r.csv", folder / "columns", None, (ids, Features(("a", "b", "c"), content)))
    columns, table = open_columns(folder / "columns"), read_ratings(folder / "r.csv")
    of = dict(zip(ids, content, strict=True))
    features = Features(("a", "b", "c"), np.array([of[item] for item in table.item_ids]))
    return columns, dataclasses.replace(table, item_features=features)


def training_users(columns: Columns) -> np.ndarray:
    """Some of them, of whom some have a single rating."""
    users = np.flatnonzero(np.arange(len(columns.user_ids)) % 5)
    assert (columns.counts[users] == 1).any()
    return users


CASES = {
    "as training has it": SIZES,
    "in time order": SIZES | {"order": "time"},
    "a support of one size": {"support": 2, "query": 5, "vary_support": False},
}


@pytest.fixture(scope="module")
def both(stored):
    """For each case a function of a seed: 16 episodes of the host and of the device."""
    columns, table = stored
    users = training_users(columns)
    train = table.keep_rows(np.flatnonzero(np.isin(table.user, users)))

    def of(how):
        resident, stream = training_tasks(train, **how), Stream(columns, users, **how)
        in_memory = jax.jit(jax.vmap(resident.sample, (None, 0)))
        from_host = jax.jit(jax.vmap(stream.tasks.sample, (Streamed(None, 0), 0)))

        def episodes(seed):
            keys = jax.random.split(jax.random.key(seed), 16)
            data = stream.tasks.data._replace(tasks=stream.look_up(keys, blocks=3))
            return from_host(data, keys), in_memory(resident.data, keys)

        return episodes

    return {name: of(how) for name, how in CASES.items()}


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_episodes_are_those_in_memory_to_the_bit(both, case, seed):
    chex.assert_trees_all_equal(*both[case](seed))


LEARNER = protonet_ratings(Encoder(25, 4, hidden=(8,)), squared_error, levels=(1.0, 3.0, 5.0), prior_count=3.0)


@pytest.fixture(scope="module")
def stream(stored) -> Stream:
    return Stream(stored[0], training_users(stored[0]), **SIZES)


@functools.cache
def made(sample, sharding: Sharding) -> step.TrainSteps:
    return step.make_train_steps(LEARNER, sample, adam(1e-2, 100), batch=BATCH, length=LENGTH, sharding=sharding)


def trained(chunk, tasks, stops: list[int], sharding: Sharding, feed=contextlib.nullcontext) -> TrainState:
    """The state after training to each of the steps in turn, each time with threads of its own."""
    place = partial(jax.device_put, device=NamedSharding(sharding.mesh(), PartitionSpec()))
    run = loop.start(LEARNER, tasks, adam(1e-2, 100), jax.random.key(0))
    how = {"root": jax.random.key(1), "validate": lambda params: 0.0, "place": place}
    for steps in stops:
        with feed(chunk) as fed:
            run = loop.train(fed, tasks, run, steps=steps, **how)
    return jax.device_get(run.state)


def streamed(stream: Stream, stops: list[int], **how) -> TrainState:
    sharding = Sharding(streamed=True, **how)
    feed = partial(prefetch.prefetched, stream=stream, batch=BATCH, length=LENGTH, sharding=sharding)
    return trained(made(stream.tasks.sample, sharding), stream.tasks, stops, sharding, feed)


@pytest.fixture(scope="module")
def on_one(stream) -> TrainState:
    """The state at step 20, never interrupted."""
    return streamed(stream, [20])


def test_training_is_that_in_memory(stored, on_one):
    columns, table = stored
    train = table.keep_rows(np.flatnonzero(np.isin(table.user, training_users(columns))))
    tasks, sharding = training_tasks(train, **SIZES), Sharding()
    found = trained(made(tasks.sample, sharding), tasks, [20], sharding)
    chex.assert_trees_all_close(found, on_one, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", [{}, {"devices": 4}, {"devices": 4, "parallel": "shard_map"}], ids=str)
def test_a_resume_is_exact_and_tasks_are_spread_over_devices(stream, on_one, how):
    found = streamed(stream, [5, 15, 20], **how)
    if how:
        chex.assert_trees_all_close(found, on_one, rtol=1e-4, atol=2e-6)
    else:
        chex.assert_trees_all_equal(found, on_one)


def test_the_next_chunk_is_made_while_this_one_is_trained(stream, monkeypatch):
    asked, seen, look_up = threading.Semaphore(0), [], stream.look_up

    def watched(*arguments):
        asked.release()
        return look_up(*arguments)

    monkeypatch.setattr(stream, "look_up", watched)

    def chunk(data, state, root):  # which waits for the making of the next one, and would for ever
        assert asked.acquire(timeout=10) and (seen or asked.acquire(timeout=10))
        seen.append(data.tasks)
        return state._replace(step=state.step + LENGTH), {"loss": np.zeros(LENGTH)}

    with prefetch.prefetched(chunk, stream, batch=BATCH, length=LENGTH) as fed:
        state = TrainState(jax.numpy.int32(0), {}, {})
        for _ in range(3):
            state, _ = fed(stream.tasks.data, state, jax.random.key(0))
        again, _ = fed(stream.tasks.data, state._replace(step=jax.numpy.int32(0)), jax.random.key(0))
    assert int(again.step) == LENGTH  # another step than the one expected
    chex.assert_trees_all_equal(seen[3], seen[0])


def test_what_a_thread_raises_ends_the_training(stream, monkeypatch):
    before, look_up, states = threading.active_count(), stream.look_up, []

    def fails_later(*arguments):
        if len(states) > 1:
            raise OSError("the disk is gone")
        return look_up(*arguments)

    monkeypatch.setattr(stream, "look_up", fails_later)

    def chunk(data, state, root):
        states.append(state)
        return state._replace(step=state.step + LENGTH), {"loss": np.zeros(LENGTH)}

    run = loop.start_from({}, adam(1e-2, 100))
    how = {"root": jax.random.key(1), "steps": 100, "validate": lambda params: 0.0}
    with pytest.raises(OSError, match="the disk is gone"):
        with prefetch.prefetched(chunk, stream, batch=BATCH, length=LENGTH) as fed:
            loop.train(fed, stream.tasks, run, **how)
    assert 2 <= len(states) <= 3 and threading.active_count() == before


def test_what_cannot_be_streamed(stored, tmp_path):
    columns, _ = stored
    with pytest.raises(DataError, match="no training user has two ratings"):
        Stream(columns, np.flatnonzero(columns.counts == 1), **SIZES)
    random_frame(0, times=False).write_csv(tmp_path / "r.csv")
    write_columns(tmp_path / "r.csv", tmp_path / "columns")
    with pytest.raises(DataError, match="no timestamps"):
        Stream(open_columns(tmp_path / "columns"), np.arange(5), order="time", **SIZES)
    with pytest.raises(ShardingError, match="streamed data is not in shards"):
        Sharding(shards=True, streamed=True).check(8)
    with pytest.raises(ShardingError, match="streamed, is sharded by jit or shard_map, not by pmap"):
        Sharding(streamed=True, parallel="pmap").check(8)
