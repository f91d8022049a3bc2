"""The meta-gradient of a batch of tasks, on all of them at once or a microbatch after the other, with respect to whole
tables of ids or to the rows that the batch meets."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from metarec_jax.params import join_fixed, split_fixed
from metarec_jax.train import sparse_tables
from metarec_jax.types import Array, Episode, Learner, Metrics, Params, Streamed

Drawn = tuple[Any, Array]  # tasks, [T] on every leaf (`drawing`: the keys that draw them), and keys [T] of their losses
# (params, drawn tasks, step) -> means over the tasks; the gradient is as the parameters, or `SparseRows`.
Gradient = Callable[[Params, Drawn, Array], tuple[Any, Metrics]]


def task_keys(root: Array, step: Array, batch: int) -> Array:
    """[batch] keys of the tasks of a training step."""
    return jax.random.split(jax.random.fold_in(root, step), batch)


def split_keys(keys: Array) -> tuple[Array, Array]:
    """Keys [T] that draw tasks, and keys [T] of their losses, from keys [T] of the tasks."""
    return tuple(jax.vmap(jax.random.split, out_axes=1)(keys))


def draw_tasks(sample: Callable, data: Any, keys: Array) -> Drawn:
    """Episodes [T] and the keys [T] of their losses, from keys [T]."""
    draw_keys, loss_keys = split_keys(keys)
    return jax.vmap(sample, (None, 0))(data, draw_keys), loss_keys


def draw_later(sample: Callable, data: Any, keys: Array) -> Drawn:
    """What `drawing` draws them from, in place of episodes."""
    del sample, data
    return split_keys(keys)


def drawing(learner: Learner, sample: Callable, data: Any) -> Learner:
    """The learner whose loss draws its episode first, from the key of it.

    So what is the same in all episodes of a batch, such as the ids of a whole catalogue, has no axis of tasks under
    `vmap`: a product with one table, and not a table gathered for each task. Its loss takes (params, draw key, loss
    key, step) where a learner's takes an episode; everything else is the learner's.
    """

    def loss(params: Params, draw_key: Array, loss_key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        return learner.loss(params, sample(data, draw_key), loss_key, step)

    return learner._replace(loss=loss)


def draw_streamed(sample: Callable, data: Streamed, keys: Array) -> Drawn:
    """The same from what a host has made of these T tasks, [T, ...] on every leaf of `data.tasks`."""
    draw_keys, loss_keys = split_keys(keys)
    return jax.vmap(sample, (Streamed(None, 0), 0))(data, draw_keys), loss_keys


def draw_from_shards(sample: Callable, data: Any, keys: Array) -> Drawn:
    """The same from data in P shards, [P, ...] on every leaf: each shard gives as many of the T tasks."""
    shards = jax.tree.leaves(data)[0].shape[0]
    drawn = jax.vmap(lambda shard, keys: draw_tasks(sample, shard, keys))(data, keys.reshape(shards, -1))
    return jax.tree.map(lambda leaf: leaf.reshape(len(keys), *leaf.shape[2:]), drawn)


def task_batch_loss(learner: Learner, params: Params, drawn: Drawn, step: Array | int = 0) -> tuple[Array, Metrics]:
    """Mean loss over drawn tasks at training step `step`, and the mean of each metric."""

    def task_loss(episode: Episode, key: Array) -> tuple[Array, Metrics]:
        return learner.loss(params, episode, key, step)

    if len(drawn[1]) == 1:  # an axis of one task would still be compiled into every operation
        losses = task_loss(*jax.tree.map(lambda leaf: leaf[0], drawn))
    else:
        losses = jax.vmap(task_loss)(*drawn)
    return jax.tree.map(jnp.mean, losses)


def task_batch_gradient(learner: Learner, microbatch: int | None = None) -> Gradient:
    """The gradient of `task_batch_loss` with respect to what is learnt, and the metrics, as a function.

    Args:
      learner: whose loss.
      microbatch: None works on all tasks at once, which small networks and accelerators want. Else so many at a time,
        one group after the other, and their gradients are added up: memory is that of one group. On a CPU convolutions
        are fastest one task at a time. The number of tasks must be a multiple of it.
    """

    def gradient(params: Params, drawn: Drawn, step: Array) -> tuple[Params, Metrics]:
        learnt, fixed = split_fixed(params)

        def loss(learnt: Params, drawn: Drawn) -> tuple[Array, Metrics]:
            return task_batch_loss(learner, join_fixed(learnt, fixed), drawn, step)

        return mean_gradient(loss, learnt, drawn, microbatch)

    return gradient


def deterministic_gradient(gradient_of: Gradient, shards: int, gather: Callable[[Any], Any]) -> Gradient:
    """The mean of the gradients of the shards that the tasks are from, added up in one order on all devices.

    So only rounding within a shard differs with the number of devices; the price is to send the gradient of every shard
    and not the sum of a device's own.

    Args:
      gradient_of: of the tasks of one shard.
      shards: whose tasks there are, equally many of each, one shard after the other.
      gather: gradients [P, ...] of all devices from a device's own [shards, ...].
    """

    def gradient(params: Params, drawn: Drawn, step: Array) -> tuple[Params, Metrics]:
        by_shard = jax.tree.map(lambda leaf: leaf.reshape(shards, len(leaf) // shards, *leaf.shape[1:]), drawn)
        gathered = gather(jax.vmap(gradient_of, (None, 0, None))(params, by_shard, step))
        return jax.tree.map(lambda leaf: jnp.mean(leaf, 0), gathered)

    return gradient


def row_gradient(gradient_of: Gradient, gather: Callable[[Array], Array] = lambda ids: ids) -> Gradient:
    """The same gradient, of tables of ids only for the rows that the batch meets (`SparseRows`).

    Args:
      gradient_of: with respect to whole tables; x of the episodes are `Inputs`.
      gather: ids of all devices from a device's own; see `tables.relabel`.
    """

    def gradient(params: Params, drawn: Drawn, step: Array) -> tuple[sparse_tables.SparseRows, Metrics]:
        episodes, loss_keys = drawn
        ids, placed = sparse_tables.relabel(episodes, sparse_tables.num_rows(params), gather)
        slope, metrics = gradient_of(sparse_tables.take(params, ids), (placed, loss_keys), step)
        return sparse_tables.SparseRows(ids, slope), metrics

    return gradient


def mean_gradient(
    loss: Callable[[Params, Drawn], tuple[Array, Metrics]], params: Params, tasks: Drawn, microbatch: int | None
) -> tuple[Params, Metrics]:
    """Gradient of a mean over tasks, and its metrics, `microbatch` tasks at a time.

    Args:
      loss: (params, tasks) -> (mean over the tasks, means of metrics).
      params: where.
      tasks: drawn.
      microbatch: a divisor of T, or None for all.
    """

    def group_gradient(tasks: Drawn) -> tuple[Params, Metrics]:
        return jax.grad(loss, has_aux=True)(params, tasks)

    if microbatch is None:
        return group_gradient(tasks)

    def grouped(leaf: Array) -> Array:  # so that a group of tasks that are sharded over devices is sharded too
        return jnp.moveaxis(leaf.reshape(microbatch, len(leaf) // microbatch, *leaf.shape[1:]), 1, 0)

    groups = jax.tree.map(grouped, tasks)
    shapes = jax.eval_shape(group_gradient, jax.tree.map(lambda leaf: leaf[0], groups))
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    total, _ = jax.lax.scan(
        lambda total, group: (jax.tree.map(jnp.add, total, group_gradient(group)), None), zeros, groups
    )
    number = jax.tree.leaves(groups)[0].shape[0]
    return jax.tree.map(lambda leaf: leaf / number, total)
