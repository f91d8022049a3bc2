"""Which items to ask a new user about: by a score, the same for everybody, or by what an answer would tell.

A user's weights are w ~ N(0, I), a rating of item j is prior_j + phi_j . w + noise, as in `baselines/gp.py`. After some
answers the weights have a covariance C, and the errors to be expected over items of weight p add up to
    V(C) = sum_i p_i phi_i' C phi_i = tr(C M),    M = sum_i p_i phi_i phi_i'.
An answer about j makes C into C - C phi_j phi_j' C / (noise + phi_j' C phi_j) (Sherman and Morrison), so V falls by
    phi_j' C M C phi_j / (noise + phi_j' C phi_j).
`by_variance` asks for the item for which this fall, times the chance that the user can answer, is largest, again and
again: greedy V-optimal design (Chaloner and Verdinelli 1995, "Bayesian experimental design: a review", section 2.2;
A-optimal with M = I). What the answers are does not matter, for the variance of a Gaussian does not depend on them;
whether there was one does.

`by_score` asks down a list. MeLU's (Lee 2019, arXiv:1908.00413, section 3.3) is in `evidence_score`: an item is worth
asking about if many know it and if those who do are moved far by personalisation.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.types import Array, Examples, Learner, Params


class Asked(NamedTuple):
    """An interview. Where there was nothing left to ask about, the item is any and there is no answer."""

    items: Array  # [Q] int32, in order
    answered: Array  # [Q] float32, 1 where the user knew the item


class Design(NamedTuple):
    """What `by_variance` reckons with."""

    features: Array  # [I, D] phi, scaled so that the prior covariance of the weights is the identity
    noise: Array  # [I] variance of a rating around what the weights say
    target: Array  # [D, D] M
    chance: Array  # [I] that a user can answer; ones where all that may be asked about is known


def target_matrix(features: Array, weight: Array) -> Array:
    """M [D, D] of features [I, D] and the weight [I] of each item's error."""
    return jnp.matmul(features.T * weight, features, precision="highest")


def fall(design: Design, covariance: Array) -> Array:
    """[I] by how much V falls with an answer about each item, at a covariance [D, D]; in squared rating units."""
    moved = design.features @ covariance
    gain = jnp.sum((moved @ design.target) * moved, -1)
    return gain / (design.noise + jnp.sum(moved * design.features, -1))


def observe(covariance: Array, feature: Array, noise: Array) -> Array:
    """The covariance [D, D] after an answer about an item of features [D] and noise []."""
    direction = covariance @ feature
    return covariance - jnp.outer(direction, direction) / (noise + feature @ direction)


def by_variance(design: Design, askable: Array, known: Array, questions: int) -> Asked:
    """Ask where the variance is expected to fall most, after every answer anew.

    Args:
      design: of the items.
      askable: [I] 1 where the item may be asked about.
      known: [I] 1 where the user can answer.
      questions: Q.
    """

    def ask(carry: tuple[Array, Array], _) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        covariance, left = carry
        item = jnp.argmax(jnp.where(left > 0, design.chance * fall(design, covariance), -1.0))
        answered = left[item] * known[item]
        after = observe(covariance, design.features[item], design.noise[item])
        covariance = jnp.where(answered > 0, after, covariance)
        return (covariance, left.at[item].set(0.0)), (item.astype(jnp.int32), answered)

    start = jnp.eye(design.features.shape[1], dtype=design.features.dtype)
    return Asked(*jax.lax.scan(ask, (start, askable), length=questions)[1])


def by_score(score: Array, askable: Array, known: Array, questions: int) -> Asked:
    """Ask down the list of the askable items by score [I]; the rest as in `by_variance`."""
    _, items = jax.lax.top_k(jnp.where(askable > 0, score, -jnp.inf), questions)
    return Asked(items.astype(jnp.int32), askable[items] * known[items])


def personal_gradient(learner: Learner, params: Params, support: Examples) -> Array:
    """[] how far one inner step moves a user's weights, for a loss of 1 and up to the factor of the learning rate.

    The Frobenius norm of the gradient of the personalised weights, of the loss over its own size (MeLU, section 3.3:
    "unit error", so that users who are hard to predict do not count for more).

    Args:
      learner: one that adapts by a single step of gradient descent on the mean squared error, such as MeLU.
      params: of it.
      support: ratings of a user.
    """
    moved = jax.tree.map(jnp.subtract, learner.adapt(params, support), params)
    squared = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(moved))
    error = jnp.square(learner.predict(params, support.x) - support.y) * support.mask
    return jnp.sqrt(squared) / (jnp.sum(error) / jnp.sum(support.mask))


def evidence_score(train: Ratings, gradients: np.ndarray) -> np.ndarray:
    """[I] MeLU's score of an item: its popularity times the mean of its raters' `personal_gradient`, both over their
    largest.

    Args:
      train: the training ratings.
      gradients: [U] of its users.
    """
    raters = np.bincount(train.item, minlength=train.num_items)
    mean = np.bincount(train.item, gradients[train.user], train.num_items) / np.maximum(raters, 1)
    return raters / raters.max() * mean / mean.max()
