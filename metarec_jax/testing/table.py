"""The tables of properties: name, function, and what is wrong most often where one does not hold."""

from collections.abc import Callable
from typing import NamedTuple

from metarec_jax.testing import properties as p
from metarec_jax.testing.case import Case


class Property(NamedTuple):
    """A row of the tables."""

    name: str
    check: Callable[[Case], str]
    look_at: str
    applies: Callable[[Case], bool] = lambda case: True


def _has(part: str) -> Callable[[Case], bool]:
    return lambda case: getattr(case.method, part, None) is not None


MASKS = "what `adapt` sums over the support: multiply each term by `support.mask`, also in norms, means and softmax"
FRESH = "whether the parameters say anything: a head that starts at 0 does not. Hand in trained ones as `params`"
MAPPING: list[Property] = [  # of learners and baselines
    Property(
        "output is rating, score or class",
        p.output,
        "`output`: a rating is in the units of y, a score only orders, and a class has an output of its own",
    ),
    Property(
        "predictions are finite and of the query's length",
        p.predictions,
        "what `predict` returns: [N] for ratings y of [N], [N, C] for classes",
    ),
    Property("padding of the support is inert", p.padding, MASKS),
    Property(
        "order of the support is inert",
        p.order,
        "what `adapt` does with single rows, for example with the last one: a support is a set",
    ),
    Property(
        "an empty support gives finite predictions",
        p.empty_is_finite,
        "divisions by the number of examples, and maxima over none: K = 0 is the cold start",
    ),
    Property("an empty support is the same padded or without rows", p.empty_is_empty, MASKS),
    Property(
        "a batch of tasks under vmap and jit is each task on its own",
        p.vmap,
        "what `adapt` and `predict` use beside their arguments, and Python numbers made of arrays",
    ),
    Property(
        "updating one by one is adapting at once",
        p.update_is_exact,
        "`update`. One that takes steps on the newest examples alone is checked with stepwise=True",
        lambda case: case.method.update is not None and not case.stepwise,
    ),
    Property("padding in an update is inert", p.update_padding, MASKS, _has("update")),
    Property(
        "forgetting nothing changes nothing", p.forget_nothing, "`forget` where the share kept is 1", _has("forget")
    ),
]
LEARNER_PROPERTIES: list[Property] = [
    Property(
        "init gives a pytree of finite arrays",
        p.init,
        "what `init` returns: nested dicts of arrays, the same names and shapes for every key",
    ),
    *MAPPING,
    Property(
        "adaptation changes the predictions", p.adaptation, f"whether `predict` reads what was learnt, and {FRESH}"
    ),
    Property(
        "the loss is a finite scalar",
        p.loss,
        "what `loss` returns, (scalar, dict of scalars), and that it takes a step after the key",
    ),
    Property(
        "padding does not change the loss",
        p.loss_padding,
        "the masks of both support and query. One for which the queries of a task help each other is checked with "
        "transductive=True",
    ),
    Property(
        "the gradient of the loss is finite",
        p.gradient_is_finite,
        "roots and norms at 0, and `jnp.where` around what is infinite: its gradient is not a number",
    ),
    Property(
        "the gradient of the loss is that of finite differences",
        p.gradient_is_exact,
        f"`stop_gradient`, custom derivatives and float32 constants, and {FRESH}. A first-order rule is checked with "
        "exact_gradient=False",
        lambda case: case.exact_gradient,
    ),
    Property(
        "the variance is positive",
        p.variance_is_positive,
        "`variance`, which is [N] and holds the noise too",
        _has("variance"),
    ),
    Property(
        "the variance falls with more ratings",
        p.variance_falls,
        "`variance`. One of a network, which has to learn this, is checked with learnt_variance=True",
        lambda case: _has("variance")(case) and not case.learnt_variance,
    ),
]
BASELINE_PROPERTIES: list[Property] = [
    Property(
        "fit gives arrays, the same ones every time",
        p.fit_is_deterministic,
        "what `fit` returns, and random numbers in it without a seed",
    ),
    *MAPPING,
]
