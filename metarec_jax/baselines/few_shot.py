"""Classifiers on ready features, with nothing meta-learnt but the mean of the training classes' features.

Subtracting that mean and bringing rows to length 1 before taking the nearest class mean is SimpleShot, Wang et al.
2019, arXiv:1911.04623: it came near to the meta-learners of its time. All have these two as settings. `refined_mean` is
TRANSDUCTIVE, the rival of learners that are; the others say of a query what they would say of it alone.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.classes import Classes
from metarec_jax.learners.metric.protonet import class_sums
from metarec_jax.learners.metric.refined_protonet import Refinement, assignment, refine
from metarec_jax.ops.similarity import unit
from metarec_jax.tasks.n_way import shown
from metarec_jax.types import Array, Baseline, Examples, Fast, Params

Read = Callable[[Any], Array]  # x of [N, ...] as in an episode -> features [N, F]
_ROWS = 1024  # worked on at a time


def nearest_mean(read: Read, *, ways: int) -> Baseline:
    """The class with the nearest mean of its support, in Euclidean distance. `fit` has the settings of `prepare`.

    Outputs [N, ways] order the classes as minus the distances to their means do.

    Args:
      read: the features.
      ways: number of classes.
    """

    def adapt(params: Params, support: Examples) -> Fast:
        sums, counts = class_sums(embed(read, params, support.x), support.y, support.mask, ways)
        return {"params": params, "means": sums / jnp.maximum(counts, 1.0)[:, None], "empty": counts == 0}

    def predict(fast: Fast, x: Any) -> Array:
        return jnp.where(fast["empty"], -jnp.inf, _nearness(embed(read, fast["params"], x), fast["means"]))

    return Baseline(partial(prepare, read), adapt, predict, "class")


def refined_mean(read: Read, *, ways: int, steps: int = 3) -> Baseline:
    """`nearest_mean` with means that the queries, without their classes, have moved: see `learners.refined_protonet`.

    Args:
      read, ways: as of `nearest_mean`; `fit` has the settings of `prepare`, and the sharpness and the balance of the
        assignment.
      steps: of soft k-means.
    """

    def fit(train: Classes, sharpness: float = 1.0, balance: float = 0.0, **settings: bool) -> Params:
        numbers = {"sharpness": jnp.float32(sharpness), "balance": jnp.float32(balance)}
        return prepare(read, train, **settings) | numbers

    def adapt(params: Params, support: Examples) -> Fast:
        sums, counts = class_sums(embed(read, params, support.x), support.y, support.mask, ways)
        return {"params": params, "sums": sums, "counts": counts}

    def predict(fast: Fast, x: Any) -> Array:
        rows, counts = embed(read, fast["params"], x), fast["counts"]
        how = Refinement(fast["params"]["sharpness"], balance=fast["params"]["balance"])
        means = refine(fast["sums"], counts, rows, how, steps)
        return assignment(how.sharpness * _nearness(rows, means), counts, how.balance)

    return Baseline(fit, adapt, predict, "class")


def nearest_neighbour(read: Read, *, ways: int) -> Baseline:
    """The class of the nearest example of the support. Arguments and outputs are those of `nearest_mean`, m being the
    nearest example of the class."""

    def adapt(params: Params, support: Examples) -> Fast:
        return {"params": params, "rows": embed(read, params, support.x), "y": support.y, "mask": support.mask}

    def predict(fast: Fast, x: Any) -> Array:
        near = _nearness(embed(read, fast["params"], x), fast["rows"])
        member = (fast["y"][:, None] == jnp.arange(ways)) & (fast["mask"][:, None] > 0)
        return jnp.max(jnp.where(member, near[:, :, None], -jnp.inf), 1)

    return Baseline(partial(prepare, read), adapt, predict, "class")


def logistic_regression(read: Read, *, ways: int, steps: int = 100) -> Baseline:
    """Multinomial logistic regression of the support, without a constant term; outputs are logits [N, ways].

    Minimises the sum of the cross-entropies plus penalty / 2 times the squared weights (C = 1 / penalty in
    scikit-learn); `fit` has the settings of `prepare` and this penalty. The weights are combinations of the support's
    rows, W = X' A, so what is solved for is A [S, ways], with K = X X'. A step is Newton's with the Hessian's upper
    bound in the place of the Hessian (Boehning 1992, "Multinomial logistic regression algorithm"):
    A - (K / 2 + penalty I)^-1 (P - Y + penalty A). It never goes up, and its matrix is the same in every step.

    Args:
      read, ways: as of `nearest_mean`.
      steps: of the solver.
    """

    def fit(train: Classes, penalty: float = 1.0, **settings: bool) -> Params:
        return prepare(read, train, **settings) | {"penalty": jnp.float32(penalty)}

    def adapt(params: Params, support: Examples) -> Fast:
        mask, penalty = support.mask[:, None], params["penalty"]
        rows = embed(read, params, support.x) * mask
        gram = rows @ rows.T
        wanted = jax.nn.one_hot(support.y, ways) * mask
        inverse = jnp.linalg.inv(0.5 * gram + penalty * jnp.eye(len(gram)))

        def step(weights: Array, _: None) -> tuple[Array, None]:
            residual = jax.nn.softmax(gram @ weights, -1) * mask - wanted + penalty * weights
            return weights - inverse @ residual, None

        weights, _ = jax.lax.scan(step, jnp.zeros_like(wanted), length=steps)
        return {"params": params, "weights": rows.T @ weights}

    def predict(fast: Fast, x: Any) -> Array:
        return embed(read, fast["params"], x) @ fast["weights"]

    return Baseline(fit, adapt, predict, "class")


def _nearness(x: Array, to: Array) -> Array:
    """[N, M] of x [N, F] to points [M, F]: 2 x . m - |m|^2, which orders them as minus the distances do."""
    return 2.0 * x @ to.T - jnp.sum(jnp.square(to), -1)


def prepare(read: Read, train: Classes, centred: bool = False, unit_length: bool = False) -> Params:
    """What is done to features: `centred` subtracts the mean of the training classes' features, and `unit_length` then
    brings rows to length 1. As arrays, so that all settings are one program."""
    mean = mean_features(read, train)
    return {"mean": mean if centred else jnp.zeros_like(mean), "unit_length": jnp.bool_(unit_length)}


def embed(read: Read, params: Params, x: Any) -> Array:
    """The features [N, F] of x, prepared."""
    features = read(x) - params["mean"]
    return jnp.where(params["unit_length"], unit(features), features)


def mean_features(read: Read, classes: Classes) -> Array:
    """[F] mean of the features over all examples of the training classes."""
    rows = np.concatenate([np.arange(*classes.offsets[[c, c + 1]]) for c in classes.parts["train"]])
    summed = jax.jit(lambda x: jnp.sum(read(jax.tree.map(shown, x)), 0))
    parts = [
        summed(jax.tree.map(lambda leaf, at=rows[first : first + _ROWS]: leaf[at], classes.x))
        for first in range(0, len(rows), _ROWS)
    ]
    return sum(parts[1:], parts[0]) / len(rows)
