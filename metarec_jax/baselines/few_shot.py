"""Four few-shot classifiers on precomputed features: nearest mean, refined mean, nearest neighbour, logistic
regression.

Nothing is meta-learnt but the mean of the training classes' features. Subtracting it and scaling rows to length 1
before taking the nearest class mean is SimpleShot (Wang et al. 2019, arXiv:1911.04623), which came close to the
meta-learners of its time; all four methods have these two settings. `refined_mean` is TRANSDUCTIVE, to compare with
transductive learners; the predictions of the others for a query do not depend on the other queries.
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
_ROWS = 1024  # examples in a block


def nearest_mean(read: Read, *, ways: int) -> Baseline:
    """The class whose support mean is nearest in Euclidean distance. `fit` has the settings of `prepare`.

    Outputs [N, ways] order the classes by distance, the nearest first.

    Args:
      read: x of [N, ...] -> features [N, F].
      ways: number of classes.
    """

    def adapt(params: Params, support: Examples) -> Fast:
        sums, counts = class_sums(embed(read, params, support.x), support.y, support.mask, ways)
        return {"params": params, "means": sums / jnp.maximum(counts, 1.0)[:, None], "empty": counts == 0}

    def predict(fast: Fast, x: Any) -> Array:
        return jnp.where(fast["empty"], -jnp.inf, _nearness(embed(read, fast["params"], x), fast["means"]))

    return Baseline(partial(prepare, read), adapt, predict, "class")


def refined_mean(read: Read, *, ways: int, steps: int = 3) -> Baseline:
    """`nearest_mean` with means refined on the unlabelled queries by soft k-means, see `learners.refined_protonet`.

    `fit` has the settings of `prepare`, and sharpness and balance of the assignment.

    Args:
      read, ways: see `nearest_mean`.
      steps: number of steps of soft k-means.
    """

    def fit(train: Classes, sharpness: float = 1.0, balance: float = 0.0, **settings: bool) -> Params:
        numbers = {"sharpness": jnp.float32(sharpness), "balance": jnp.float32(balance)}
        return prepare(read, train, **settings) | numbers

    def adapt(params: Params, support: Examples) -> Fast:
        sums, counts = class_sums(embed(read, params, support.x), support.y, support.mask, ways)
        return {"params": params, "sums": sums, "counts": counts}

    def predict(fast: Fast, x: Any) -> Array:
        rows, counts = embed(read, fast["params"], x), fast["counts"]
        refinement = Refinement(fast["params"]["sharpness"], balance=fast["params"]["balance"])
        means = refine(fast["sums"], counts, rows, refinement, steps)
        return assignment(refinement.sharpness * _nearness(rows, means), counts, refinement.balance)

    return Baseline(fit, adapt, predict, "class")


def nearest_neighbour(read: Read, *, ways: int) -> Baseline:
    """The class of the nearest support example. Arguments are those of `nearest_mean`; outputs [N, ways] order the
    classes by the distance to their nearest example."""

    def adapt(params: Params, support: Examples) -> Fast:
        return {"params": params, "rows": embed(read, params, support.x), "y": support.y, "mask": support.mask}

    def predict(fast: Fast, x: Any) -> Array:
        near = _nearness(embed(read, fast["params"], x), fast["rows"])
        member = (fast["y"][:, None] == jnp.arange(ways)) & (fast["mask"][:, None] > 0)
        return jnp.max(jnp.where(member, near[:, :, None], -jnp.inf), 1)

    return Baseline(partial(prepare, read), adapt, predict, "class")


def logistic_regression(read: Read, *, ways: int, steps: int = 100) -> Baseline:
    """Multinomial logistic regression on the support, without an intercept; outputs are logits [N, ways].

    Minimises the sum of the cross-entropies plus penalty / 2 times the squared weights (C = 1 / penalty in
    scikit-learn); `fit` has the settings of `prepare` and this penalty. The weights are combinations of the support's
    rows, W = X' A, so the unknown is A [S, ways], with K = X X'. A step is Newton's with an upper bound instead of the
    Hessian (Boehning 1992, "Multinomial logistic regression algorithm"):
    A - (K / 2 + penalty I)^-1 (P - Y + penalty A). The loss never increases, and the matrix is the same in every step.

    Args:
      read, ways: see `nearest_mean`.
      steps: number of steps of the solver.
    """

    def fit(train: Classes, penalty: float = 1.0, **settings: bool) -> Params:
        return prepare(read, train, **settings) | {"penalty": jnp.float32(penalty)}

    def adapt(params: Params, support: Examples) -> Fast:
        mask, penalty = support.mask[:, None], params["penalty"]
        rows = embed(read, params, support.x) * mask
        gram = rows @ rows.T
        targets = jax.nn.one_hot(support.y, ways) * mask
        inverse = jnp.linalg.inv(0.5 * gram + penalty * jnp.eye(len(gram)))

        def step(weights: Array, _: None) -> tuple[Array, None]:
            residual = jax.nn.softmax(gram @ weights, -1) * mask - targets + penalty * weights
            return weights - inverse @ residual, None

        weights, _ = jax.lax.scan(step, jnp.zeros_like(targets), length=steps)
        return {"params": params, "weights": rows.T @ weights}

    def predict(fast: Fast, x: Any) -> Array:
        return embed(read, fast["params"], x) @ fast["weights"]

    return Baseline(fit, adapt, predict, "class")


def _nearness(x: Array, points: Array) -> Array:
    """[N, M] 2 x . m - |m|^2 for x [N, F] and points m [M, F]; the largest is that of the nearest point."""
    return 2.0 * x @ points.T - jnp.sum(jnp.square(points), -1)


def prepare(read: Read, train: Classes, centred: bool = False, unit_length: bool = False) -> Params:
    """The preprocessing of features, as arrays, so that one compiled program serves all settings.

    Args:
      read: x of [N, ...] -> features [N, F].
      train: the classes.
      centred: subtract the mean of the training classes' features.
      unit_length: then scale rows to length 1.
    """
    mean = mean_features(read, train)
    return {"mean": mean if centred else jnp.zeros_like(mean), "unit_length": jnp.bool_(unit_length)}


def embed(read: Read, params: Params, x: Any) -> Array:
    """The features [N, F] of x, preprocessed as `prepare` says."""
    features = read(x) - params["mean"]
    return jnp.where(params["unit_length"], unit(features), features)


def mean_features(read: Read, classes: Classes) -> Array:
    """[F] mean of the features over all examples of the training classes."""
    rows = np.concatenate([np.arange(*classes.offsets[[c, c + 1]]) for c in classes.parts["train"]])
    summed = jax.jit(lambda x: jnp.sum(read(jax.tree.map(shown, x)), 0))
    sums = [
        summed(jax.tree.map(lambda leaf, block=rows[first : first + _ROWS]: leaf[block], classes.x))
        for first in range(0, len(rows), _ROWS)
    ]
    return sum(sums[1:], sums[0]) / len(rows)
