"""Train steps whose tasks a host makes: while a device trains on some of them, threads make the next.

A host looks up the tasks of its own devices and no others. A step's tasks depend on its key alone, fold_in(root, step)
as everywhere, so a run that is resumed is the run uninterrupted.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.tasks.streamed import Stream
from metarec_jax.train import distributed, gradients
from metarec_jax.train.sharding import Sharding
from metarec_jax.train.step import TrainSteps
from metarec_jax.types import Array, Metrics, Streamed, TrainState


@contextlib.contextmanager
def prefetched(
    train_steps: TrainSteps,
    stream: Stream,
    *,
    batch: int,
    length: int,
    sharding: Sharding | None = None,
    threads: int = 8,
) -> Iterator[TrainSteps]:
    """Train steps that make their tasks, until the end of the block.

    Args:
      train_steps: of `step.make_train_steps`, of `stream.tasks`, with a sharding that is streamed.
      stream: where tasks come from.
      batch, length, sharding: those of the train steps.
      threads: that look up ratings: more than cores, for they wait for the disk where it has not been read yet.

    Returns:
      Train steps of the same arguments, which exchange the tasks of their data. They raise what the threads raise,
      where the threads' tasks are needed.
    """
    sharding = sharding or Sharding(streamed=True)
    mesh = sharding.mesh()
    place, own = sharding.of_data(mesh).tasks, np.array(distributed.own_parts(batch, mesh))
    with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(1) as ahead:

        def make(root: Array, first: int) -> Any:
            here = jax.device_put(distributed.local(root), jax.local_devices(backend="cpu")[0])
            keys = _draw_keys(here, first, batch, length)[:, own].reshape(-1)
            looked = stream.look_up(keys, pool.map, threads)

            def sent(leaf: Any) -> Array:
                steps = np.asarray(leaf).reshape(length, len(own), *leaf.shape[1:])
                return jax.make_array_from_process_local_data(place, steps, (length, batch, *leaf.shape[1:]))

            return jax.block_until_ready(jax.tree.map(sent, looked))

        feeder = _Prefetcher(train_steps, lambda root, first: ahead.submit(make, root, first), length)
        try:
            yield feeder
        finally:
            ahead.shutdown(cancel_futures=True)


class _Prefetcher:
    """Train steps, and the tasks that are being made for the next call."""

    def __init__(self, train_steps: TrainSteps, submit: Callable[[Array, int], Future], length: int):
        self._train_steps, self._submit, self._length = train_steps, submit, length
        self._next: tuple[bytes, int, Future] | None = None  # root key, first step, tasks

    def __call__(self, data: Streamed, state: TrainState, root: Array) -> tuple[TrainState, Metrics]:
        first, name = int(state.step), np.asarray(jax.random.key_data(root)).tobytes()
        if self._next is None or self._next[:2] != (name, first):
            self._next = (name, first, self._submit(root, first))
        tasks = self._next[2].result()
        self._next = (name, first + self._length, self._submit(root, first + self._length))
        return self._train_steps(data._replace(tasks=tasks), state, root)


@partial(jax.jit, static_argnums=(2, 3))
def _draw_keys(root: Array, first: Array | int, batch: int, length: int) -> Array:
    """[length, batch] keys that draw the tasks of steps from `first` on."""

    def draw_keys(step: Array) -> Array:
        return gradients.split_keys(gradients.task_keys(root, step, batch))[0]

    return jax.vmap(draw_keys)(first + jnp.arange(length))
