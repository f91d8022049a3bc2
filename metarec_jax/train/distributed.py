"""Several processes, of one machine or many, that run one program: how they find each other and share arrays.

Every process runs the same code in the same order. An array is either the same everywhere, or in parts of which a
process holds those of its devices (`sharding.Sharding.shards`).
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from metarec_jax.train.sharding import AXIS


def start(coordinator: str | None, processes: int | None, process: int | None) -> None:
    """Join the other processes; before anything touches a device.

    Args:
      coordinator: address:port of process 0. None: from the cluster, which jax asks: TPU pods, SLURM and Open MPI tell.
      processes, process: their number, and this one's; None as well where the cluster tells.

    Raises:
      ValueError: some of the three are given and some are not.
    """
    given = [value is not None for value in (coordinator, processes, process)]
    if any(given) and not all(given):
        raise ValueError("a coordinator, the number of processes and this process's number go together.")
    jax.distributed.initialize(coordinator, processes, process)


def is_first() -> bool:
    """Whether this process writes and speaks for all."""
    return jax.process_index() == 0


def everywhere(tree: Any, mesh: Mesh) -> Any:
    """A pytree of arrays that every process has, as arrays of the whole mesh."""
    return placed(tree, jax.tree.map(lambda _: NamedSharding(mesh, PartitionSpec()), tree))


def placed(tree: Any, shardings: Any) -> Any:
    """A pytree of arrays that every process has whole, laid out as `shardings` say."""

    def place(leaf: Any, sharding: NamedSharding) -> jax.Array:
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(place, tree, shardings)


def key(seed: int, mesh: Mesh) -> jax.Array:
    """A random key that every process has."""
    return jax.jit(jax.random.key, out_shardings=NamedSharding(mesh, PartitionSpec()))(seed)


def from_parts(own: Any, mesh: Mesh) -> Any:
    """A pytree of [P, ...] of the whole mesh, from the parts [own, ...] of this process's devices."""
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), own)


def own_parts(parts: int, mesh: Mesh) -> list[int]:
    """Which of P parts are on the devices of this process.

    Raises:
      ValueError: P is no multiple of the number of devices.
    """
    devices = mesh.devices.ravel()
    if parts % len(devices):
        raise ValueError(f"{parts} parts of the data cannot be spread evenly over {len(devices)} devices.")
    each = parts // len(devices)
    here = [place for place, device in enumerate(devices) if device.process_index == jax.process_index()]
    return [place * each + number for place in here for number in range(each)]


def local(tree: Any) -> Any:
    """Arrays that are the same everywhere, as arrays of this process alone, without a copy."""

    def take(leaf: Any) -> Any:
        return leaf if not isinstance(leaf, jax.Array) else leaf.addressable_data(0)

    return jax.tree.map(take, tree)


def share_of(number: int) -> Sequence[int]:
    """Which of a number of things this process does."""
    return range(jax.process_index(), number, jax.process_count())


def agreed(value: bool) -> bool:
    """What the first process says, in every process."""
    return bool(gather(np.array([value]), jax.process_count())[0])


def gather(own: np.ndarray, number: int) -> np.ndarray:
    """[number] values, of which every process has made its `share_of`, in every process."""
    if jax.process_count() == 1:
        return own
    most = -(-number // jax.process_count())
    padded = np.pad(own, (0, most - len(own)))
    return np.asarray(multihost_utils.process_allgather(padded)).T.ravel()[:number]
