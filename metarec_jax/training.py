"""Meta-training: the only file that vmaps learners, takes the meta-gradient, scans steps and meets devices.

A chunk of steps is one compiled scan with the sampling of episodes inside; the host only validates, logs and saves
between chunks. The key of a step is fold_in(root, step), so a run resumed from any chunk is the run uninterrupted.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from metarec_jax.types import FIXED, Array, Learner, Metrics, Params, Tasks, TrainState

Parallel = Literal["jit", "pmap"]
Gradient = Callable[[Any, Params, Array, Array], tuple[Params, Metrics]]  # (data, params, keys [T], step), both means
Chunk = Callable[[Any, TrainState, Array], tuple[TrainState, Metrics]]  # (data, state, root key) -> [length] metrics


class Run(NamedTuple):
    """A training run between two chunks: all that a checkpoint needs to hold."""

    state: TrainState
    best_params: Params  # of the step with the lowest validation value so far
    best_value: Array  # [] float32, inf before the first validation
    best_step: Array  # [] int32


class Progress(NamedTuple):
    """What a person looks at after a chunk."""

    step: int
    loss: float  # mean over the chunk
    valid: float  # validation value, lower is better


class TrainingError(RuntimeError):
    """Training that cannot go on; the message says what to change."""


def adam(
    lr: float,
    steps: int,
    *,
    weight_decay: float = 0.0,
    clip: float = 10.0,
    rates: Mapping[str, float] | None = None,
) -> optax.GradientTransformation:
    """AdamW with a cosine schedule to 0 over `steps` and the meta-gradient's global norm clipped at `clip`.

    `rates` multiply the learning rate of some of the parameters, by their outermost name: what starts from a fitted
    model should move less than what starts from nothing.
    """

    def scaled(updates: Params, params: Params | None) -> Params:
        del params
        own = rates or {}
        return {name: optax.tree.scale(own.get(name, 1.0), part) for name, part in updates.items()}

    parts = [
        optax.clip_by_global_norm(clip),
        optax.adamw(optax.schedules.cosine_decay_schedule(lr, steps), weight_decay=weight_decay),
    ]
    return optax.chain(*parts, optax.stateless(scaled)) if rates else optax.chain(*parts)


def adam_at(lr: float, *, weight_decay: float = 0.0, clip: float = 10.0) -> optax.GradientTransformation:
    """`adam` at a rate that stays as it is until `with_rate` sets another one, between two chunks: where how many steps
    there will be is not known before."""
    adamw = optax.inject_hyperparams(optax.adamw)(learning_rate=lr, weight_decay=weight_decay)
    return optax.chain(optax.clip_by_global_norm(clip), adamw)


def with_rate(state: TrainState, lr: float) -> TrainState:
    """The state of an optimiser `adam_at`, at another learning rate."""
    clip, adamw = state.opt_state
    rates = adamw.hyperparams | {"learning_rate": jnp.float32(lr)}
    return state._replace(opt_state=(clip, adamw._replace(hyperparams=rates)))


def split_fixed(params: Params) -> tuple[Params, Params]:
    """What is learnt of the parameters, and what is not, as a dict of one name or none: see `types.FIXED`."""
    if not isinstance(params, Mapping) or FIXED not in params:
        return params, {}
    return {name: part for name, part in params.items() if name != FIXED}, {FIXED: params[FIXED]}


def join_fixed(learnt: Params, fixed: Params) -> Params:
    """The parameters again, from the two parts of `split_fixed`."""
    return {**learnt, **fixed} if fixed else learnt


def task_batch_loss(
    learner: Learner, sample: Callable, params: Params, data: Any, keys: Array, step: Array | int = 0
) -> tuple[Array, Metrics]:
    """Mean loss over the tasks that `keys` [T] draw at training step `step`, and the mean of each metric."""

    def one_task(key: Array) -> tuple[Array, Metrics]:
        draw_key, loss_key = jax.random.split(key)
        return learner.loss(params, sample(data, draw_key), loss_key, step)

    return jax.tree.map(jnp.mean, jax.vmap(one_task)(keys))


def task_batch_gradient(learner: Learner, sample: Callable, together: int | None = None) -> Gradient:
    """The gradient of `task_batch_loss` with respect to what is learnt, and the metrics, as a function.

    Args:
      learner: whose loss.
      sample: of the tasks' distribution.
      together: None works on all tasks at once, which small networks and accelerators want. Else so many at a time,
        one group after the other, and their gradients are added up: memory is that of one group. On a CPU convolutions
        are fastest one task at a time. The number of tasks must be a multiple of it.
    """

    def at_once(data: Any, params: Params, keys: Array, step: Array) -> tuple[Params, Metrics]:
        learnt, fixed = split_fixed(params)

        def loss(learnt: Params) -> tuple[Array, Metrics]:
            return task_batch_loss(learner, sample, join_fixed(learnt, fixed), data, keys, step)

        return jax.grad(loss, has_aux=True)(learnt)

    def in_groups(data: Any, params: Params, keys: Array, step: Array) -> tuple[Params, Metrics]:
        groups = keys.reshape(together, -1).T  # so that a group of keys spread over devices is spread too

        def add(total: tuple[Params, Metrics], keys: Array) -> tuple[tuple[Params, Metrics], None]:
            return jax.tree.map(jnp.add, total, at_once(data, params, keys, step)), None

        shapes = jax.eval_shape(at_once, data, params, groups[0], step)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        total, _ = jax.lax.scan(add, zeros, groups)
        return jax.tree.map(lambda leaf: leaf / len(groups), total)

    return at_once if together is None else in_groups


def _train_step(
    gradient_of: Gradient,
    optimiser: optax.GradientTransformation,
    average: Callable,
    data: Any,
    state: TrainState,
    keys: Array,
) -> tuple[TrainState, Metrics]:
    """A step on the tasks that `keys` draw; `average` is of the gradient and the metrics over devices."""
    gradient, metrics = average(gradient_of(data, state.params, keys, state.step))
    learnt, fixed = split_fixed(state.params)
    updates, opt_state = optimiser.update(gradient, state.opt_state, learnt)
    params = join_fixed(optax.apply_updates(learnt, updates), fixed)
    return TrainState(state.step + 1, params, opt_state), metrics


def _check_spread(batch: int, devices: int, parallel: Parallel, together: int | None) -> None:
    """Raise TrainingError unless `batch` tasks can be spread over devices and groups."""
    if devices > jax.device_count():
        raise TrainingError(f"{devices} devices were asked for and there are {jax.device_count()}.")
    if batch % devices:
        raise TrainingError(f"{batch} tasks a step cannot be spread evenly over {devices} devices.")
    if together is not None and (batch // (devices if parallel == "pmap" else 1)) % together:
        raise TrainingError(f"{batch} tasks a step, on {devices} devices, are no multiple of {together}.")


def make_chunk(
    learner: Learner,
    sample: Callable,
    optimiser: optax.GradientTransformation,
    *,
    batch: int,
    length: int,
    devices: int = 1,
    parallel: Parallel = "jit",
    together: int | None = None,
) -> Chunk:
    """`length` meta-training steps of `batch` tasks as one compiled function (data, state, root) -> (state, metrics).

    With several devices the tasks of a batch are spread over them: by sharding the keys of a jitted step, or by
    `pmap` with an explicit mean of the gradients. `together` tasks are worked on at a time, see `task_batch_gradient`.
    The episodes, and so the result up to rounding, are the same.

    Raises:
      TrainingError: more devices than there are, or a batch that they, or `together`, do not divide.
    """
    _check_spread(batch, devices, parallel, together)
    gradient_of = task_batch_gradient(learner, sample, together)

    def chunk(spread: Callable, average: Callable, data: Any, state: TrainState, root: Array):
        def step(state: TrainState, _) -> tuple[TrainState, Metrics]:
            keys = spread(jax.random.split(jax.random.fold_in(root, state.step), batch))
            return _train_step(gradient_of, optimiser, average, data, state, keys)

        return jax.lax.scan(step, state, length=length)

    if parallel == "pmap":
        own = batch // devices

        def on_one_device(device: Array, data: Any, state: TrainState, root: Array):
            def spread(keys: Array) -> Array:
                return jax.lax.dynamic_slice_in_dim(keys, device * own, own)

            return chunk(spread, partial(jax.lax.pmean, axis_name="data"), data, state, root)

        everywhere = jax.pmap(
            on_one_device,
            axis_name="data",
            in_axes=(0, None, None, None),
            out_axes=None,
            devices=jax.devices()[:devices],
        )
        return partial(everywhere, jnp.arange(devices))
    mesh = Mesh(np.array(jax.devices()[:devices]), ("data",))
    everywhere = NamedSharding(mesh, PartitionSpec())
    by_task = NamedSharding(mesh, PartitionSpec("data"))
    return jax.jit(
        partial(chunk, lambda keys: jax.lax.with_sharding_constraint(keys, by_task), lambda pair: pair),
        in_shardings=everywhere,
        out_shardings=everywhere,
        donate_argnums=1,
    )


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


def fit(
    chunk: Chunk,
    tasks: Tasks,
    run: Run,
    *,
    root: Array,
    steps: int | None,
    validate: Callable[[Params], float],
    patience: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_chunk: Callable[[Run, Progress], None] = lambda run, progress: None,
) -> Run:
    """Train until `steps`, or until the validation value has not improved for `patience` steps, or until told to stop.

    Args:
      chunk: from `make_chunk`; `steps` should be a multiple of its length.
      tasks: where its episodes come from.
      run: where to go on from; `start` it, or restore it from a checkpoint.
      root: key of the whole run; the same on resuming.
      steps: total number of steps, those already in `run` included; None leaves the end to `stop`.
      validate: parameters -> value to minimise, for example RMSE on the validation tasks.
      patience: None trains to the end. The best parameters are kept either way.
      stop: asked before each chunk, for example whether the time is up.
      on_chunk: called after each chunk, to log and to save.

    Raises:
      TrainingError: the loss is not finite; lower the learning rates.
    """
    home = jax.devices()[0]
    # Copied, for chunks donate, and so destroy, the buffers of the state they are given; and placed as they are between
    # chunks, for inputs that are placed otherwise would compile again.
    run = jax.device_put(jax.tree.map(jnp.copy, run), home)
    if not np.isfinite(run.best_value):
        run = _keep_best(run, validate(run.state.params))
    while (steps is None or int(run.state.step) < steps) and not (_stalled(run, patience) or stop()):
        before = int(run.state.step)
        state, metrics = chunk(tasks.data, run.state, root)
        run = run._replace(state=jax.device_put(state, home))
        loss = float(metrics["loss"].mean())
        if not np.isfinite(loss):
            raise TrainingError(
                f"the training loss became {loss} between steps {before} and {int(run.state.step)}; lower the inner "
                "or the outer learning rate."
            )
        value = validate(run.state.params)
        run = _keep_best(run, value)
        on_chunk(run, Progress(int(run.state.step), loss, value))
    return run


def _stalled(run: Run, patience: int | None) -> bool:
    return patience is not None and int(run.state.step) - int(run.best_step) >= patience


def _keep_best(run: Run, value: float) -> Run:
    if not value < float(run.best_value):
        return run
    params = jax.tree.map(jnp.copy, run.state.params)
    return run._replace(best_params=params, best_value=jnp.float32(value), best_step=run.state.step + 0)
