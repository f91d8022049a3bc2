"""The properties, each a function of a case that returns what is wrong with it, or nothing."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.testing.case import PADDING, Case, not_finite, rows_of

CHANGE = 1e-3  # predictions that adaptation moves by less are taken as not moved
DIRECTIONS, STEP, SLOPE = 3, 1e-6, 1e-4  # finite differences in float64; a smaller slope says nothing


def init(case: Case) -> str:
    """`init` gives arrays, of the structure of the parameters that are checked."""
    made = case.make()
    if strays := _no_arrays(made):
        return f"Some parameters are no arrays but {strays}."
    if not jax.tree.leaves(made):
        return "There are no parameters."
    if jax.tree.map(jnp.shape, made) != jax.tree.map(jnp.shape, case.params):
        return "The parameters that were handed in have other names or shapes than those of `init`."
    return "Some are not finite." if not_finite((made, case.params)) else ""


def fit_is_deterministic(case: Case) -> str:
    """`fit` gives arrays, and the same ones again."""
    if strays := _no_arrays(case.params):
        return f"Some parameters are no arrays but {strays}."
    if not_finite(case.params):
        return "Some are not finite."
    first, second = jax.tree.leaves(case.params), jax.tree.leaves(case.make())
    same = len(first) == len(second) and all(map(np.array_equal, first, second))
    return "" if same else "A second call has other parameters."


def output(case: Case) -> str:
    """`output` is one of the words that the rest of the package knows."""
    return "" if case.method.output in ("rating", "score", "class") else f"`output` is {case.method.output!r}."


def predictions(case: Case) -> str:
    """Finite, and of the shape of y; of classes of the length of y."""
    outputs, y = case.predictions(case.episode.support), case.episode.query.y
    ratings = np.issubdtype(y.dtype, np.floating)  # integers are classes, of which each has an output
    if (outputs.shape if ratings else outputs.shape[:1]) != (y.shape if ratings else y.shape[:1]):
        return f"The shape of the predictions is {outputs.shape}, that of the query's y is {y.shape}."
    return "Some predictions are not finite." if not_finite(outputs) else ""


def padding(case: Case) -> str:
    """Rows with mask 0 after the support change no prediction."""
    return case.differ(case.predictions(case.padded_episode.support), case.predictions(case.episode.support))


def order(case: Case) -> str:
    """The support turned round, with padding in front, changes no prediction."""
    turned = rows_of(case.padded_episode.support, slice(None, None, -1))
    return case.differ(case.predictions(turned), case.predictions(case.episode.support))


def empty_is_finite(case: Case) -> str:
    """K = 0 has finite predictions, padded or not."""
    supports = {"padding only": case.masked, "no rows": case.no_rows}
    wrong = [name for name, support in supports.items() if not_finite(case.predictions(support))]
    return f"Some predictions are not finite where the support has {' or '.join(wrong)}." if wrong else ""


def empty_is_empty(case: Case) -> str:
    """What the rows of a masked support hold changes no prediction."""
    return case.differ(case.predictions(case.no_rows), case.predictions(case.masked), 0.05)


def adaptation(case: Case) -> str:
    """The support changes a prediction."""
    moved = np.abs(case.predictions(case.episode.support) - case.predictions(case.masked)).max()
    return "" if moved > CHANGE else f"No prediction moves by more than {moved:.3g}."


def vmap(case: Case) -> str:
    """Two tasks at once, one of them without ratings, are predicted as each on its own."""
    method, supports = case.method, (case.padded_episode.support, case.masked)

    def of_task(params, support, x):
        return method.predict(method.adapt(params, support), x)

    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *supports)
    together = jax.jit(jax.vmap(of_task, (None, 0, None)))(case.params, stacked, case.episode.query.x)
    return case.differ(together, np.stack([case.predictions(support) for support in supports]))


def loss(case: Case) -> str:
    """A finite scalar, with and without the training step, and metrics that are scalars."""
    value, metrics = case.loss(case.params, case.episode, case.key)
    plain, _ = jax.eval_shape(case.method.loss, case.params, case.episode, case.key)  # without the training step
    if value.shape or plain.shape:
        return f"The loss has shape {value.shape}."
    if any(jnp.shape(metric) for metric in metrics.values()):
        return "A metric is no scalar."
    return f"The loss is {float(value)}." if not_finite(value) else ""


def loss_padding(case: Case) -> str:
    """Rows with mask 0, of support and query, do not change the loss."""
    return case.differ(*(case.loss(case.params, task, case.key)[0] for task in (case.padded_episode, case.episode)))


def gradient_is_finite(case: Case) -> str:
    """With padding in the task, and without ratings."""
    loss_and_gradient, params, task = case.in_float64
    nothing = task.support._replace(mask=np.zeros(len(task.support.mask)))
    with jax.enable_x64(True):
        tasks = {"padding": task, "padding only": task._replace(support=nothing)}
        wrong = [name for name, each in tasks.items() if not_finite(loss_and_gradient(params, each)[1])]
    return f"It is not where the support has {' or '.join(wrong)}." if wrong else ""


def gradient_is_exact(case: Case) -> str:
    """Central differences along random directions, in float64."""
    loss_and_gradient, params, task = case.in_float64
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        # In numpy, where nothing has to be compiled for each shape.
        params, gradient = jax.tree.map(np.asarray, (params, loss_and_gradient(params, task)[1]))
        for _ in range(DIRECTIONS):
            direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), params)
            moved = (jax.tree.map(lambda leaf, d, by=by: leaf + by * d, params, direction) for by in (STEP, -STEP))
            ahead, behind = (loss_and_gradient(where, task)[0] for where in moved)
            slope = float(ahead - behind) / (2 * STEP)
            along = sum(np.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
            if abs(slope) < SLOPE:
                return f"The loss hardly changes along a random direction ({slope:.3g}), which says nothing."
            if not np.isclose(along, slope, rtol=1e-5, atol=0.0):
                return f"Along a random direction it is {along:.8g}, and the slope of the loss is {slope:.8g}."
    return ""


def update_is_exact(case: Case) -> str:
    """One row at a time, from no rows, ends in the predictions of `adapt`."""
    update, support = jax.jit(case.method.update), case.episode.support
    fast = case.adapt(case.params, case.no_rows)
    for row in range(len(support.mask)):
        fast = update(fast, rows_of(support, slice(row, row + 1)))
    return case.differ(case.answers(fast), case.predictions(support), 2.5)


def update_padding(case: Case) -> str:
    """Rows with mask 0 change no prediction."""
    nothing = rows_of(case.padded_episode.support, slice(-PADDING, None))
    fast = jax.jit(case.method.update)(case.adapt(case.params, case.episode.support), nothing)
    return case.differ(case.answers(fast), case.predictions(case.episode.support))


def forget_nothing(case: Case) -> str:
    """A kept share of 1 changes no prediction."""
    fast = jax.jit(case.method.forget)(case.adapt(case.params, case.episode.support), jnp.float32(1.0))
    return case.differ(case.answers(fast), case.predictions(case.episode.support))


def variance_is_positive(case: Case) -> str:
    """And [N], as the predictions."""
    variances = _variances(case)
    if {variance.shape for variance in variances} != {case.episode.query.mask.shape}:
        return f"Its shape is {variances[0].shape}."
    return "" if all((variance > 0).all() for variance in variances) else "It is not."


def variance_falls(case: Case) -> str:
    """From two ratings to all of them, for every candidate."""
    few, all_of_them = _variances(case)
    return "" if (all_of_them < few).all() else "After two ratings some are no larger than after all of them."


def _variances(case: Case) -> list[np.ndarray]:
    """[N] for the query, after the first two rows of the support and after all of it."""
    support, variance = case.episode.support, jax.jit(case.method.variance)
    few = support._replace(mask=support.mask * (np.arange(len(support.mask)) < 2))
    fasts = map(partial(case.adapt, case.params), (few, support))
    return [np.asarray(variance(fast, case.episode.query.x)) for fast in fasts]


def _no_arrays(tree) -> str:
    """The names of the types of the leaves that are no arrays."""
    leaves = jax.tree.leaves(tree)
    return ", ".join(sorted({type(leaf).__name__ for leaf in leaves if not isinstance(leaf, (jax.Array, np.ndarray))}))
