"""The loop of meta-training: compiled steps, validation, and again.

The steps between two validations (`train.step`) are one compiled scan with the sampling of episodes inside; the host
validates, logs and saves between them. The key of a step is fold_in(root, step), so a run that is resumed from a
checkpoint equals the run without a break.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from metarec_jax.params import split_fixed
from metarec_jax.train.step import TrainSteps
from metarec_jax.types import Array, Learner, Params, Tasks, TrainState


class Run(NamedTuple):
    """A training run at a validation: all that a checkpoint needs to hold."""

    state: TrainState
    best_params: Params  # of the step with the lowest validation value so far
    best_value: Array  # [] float32, inf before the first validation
    best_step: Array  # [] int32


class Progress(NamedTuple):
    """What a person looks at after a validation."""

    step: int
    loss: float  # mean over the steps since the validation before
    valid: float  # validation value, lower is better
    metrics: dict[str, float]  # what else the loss says, means over the same steps


class TrainingError(RuntimeError):
    """Training that cannot go on; the message says what to change."""


def start(learner: Learner, tasks: Tasks, optimiser: optax.GradientTransformation, key: Array) -> Run:
    """A run at step 0, with parameters from `key`.

    Not as one program: operation by operation, what was compiled for one learner serves the next.
    """
    init_key, episode_key = jax.random.split(key)
    return start_from(learner.init(init_key, jax.jit(tasks.sample)(tasks.data, episode_key)), optimiser)


def start_from(params: Params, optimiser: optax.GradientTransformation) -> Run:
    """A run at step 0 from given parameters, for example a classical factorisation."""
    state = TrainState(jnp.int32(0), params, jax.jit(optimiser.init)(split_fixed(params)[0]))
    return Run(state, params, jnp.float32(jnp.inf), jnp.int32(0))


def train(
    train_steps: TrainSteps,
    tasks: Tasks,
    run: Run,
    *,
    root: Array,
    steps: int | None,
    validate: Callable[[Params], float],
    patience: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_steps: Callable[[Run, Progress], None] = lambda run, progress: None,
    place: Callable[[Any], Any] | None = None,
) -> Run:
    """Train until `steps`, or until the validation value has not improved for `patience` steps, or until told to stop.

    Args:
      train_steps: from `step.make_train_steps`; `steps` should be a multiple of its length.
      tasks: where its episodes come from.
      run: where to go on from; `start` it, or restore it from a checkpoint.
      root: key of the whole run; the same on resuming.
      steps: total number of steps, those already in `run` included; None leaves the end to `stop`.
      validate: parameters -> value to minimise, for example RMSE on the validation tasks.
      patience: None trains to the end. The best parameters are kept either way.
      stop: asked before the next steps, for example whether the time is up.
      on_steps: called after each validation, to log and to save.
      place: a pytree of the run -> the same where it is kept between calls. Default: on the first device.

    Raises:
      TrainingError: the loss is not finite; lower the learning rates.
    """
    place = place or partial(jax.device_put, device=jax.devices()[0])
    # Copied, because the compiled steps donate, and so destroy, the buffers of the state that they are given; placed as
    # they are between calls, because inputs that are placed otherwise would compile again.
    run = place(jax.tree.map(jnp.copy, run))
    if not np.isfinite(run.best_value):
        run = _keep_best(run, validate(run.state.params))
    while (steps is None or int(run.state.step) < steps) and not (_stalled(run, patience) or stop()):
        before = int(run.state.step)
        state, metrics = train_steps(tasks.data, run.state, root)
        run = run._replace(state=place(state))
        means = {name: float(values.mean()) for name, values in metrics.items()}
        loss = means.pop("loss")
        if not np.isfinite(loss):
            raise TrainingError(
                f"the training loss became {loss} between steps {before} and {int(run.state.step)}; lower the inner "
                "or the outer learning rate."
            )
        value = validate(run.state.params)
        run = _keep_best(run, value)
        on_steps(run, Progress(int(run.state.step), loss, value, means))
    return run


def _stalled(run: Run, patience: int | None) -> bool:
    return patience is not None and int(run.state.step) - int(run.best_step) >= patience


def _keep_best(run: Run, value: float) -> Run:
    if not value < float(run.best_value):
        return run
    params = jax.tree.map(jnp.copy, run.state.params)
    best = jnp.where(True, jnp.float32(value), run.best_value)  # computed, so that it is where the old one was
    return run._replace(best_params=params, best_value=best, best_step=run.state.step + 0)
