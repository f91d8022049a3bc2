"""All held-out users, and the whole catalogue, in bounded memory: users come in blocks from wherever they are kept.

A block is on the devices while the next one is read; the devices of a process share it, and processes share the users.
Of a user there remains one value a metric. Scores exist for `batch` users and `items` items at a time on each device.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from metarec_jax.eval import metrics
from metarec_jax.eval.predict import PredictionError
from metarec_jax.eval.ranking import ranks_of
from metarec_jax.ops.batching import in_batches
from metarec_jax.train import distributed
from metarec_jax.train.sharding import AXIS
from metarec_jax.types import Array, Baseline, Episode, Learner, Params


class HeldOutUsers(NamedTuple):
    """Held-out users who are asked about their query."""

    names: np.ndarray  # [T] raw ids
    blocks: Callable[
        [np.ndarray, int], Iterator[Episode]
    ]  # (places among the T, n) -> their tasks, n at a time (numpy)


class Sizes(NamedTuple):
    """What bounds the memory."""

    block: int = 1024  # users on the devices
    batch: int = 32  # users worked on at a time, on each device
    items: int = 8192  # scored at a time, for each of them


def ask(
    name: str,
    method: Learner | Baseline,
    params: Params,
    content: Array,
    asked: HeldOutUsers,
    *,
    liked: float | None = None,
    sizes: Sizes | None = None,
    devices: Sequence[jax.Device] | None = None,
    on_block: Callable[[int], None] = lambda users: None,
) -> dict[str, np.ndarray]:
    """Adapt to each user's support and take the metrics of the query. Every process calls it, and has all values.

    Args:
      name: of the method, for the error.
      method: anything with adapt and predict.
      params: what it was trained or fitted to, on this process.
      content: [I, F] of all items.
      asked: the users.
      liked: rating from which a query item is to be found among all items but the support; None: nothing is ranked.
      sizes: of blocks.
      devices: of this process, which share its users; all of them if not said.
      on_block: told how many users are done, after every block.

    Returns:
      Metric -> [T]: "rmse" holds mean squared errors as everywhere, and with `liked` those of
      `metrics.RANKING`, NaN for who likes nothing in the query.

    Raises:
      PredictionError: a prediction that counts is NaN or infinite.
    """
    sizes, mesh = sizes or Sizes(), Mesh(np.array(devices or jax.local_devices()), (AXIS,))
    own = np.array(distributed.share_of(len(asked.names)), int)
    size = _block(len(own), sizes.block, mesh.size)
    by_user, everywhere = (NamedSharding(mesh, PartitionSpec(*axis)) for axis in ((AXIS,), ()))
    run = _program(method, liked, sizes, mesh)
    params, content = jax.device_put((params, jnp.asarray(content)), everywhere)
    values_by_metric: dict[str, list[np.ndarray]] = {metric: [np.zeros(0, np.float32)] for metric in _metrics(liked)}
    done = 0
    for tasks in _ahead(asked.blocks(own, size)):
        number = len(tasks.query.mask)
        whole = jax.tree.map(lambda leaf: leaf[np.minimum(np.arange(size), len(leaf) - 1)], tasks)
        values, finite = run(params, content, jax.device_put(whole, by_user))
        _check(name, np.asarray(finite)[:number], asked.names[own[done : done + number]])
        for metric, value in values.items():
            values_by_metric[metric].append(np.asarray(value)[:number])
        done += number
        on_block(number)
    joined = {metric: np.concatenate(blocks) for metric, blocks in values_by_metric.items()}
    return {metric: distributed.gather(values, len(asked.names)) for metric, values in joined.items()}


def _block(users: int, most: int, devices: int) -> int:
    """A size of all blocks, which the devices divide, so that the last one is hardly shorter."""
    blocks = -(-users // max(most, devices)) or 1
    return -(-users // blocks // devices) * devices or devices


def _metrics(liked: float | None) -> tuple[str, ...]:
    return ("rmse", *(metric.name for metric in metrics.RANKING if liked is not None))


def _program(method: Learner | Baseline, liked: float | None, sizes: Sizes, mesh: Mesh) -> Callable:
    """(params, content, tasks [B]) -> (metric -> [B], [B] whether all is finite), each device with its part of B."""

    def one_user(params: Params, content: Array, task: Episode) -> tuple[dict[str, Array], Array]:
        fast, query = method.adapt(params, task.support), task.query
        predicted = method.predict(fast, query.x)
        values = {"rmse": metrics.squared_error(predicted, query.y, query.mask)}
        finite = jnp.all(jnp.isfinite(predicted) | (query.mask == 0))
        if liked is not None:
            known = jnp.where(task.support.mask > 0, task.support.x.id, -1)
            relevant = jnp.where((query.mask > 0) & (query.y >= liked), query.x.id, -1)
            ranks, scored = ranks_of(method.predict, fast, content, query.x.context, relevant, known, items=sizes.items)
            ranked = {metric.name: metric.function(ranks) for metric in metrics.RANKING}
            values, finite = values | ranked, finite & scored
        return values, finite

    def block(params: Params, content: Array, tasks: Episode) -> tuple[dict[str, Array], Array]:
        return in_batches(lambda task: one_user(params, content, task), tasks, sizes.batch)

    specs = (PartitionSpec(), PartitionSpec(), PartitionSpec(AXIS))
    return jax.jit(jax.shard_map(block, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(AXIS), check_vma=False))


def _ahead(blocks: Iterator[Episode]) -> Iterator[Episode]:
    """The same blocks, each read by a thread while the one before is worked on."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, blocks, None)
        while (block := following.result()) is not None:
            following = pool.submit(next, blocks, None)
            yield block


def _check(name: str, finite: np.ndarray, users: np.ndarray) -> None:
    if not finite.all():
        raise PredictionError(
            f"{name} predicts what is not finite for user {users[int(np.argmin(finite))]} ({int((~finite).sum())} of "
            f"{len(finite)} users of a block); lower its learning rates or mend its fit."
        )
