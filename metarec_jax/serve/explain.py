"""Why a prediction is what it is: what each support rating does to it, by differentiating THROUGH adaptation.

Of any learner or baseline with `adapt` and `predict` whose outputs are ratings, for one task and N candidates:

- `influence_by_rating` is d prediction_n / d y_k, what a little more of rating k would do. Where predictions are linear
  in the ratings it is the whole truth: of a ridge head and of a Gaussian process
      prediction_n = prior_n + sum_k a_nk (y_k - prior_k),    a = Phi_n Phi' (Phi Phi' + noise I)^-1,
  it is a. A learner that takes ratings as classes (prototypes of rating levels) does not move with a little more of
  one: 0.
- `influence_by_weight` is d prediction_n / d w_k at w_k = 1, w_k the weight of example k. Minus it predicts, to first
  order, what leaving the example out does (w_k = 0): the influence function of Koh and Liang 2017 (arXiv:1703.04730,
  section 2.1), here of the adaptation as it is computed, with its few steps and its prior, and not of a minimum.
- `deletion_effect` is what leaving it out actually does.

A weight is what the `mask` is in this code: 1 is an example, 0 none, 2 the example twice; so it is in masked losses
(MAML and its kin), counts and sums (prototypes, neural processes, priors of choice), in `linear.py` (ridge heads,
ALPaCA, Gaussian processes) and in attention. Not in the deep kernel, whose Gram matrix is multiplied by the mask.
Where adaptation takes the plain mean of the support's losses (`prior_count` = 0), the weight of an only example
cancels: its influence is 0, and what leaving it out does is not predicted.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from metarec_jax.ops.batching import in_batches
from metarec_jax.types import Array, Baseline, Episode, Examples, Learner, Params

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def influence_by_rating(method: Learner | Baseline, params: Params, support: Examples, x) -> Array:
    """[N, K] d prediction of candidate n / d rating k of the support; 0 for padding."""

    def predictions(y: Array) -> Array:
        return method.predict(method.adapt(params, support._replace(y=y)), x)

    return _jacobian(predictions, jnp.asarray(support.y))


def influence_by_weight(method: Learner | Baseline, params: Params, support: Examples, x) -> Array:
    """[N, K] d prediction of candidate n / d weight of example k, in rating units: 0 for padding, whose weight is 0
    times anything."""

    def predictions(weight: Array) -> Array:
        return method.predict(method.adapt(params, support._replace(mask=weight * support.mask)), x)

    return _jacobian(predictions, jnp.ones(len(support.mask), support.mask.dtype))


def _jacobian(function: Callable[[Array], Array], point: Array) -> Array:
    """[N, K] of a function [K] -> [N], in as many passes as the smaller of the two."""
    rows = jax.eval_shape(function, point).shape[0]
    return (jax.jacfwd if rows > len(point) else jax.jacrev)(function)(point)


def deletion_effect(method: Learner | Baseline, params: Params, support: Examples, x) -> Array:
    """[N, K] how the prediction of candidate n moves when example k is left out, in rating units."""
    size = len(support.mask)
    kept = jnp.concatenate([jnp.ones((1, size)), 1.0 - jnp.eye(size)]).astype(support.mask.dtype)

    def predictions(kept: Array) -> Array:
        return method.predict(method.adapt(params, support._replace(mask=kept * support.mask)), x)

    predicted = jax.vmap(predictions)(kept)
    return (predicted[1:] - predicted[0]).T


class Explained(NamedTuple):
    """Predictions and what made them; with a leading [T] of several tasks."""

    prediction: Array  # [N]
    by_rating: Array  # [N, K]
    by_weight: Array  # [N, K]
    effect: Array  # [N, K] of leaving an example out


@partial(jax.jit, static_argnums=0, static_argnames="batch")
def explain_tasks(method: Learner | Baseline, params: Params, tasks: Episode, *, batch: int = 32) -> Explained:
    """All of the above for the query of every task.

    Args:
      method: anything with adapt and predict whose outputs are ratings.
      params: what it was trained or fitted to.
      tasks: leading [T] on every leaf.
      batch: tasks worked on at a time, which bounds the memory.
    """

    def one_task(task: Episode) -> Explained:
        asked = (method, params, task.support, task.query.x)
        prediction = method.predict(method.adapt(params, task.support), task.query.x)
        return Explained(prediction, influence_by_rating(*asked), influence_by_weight(*asked), deletion_effect(*asked))

    return in_batches(one_task, tasks, batch)


def reason(titles: Sequence[str], ratings: Sequence[float], influence: Sequence[float], limit: int = 2) -> str:
    """What a person is told: "because you gave A five stars and B one star, although you gave C four stars".

    Ratings that raise the prediction are named after "because", those that lower it after "although", the strongest
    first; what counts is what a rating does, not how high it is.

    Args:
      titles: [K] of what was rated.
      ratings: [K] in stars.
      influence: [K] of each on the prediction, for example by weight; 0 (padding) is never named.
      limit: at most so many ratings are named on either side.

    Returns:
      "" where no rating has an influence.
    """
    order = sorted(range(len(titles)), key=lambda k: -abs(influence[k]))
    parts = []
    for word, sign in (("because", 1), ("although", -1)):
        named = [f"{titles[k]} {stars(ratings[k])}" for k in order if sign * influence[k] > 0][:limit]
        if named:
            listed = " and ".join([", ".join(named[:-1]), named[-1]] if named[1:] else named)
            parts.append(f"{word} you gave {listed}")
    return ", ".join(parts)


def stars(rating: float) -> str:
    """A rating in words: "one star", "five stars", "3.5 stars"."""
    whole = float(rating).is_integer() and 0 <= rating < len(NUMBERS)
    return f"{NUMBERS[int(rating)] if whole else f'{rating:g}'} star{'s' * (rating != 1)}"
