"""Many runs as one program: N seeds, or N settings of a learner's numbers, along one more axis of everything.

A meta-training run is a pure function of its starting state and its key, so N of them are one `vmap`: one compilation,
and small networks, which leave most of a device idle, fill it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.train.loop import Run, TrainingError
from metarec_jax.train.step import TrainSteps
from metarec_jax.types import Array, Params


def stack(runs: list[Run]) -> Run:
    """N runs as one, [N, ...] on every leaf."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *runs)


def fit_many(
    train_steps: TrainSteps,
    data: Any,
    runs: Run,
    *,
    roots: Array,
    steps: int,
    validate: Callable[[Params], np.ndarray],
    on_steps: Callable[[int, np.ndarray, np.ndarray], None] = lambda step, loss, valid: None,
) -> Run:
    """Train N runs side by side to `steps`; each keeps its best parameters, as in `training.fit`.

    Args:
      train_steps: (data, states [N], roots [N]) -> (states [N], metrics [N, length]).
      data: of the tasks, the same for all.
      runs: from `stack`, all at the same step.
      roots: [N] keys.
      steps: a multiple of the length of `train_steps`.
      validate: parameters [N] -> [N] values to minimise.
      on_steps: called with the step, [N] mean losses of these steps and [N] validation values.

    Raises:
      TrainingError: the loss of a run is not finite; the message says of which.
    """
    # Copied, because the compiled steps destroy what they are given; placed as it will be, or the second call would
    # compile again.
    runs, roots = jax.device_put((jax.tree.map(jnp.copy, runs), roots), jax.devices()[0])
    runs = _keep_best(runs, validate(runs.state.params))
    while (step := int(runs.state.step[0])) < steps:
        states, metrics = train_steps(data, runs.state, roots)
        loss = np.asarray(metrics["loss"]).mean(1)
        if not np.isfinite(loss).all():
            which = int(np.flatnonzero(~np.isfinite(loss))[0])
            raise TrainingError(
                f"the training loss of run {which} became {loss[which]} after step {step}; lower its inner or outer "
                "learning rate, or train it alone."
            )
        values = validate(states.params)
        runs = _keep_best(runs._replace(state=states), values)
        on_steps(int(states.step[0]), loss, values)
    return runs


def _keep_best(runs: Run, values: np.ndarray) -> Run:
    better = jnp.asarray(values) < runs.best_value

    def choose(new: Array, old: Array) -> Array:
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return runs._replace(
        best_params=jax.tree.map(choose, runs.state.params, runs.best_params),
        best_value=choose(jnp.asarray(values, jnp.float32), runs.best_value),
        best_step=choose(runs.state.step, runs.best_step),
    )
