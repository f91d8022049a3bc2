"""How the work of a training step is laid out over devices."""

from typing import Any, Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from metarec_jax.params import in_table
from metarec_jax.types import Array, Streamed, TrainState

Parallel = Literal["jit", "shard_map", "pmap"]

TableUpdates = Literal["dense", "rows", "sharded"]

AXIS = "data"


class ShardingError(ValueError):
    """Tasks, or tables, that cannot be sharded as asked; the message says what to change."""


class Sharding(NamedTuple):
    """How the work of a step is laid out."""

    devices: int = 1  # of all processes together
    parallel: Parallel = "jit"
    microbatch: int | None = None  # see `gradients.task_batch_gradient`
    id_tables: TableUpdates = (
        "dense"  # rows: see `sparse_tables`; sharded: rows, each device keeps its part of the tables
    )
    shards: bool = False  # the data is in shards [P, ...], of which each device has its own; P a multiple of devices
    deterministic: bool = False  # the same bits on any number of devices, see `gradients.deterministic_gradient`
    streamed: bool = False  # the data is `types.Streamed`, of which each device has its own tasks

    def check(self, batch: int) -> None:
        """Raise ShardingError unless `batch` tasks a step can be sharded so."""
        if self.devices > jax.device_count():
            raise ShardingError(f"{self.devices} devices were asked for and there are {jax.device_count()}.")
        if batch % self.devices:
            raise ShardingError(f"{batch} tasks a step cannot be spread evenly over {self.devices} devices.")
        if self.microbatch is not None and (batch // (1 if self.parallel == "jit" else self.devices)) % self.microbatch:
            raise ShardingError(
                f"{batch} tasks a step, on {self.devices} devices, are no multiple of {self.microbatch}."
            )
        if self.id_tables == "sharded" and self.parallel != "jit":
            raise ShardingError(f"tables are sharded by jit, not by {self.parallel}.")
        if (self.shards or self.streamed) and self.parallel == "pmap":
            raise ShardingError("data in shards, or streamed, is sharded by jit or shard_map, not by pmap.")
        if self.shards and self.streamed:
            raise ShardingError("streamed data is not in shards.")
        if self.deterministic and not self.shards:
            raise ShardingError(
                "deterministic gradients are added up in the order of the shards, so there must be shards."
            )

    def mesh(self) -> Mesh:
        """The devices in one row."""
        return Mesh(np.array(jax.devices()[: self.devices]), (AXIS,))

    def of_data(self, mesh: Mesh) -> Any:
        """Where the data is: everywhere, or each shard on its device, or each streamed task."""
        everywhere = NamedSharding(mesh, PartitionSpec())
        if self.streamed:
            return Streamed(everywhere, NamedSharding(mesh, PartitionSpec(None, AXIS)))
        return NamedSharding(mesh, PartitionSpec(AXIS)) if self.shards else everywhere

    def of_state(self, mesh: Mesh, state: TrainState) -> Any:
        """Where each leaf of a state is: everywhere, save tables that are sharded, rows in order of the devices."""

        def leaf_sharding(path: tuple, leaf: Array) -> NamedSharding:
            own = self.id_tables == "sharded" and in_table(path)
            if own and leaf.shape[0] % self.devices:
                raise ShardingError(f"a table of {leaf.shape[0]} rows cannot be cut into {self.devices} equal parts.")
            return NamedSharding(mesh, PartitionSpec(AXIS) if own else PartitionSpec())

        return jax.tree_util.tree_map_with_path(leaf_sharding, state)
