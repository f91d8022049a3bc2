"""Optimisers of the outer loop."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from metarec_jax.train import sparse_tables
from metarec_jax.types import Params, TrainState


def adam(
    lr: float,
    steps: int,
    *,
    weight_decay: float = 0.0,
    clip: float = 10.0,
    rates: Mapping[str, float] | None = None,
    rows: bool = False,
    row_wise: bool = False,
) -> optax.GradientTransformation:
    """AdamW with a cosine schedule to 0 over `steps` and the meta-gradient's global norm clipped at `clip`.

    `rates` multiply the learning rate of some of the parameters, by the innermost name on their path that is among
    them: what starts from a fitted model should move less than what starts from nothing. With `rows` tables of ids are
    trained by rows, with `row_wise` at a third less memory: see `sparse_tables`.

    Raises:
      ValueError: `row_wise` without `rows`.
    """
    if row_wise and not rows:
        raise ValueError("row_wise is of tables that are trained row by row: set rows as well.")

    def scaled(updates: Params, params: Params | None) -> Params:
        del params
        return jax.tree_util.tree_map_with_path(lambda path, update: _rate(rates or {}, path) * update, updates)

    schedule = optax.schedules.cosine_decay_schedule(lr, steps)
    adamw = optax.adamw(schedule, weight_decay=weight_decay)
    if rows:
        rest = (optax.add_decayed_weights(weight_decay), optax.scale_by_learning_rate(schedule))
        adamw = sparse_tables.with_rows(adamw, optax.chain(sparse_tables.scale_by_row_adam(row_wise=row_wise), *rest))
    parts = [optax.clip_by_global_norm(clip), adamw]
    return optax.chain(*parts, optax.stateless(scaled)) if rates else optax.chain(*parts)


def _rate(rates: Mapping[str, float], path: tuple) -> float:
    """That of a leaf at a path of `jax.tree_util`."""
    names = [getattr(key, "key", getattr(key, "name", None)) for key in path]
    return next((rates[name] for name in reversed(names) if name in rates), 1.0)


def adam_at(lr: float, *, weight_decay: float = 0.0, clip: float = 10.0) -> optax.GradientTransformation:
    """`adam` at a rate that stays as it is until `with_rate` sets another one, between two calls: where how many steps
    there will be is not known before."""
    adamw = optax.inject_hyperparams(optax.adamw)(learning_rate=lr, weight_decay=weight_decay)
    return optax.chain(optax.clip_by_global_norm(clip), adamw)


def with_rate(state: TrainState, lr: float) -> TrainState:
    """The state of an optimiser `adam_at`, at another learning rate."""
    clip, adamw = state.opt_state
    rates = adamw.hyperparams | {"learning_rate": jnp.float32(lr)}
    return state._replace(opt_state=(clip, adamw._replace(hyperparams=rates)))
