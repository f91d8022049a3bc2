"""Tables of ids whose training step touches the rows of its batch, and no others: flat in the size of the catalogue.

A table of ids ("id_..." in the parameters, see `models.recommender`) has a row an item, and a batch of tasks meets some
hundreds of them. Here the rows that it meets are taken out, distinct and in order, and the ids of its episodes become
places among them. The learner, whatever it is, sees small tables; the gradient is of these rows; and the optimiser
writes their moments, and them, back where they came from. Nothing is made that has the size of the catalogue.

Easily got wrong: a row's moments have been updated as often as the row was met and not once a step, so Adam's
correction of their bias (Kingma and Ba 2015, arXiv:1412.6980, algorithm 1) must count for each row; and padding, whose
id means nothing, meets none. Where every step meets every row this is Adam. Elsewhere it is not: dense Adam goes on
moving a row by what is left of its moments, lazy Adam waits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from metarec_jax.params import in_table, split_fixed
from metarec_jax.types import Array, Episode, Examples, Params

MOST = 2**16 - 1  # of a row's count: at so many steps no bias is left


class SparseRows(NamedTuple):
    """Something for all parameters, of tables only for the rows that a batch met."""

    ids: Array  # [n] int32, ascending and distinct, then as often as needed the number of rows, which is none
    values: Params  # as the parameters, save that leaves of tables are [n, ...]


class TableError(ValueError):
    """Parameters whose tables cannot be trained row by row; the message says why."""


def num_rows(params: Params) -> int:
    """Rows of the tables of ids.

    Raises:
      TableError: there are none, or of unequal sizes, or data of that size under `FIXED` that ids may point into.
    """
    learnt, fixed = split_fixed(params)
    leaves = jax.tree_util.tree_flatten_with_path(learnt)[0]
    sizes = {leaf.shape[0] for path, leaf in leaves if in_table(path)}
    if len(sizes) != 1:
        raise TableError(f"the tables of ids have {sorted(sizes) or 'no'} rows; all must have the same number.")
    (rows,) = sizes
    if any(leaf.shape[:1] == (rows,) for leaf in jax.tree.leaves(fixed)):
        raise TableError("the learner keeps data for each id, so its ids cannot be places among the rows of a batch.")
    return rows


def relabel(episodes: Episode, rows: int, gather: Callable[[Array], Array] = lambda ids: ids) -> tuple[Array, Episode]:
    """The distinct ids of episodes (see `SparseRows`) and the episodes with places among them instead.

    Padding meets no row: its id is not among them, and its place is the first, which is as good as any.

    Args:
      episodes: whose x are `Inputs`.
      rows: of the tables.
      gather: of ids [n] over devices, where each has episodes of its own: [devices * n].
    """
    own = jnp.concatenate([jnp.where(part.mask > 0, part.x.id, rows).ravel() for part in episodes])
    every = gather(own)
    ids = jnp.unique(every, size=min(len(every), rows + 1), fill_value=rows)

    # Each id on its own, so that where the compiler spreads the tasks it can spread this.
    def place(part: Examples) -> Examples:
        row = jnp.searchsorted(ids, part.x.id, method="scan_unrolled").astype(jnp.int32)
        return part._replace(x=part.x._replace(id=jnp.where(part.mask > 0, row, 0)))

    return ids, Episode(*map(place, episodes))


def take(params: Params, ids: Array) -> Params:
    """The parameters, of tables the rows `ids` [n]; 0 where an id is none."""

    def take_rows(path: tuple, leaf: Array) -> Array:
        if not in_table(path):
            return leaf
        return leaf.at[ids].get(mode="fill", fill_value=0, indices_are_sorted=True)

    return jax.tree_util.tree_map_with_path(take_rows, params)


def add(params: Params, updates: SparseRows) -> Params:
    """The parameters plus updates."""

    def add_rows(path: tuple, leaf: Array, update: Array) -> Array:
        if not in_table(path):
            return (leaf + update).astype(leaf.dtype)
        return leaf.at[updates.ids].add(update.astype(leaf.dtype), mode="drop", indices_are_sorted=True)

    return jax.tree_util.tree_map_with_path(add_rows, params, updates.values)


class RowAdamState(NamedTuple):
    """Of `scale_by_row_adam`."""

    id_count: Array  # [rows] uint16 steps that met a row, `MOST` at most
    mu: Params  # first moments
    nu: Params  # second moments, of all numbers or one a row


def scale_by_row_adam(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8, *, row_wise: bool = False
) -> optax.GradientTransformationExtraArgs:
    """Lazy Adam, row by row, with each row's own correction of bias; an optax transformation with one more argument.

    `init` takes tables [rows, ...]; `update` takes gradients of the rows `rows` [n], as [n, ...] leaves, and gives
    updates of them. Moments of other rows are neither read nor written. Memory: twice the tables and 2 bytes a row.

    With `row_wise` a row has one second moment, of the mean of its squared slopes (FBGEMM's
    PARTIAL_ROWWISE_ADAM): memory once the tables and 6 bytes a row, and all numbers of a row take steps of one scale.
    """

    def squared(slope: Array) -> Array:
        square = jnp.square(slope)
        return jnp.mean(square, range(1, square.ndim), keepdims=True) if row_wise else square

    def init(params: Params) -> RowAdamState:
        sizes = {leaf.shape[0] for leaf in jax.tree.leaves(params)}
        if len(sizes) != 1:
            raise TableError(f"tables of {sorted(sizes)} rows cannot be trained together.")
        mu = jax.tree.map(jnp.zeros_like, params)
        nu = jax.tree.map(lambda leaf: jnp.zeros(jax.eval_shape(squared, leaf).shape, leaf.dtype), params)
        return RowAdamState(jnp.zeros(sizes.pop(), jnp.uint16), mu, nu)

    def update(updates: Params, state: RowAdamState, params: Params | None = None, *, rows: Array, **_: Any):
        del params
        where = {"mode": "drop", "indices_are_sorted": True}
        count = jnp.minimum(state.id_count.at[rows].get(mode="clip").astype(jnp.int32) + 1, MOST)

        def moment(old: Array, new: Array, decay: float) -> Array:
            return decay * old.at[rows].get(mode="clip", indices_are_sorted=True) + (1 - decay) * new

        mu = jax.tree.map(lambda old, new: moment(old, new, b1), state.mu, updates)
        nu = jax.tree.map(lambda old, new: moment(old, squared(new), b2), state.nu, updates)

        def scaled(first: Array, second: Array) -> Array:
            steps = count.reshape(-1, *[1] * (first.ndim - 1)).astype(first.dtype)
            return first / (1 - b1**steps) / (jnp.sqrt(second / (1 - b2**steps)) + eps)

        def write(old: Params, new: Params) -> Params:
            return jax.tree.map(lambda table, part: table.at[rows].set(part.astype(table.dtype), **where), old, new)

        counts = state.id_count.at[rows].set(count.astype(jnp.uint16), **where)
        return jax.tree.map(scaled, mu, nu), RowAdamState(counts, write(state.mu, mu), write(state.nu, nu))

    return optax.GradientTransformationExtraArgs(init, update)


def with_rows(
    dense: optax.GradientTransformation, tables: optax.GradientTransformation
) -> optax.GradientTransformation:
    """One transformation for the tables of ids and another for everything else."""
    return optax.partition({"dense": dense, "tables": tables}, _labels)


def _labels(params: Params) -> Params:
    return jax.tree_util.tree_map_with_path(lambda path, _: "tables" if in_table(path) else "dense", params)
