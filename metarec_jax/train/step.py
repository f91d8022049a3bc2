"""Meta-training steps as one compiled function, on one device or many, of one process or many.

The key of a step is fold_in(root, step), and the tasks of a step are the same however they are sharded: so is the
result, up to the rounding of a sum. Three ways to shard them do the same: `jit` with shardings, where the compiler
finds out what to sum over devices; `shard_map` and `pmap`, where it is written down.

Silent trap: inside `jax.shard_map` that checks how values vary, `jax.grad` with respect to replicated parameters is
already summed over devices. Here it does not check, and the gradient is a device's own.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding, PartitionSpec

from metarec_jax.params import join_fixed, split_fixed
from metarec_jax.train import gradients, sparse_tables
from metarec_jax.train.sharding import AXIS, Sharding
from metarec_jax.types import Array, Learner, Metrics, TrainState

TrainSteps = Callable[
    [Any, TrainState, Array], tuple[TrainState, Metrics]
]  # (data, state, root key) -> [length] metrics


def make_train_steps(
    learner: Learner,
    sample: Callable,
    optimiser: optax.GradientTransformation,
    *,
    batch: int,
    length: int,
    sharding: Sharding | None = None,
) -> TrainSteps:
    """`length` meta-training steps of `batch` tasks as one compiled function (data, state, root) -> (state, metrics).

    The buffers of the state that it is given are donated. With the sharding's `id_tables` other than dense, `optimiser`
    is one of `sparse_tables.with_rows`.

    Raises:
      ShardingError: more devices than there are, or a batch that they, or `microbatch`, do not divide.
    """
    sharding = sharding or Sharding()
    sharding.check(batch)
    # Else the episodes are needed before the loss is: to find their rows, or because they are not drawn task by task.
    in_loss = not (sharding.shards or sharding.streamed or sharding.id_tables != "dense")
    resident = gradients.draw_from_shards if sharding.shards else gradients.draw_tasks
    draw = gradients.draw_streamed if sharding.streamed else gradients.draw_later if in_loss else resident

    def steps(own: Callable, average: Callable, gather: Callable, data: Any, state: TrainState, root: Array):
        trained = gradients.drawing(learner, sample, data) if in_loss else learner
        gradient_of = gradients.task_batch_gradient(trained, sharding.microbatch)
        if sharding.deterministic:
            shards, average = jax.tree.leaves(data)[0].shape[0], _same
            gradient_of = gradients.deterministic_gradient(gradient_of, shards, gather)
        if sharding.id_tables != "dense":
            gradient_of = gradients.row_gradient(gradient_of, gather)

        def step(state: TrainState, made: Any) -> tuple[TrainState, Metrics]:
            keys = own(gradients.task_keys(root, state.step, batch))
            tasks = draw(sample, data._replace(tasks=made) if sharding.streamed else data, keys)
            gradient, metrics = gradient_of(state.params, tasks, state.step)
            return moved(optimiser, state, average(gradient)), average(metrics)

        return jax.lax.scan(step, state, data.tasks if sharding.streamed else None, length)

    return {"jit": _by_jit, "shard_map": _by_shard_map, "pmap": _by_pmap}[sharding.parallel](steps, batch, sharding)


def moved(optimiser: optax.GradientTransformation, state: TrainState, gradient: Any) -> TrainState:
    """The state after a step along a gradient, or along `SparseRows` of one."""
    learnt, fixed = split_fixed(state.params)
    if isinstance(gradient, sparse_tables.SparseRows):
        rows, ids = sparse_tables.take(learnt, gradient.ids), gradient.ids
        updates, opt_state = optimiser.update(gradient.values, state.opt_state, rows, rows=ids)
        learnt = sparse_tables.add(learnt, sparse_tables.SparseRows(ids, updates))
    else:
        updates, opt_state = optimiser.update(gradient, state.opt_state, learnt)
        learnt = optax.apply_updates(learnt, updates)
    return TrainState(state.step + 1, join_fixed(learnt, fixed), opt_state)


def _same(value: Any) -> Any:
    return value


def _by_jit(steps: Callable, batch: int, sharding: Sharding) -> TrainSteps:
    """The compiler shards the keys, and with them the tasks, and finds out what has to be summed."""
    del batch
    mesh = sharding.mesh()
    everywhere, by_task = (NamedSharding(mesh, PartitionSpec(*axis)) for axis in ((), (AXIS,)))

    def train_steps(data: Any, state: TrainState, root: Array) -> tuple[TrainState, Metrics]:
        own = partial(jax.lax.with_sharding_constraint, shardings=by_task)
        # Said of gradients too: else rows of them are sharded, and then all of the table is summed over devices.
        whole = partial(jax.lax.with_sharding_constraint, shardings=everywhere)
        state, metrics = steps(own, whole, whole, data, state, root)
        return jax.lax.with_sharding_constraint(state, sharding.of_state(mesh, state)), metrics

    if sharding.id_tables == "sharded":  # where the state is says where it will be
        return jax.jit(train_steps, donate_argnums=1)
    places = (sharding.of_data(mesh), everywhere, everywhere)
    return jax.jit(train_steps, in_shardings=places, out_shardings=everywhere, donate_argnums=1)


def _written_down(steps: Callable, batch: int, sharding: Sharding) -> Callable:
    """(device number, its data, state, root) -> the same as `steps`, with the mean over devices spelt out."""
    own = batch // sharding.devices

    def on_one_device(device: Array, data: Any, state: TrainState, root: Array) -> tuple[TrainState, Metrics]:
        def keys_of(keys: Array) -> Array:
            return jax.lax.dynamic_slice_in_dim(keys, device * own, own)

        def average(values: Any) -> Any:
            if isinstance(values, sparse_tables.SparseRows):  # all devices have the same ids
                return values._replace(values=average(values.values))
            return jax.lax.pmean(values, AXIS)

        def gather(values: Any) -> Any:
            return jax.tree.map(partial(jax.lax.all_gather, axis_name=AXIS, tiled=True), values)

        return steps(keys_of, average, gather, data, state, root)

    return on_one_device


def _by_shard_map(steps: Callable, batch: int, sharding: Sharding) -> TrainSteps:
    mesh, everywhere = sharding.mesh(), PartitionSpec()
    on_one_device = _written_down(steps, batch, sharding)

    def train_steps(data: Any, state: TrainState, root: Array) -> tuple[TrainState, Metrics]:
        return on_one_device(jax.lax.axis_index(AXIS), data, state, root)

    of_data = sharding.of_data(mesh)
    specs = (jax.tree.map(lambda place: place.spec, of_data), everywhere, everywhere)
    mapped = jax.shard_map(train_steps, mesh=mesh, in_specs=specs, out_specs=everywhere, check_vma=False)
    whole = NamedSharding(mesh, everywhere)
    return jax.jit(mapped, in_shardings=(of_data, whole, whole), out_shardings=whole, donate_argnums=1)


def _by_pmap(steps: Callable, batch: int, sharding: Sharding) -> TrainSteps:
    everywhere = jax.pmap(
        _written_down(steps, batch, sharding),
        axis_name=AXIS,
        in_axes=(0, None, None, None),
        out_axes=None,
        devices=jax.devices()[: sharding.devices],
    )
    return partial(everywhere, jnp.arange(sharding.devices))
