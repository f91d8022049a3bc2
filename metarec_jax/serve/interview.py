"""Which items to ask a new user about: by a score, the same for everybody, or by what an answer is expected to tell.

A user's weights are w ~ N(0, I), a rating of item j is prior_j + phi_j . w + noise, as in `baselines/gp.py`. After some
answers the weights have a covariance C, and the squared errors to be expected over items of weight p add up to
    V(C) = sum_i p_i phi_i' C phi_i = tr(C M),    M = sum_i p_i phi_i phi_i'.
An answer about j makes C into C - C phi_j phi_j' C / (noise + phi_j' C phi_j) (Sherman and Morrison) and reduces V by
    phi_j' C M C phi_j / (noise + phi_j' C phi_j).
`by_variance` asks for the item for which this reduction, times the chance that the user can answer, is largest, again
and again: greedy V-optimal design (Chaloner and Verdinelli 1995, "Bayesian experimental design: a review", section 2.2;
A-optimal with M = I). What the answers are does not matter, for the variance of a Gaussian does not depend on them;
whether there was one does. It also tells what else the user knows, by the same algebra (`Familiarity`): somebody
knows item j if fraction_j + psi_j . z + noise is 1 and not 0, z ~ N(0, I) a user, and every question, answered or not,
gives a posterior of z; its mean gives the chance of an answer about j, fraction_j + psi_j . z.

`by_score` asks down a list. MeLU's (Lee et al. 2019, arXiv:1908.00413, section 3.3) is in `evidence_score`: an item is
worth asking about if many know it and if those who do are moved far by personalisation.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg

from metarec_jax.data.table import Ratings
from metarec_jax.priors.gp import fitted_gp, fitted_noise
from metarec_jax.tasks.episodes import episodes
from metarec_jax.tasks.splits import held_out
from metarec_jax.types import Array, Baseline, Examples, Learner, Params

LEAST = 1e-3  # chance of an answer, and variance of whether an item is known
PROCESS = {"rank": 32, "shrink": 50.0, "reg_population": 60.0, "reg_by_group": False}  # as ridge and alpaca start
FAMILIARITY_RANK = 16  # of 4, 16 and 32, by the same error as in `fit_design`
SUPPORT = 20  # ratings of a training user that MeLU's gradient is taken of


class Interview(NamedTuple):
    """An interview. Where there was nothing left to ask about, the item is any and there is no answer."""

    items: Array  # [Q] int32, in order
    answered: Array  # [Q] float32, 1 where the user knew the item


class Familiarity(NamedTuple):
    """What people know, and what this tells of what else they know."""

    fraction: Array  # [I] of the users who know an item
    loadings: Array  # [I, R] psi
    noise: Array  # [I] variance of 0 or 1 around fraction + psi . z


class Design(NamedTuple):
    """What `by_variance` computes with."""

    features: Array  # [I, D] phi, scaled so that the prior covariance of the weights is the identity
    noise: Array  # [I] variance of a rating around what the weights say
    target: Array  # [D, D] M
    familiarity: Familiarity


def all_known(items: int) -> Familiarity:
    """Of users who know all that they may be asked about."""
    return Familiarity(jnp.ones(items), jnp.zeros((items, 0)), jnp.ones(items))


def fit_familiarity(train: Ratings, rank: int) -> Familiarity:
    """Of the training users, by a truncated singular value decomposition of who rated what less the fractions."""
    ones = np.ones(len(train.item), np.float32)
    table = scipy.sparse.csr_matrix((ones, (train.user, train.item)), shape=(train.num_users, train.num_items))
    fraction = np.asarray(table.mean(0)).ravel()
    centred = scipy.sparse.linalg.LinearOperator(
        table.shape,
        matvec=lambda x: table @ x - fraction @ x,
        rmatvec=lambda x: table.T @ x.ravel() - fraction * x.sum(),  # x is [U] or [U, 1]
        dtype=np.float64,
    )
    _, values, rows = scipy.sparse.linalg.svds(centred, k=min(rank, min(table.shape) - 1), random_state=0)
    loadings = rows.T * values / np.sqrt(train.num_users)
    noise = np.maximum(fraction * (1.0 - fraction) - np.sum(loadings**2, 1), LEAST)
    return Familiarity(*(jnp.asarray(part, jnp.float32) for part in (fraction, loadings, noise)))


def fit_design(train: Ratings, *, all_answered: bool) -> Design:
    """A Gaussian process fitted to the training users, and what they know.

    All items of the catalogue weigh the same, and an item's noise is its own: of the weights raters^0, raters^0.5 and
    raters^1, each with the noise of all and its own, this was best on the validation users of MovieLens-100K and -1M
    over both sets of items that may be asked about (error of a Gaussian process after five questions, summed).

    Args:
      train: the training ratings.
      all_answered: whether everybody knows all that they may be asked about.
    """
    fitted = fitted_gp(train, **PROCESS)
    phi, noise = fitted["phi"], fitted["noise"] * jnp.asarray(fitted_noise(train, **PROCESS))
    familiarity = all_known(len(phi)) if all_answered else fit_familiarity(train, FAMILIARITY_RANK)
    return Design(phi, noise, target_matrix(phi, jnp.ones(len(phi)) / len(phi)), familiarity)


def target_matrix(features: Array, weight: Array) -> Array:
    """M [D, D] of features [I, D] and the weight [I] of each item's error."""
    return jnp.matmul(features.T * weight, features, precision="highest")


def variance_reduction(design: Design, covariance: Array) -> Array:
    """[I] by how much an answer about each item reduces V, at a covariance [D, D]; in squared rating units."""
    moved = design.features @ covariance
    gain = jnp.sum((moved @ design.target) * moved, -1)
    return gain / (design.noise + jnp.sum(moved * design.features, -1))


def observe(covariance: Array, feature: Array, noise: Array) -> Array:
    """The covariance [D, D] after an answer about an item of features [D] and noise []."""
    direction = covariance @ feature
    return covariance - jnp.outer(direction, direction) / (noise + feature @ direction)


def by_variance(design: Design, askable: Array, known: Array, questions: int) -> Interview:
    """Ask where the variance is expected to be reduced most, after every question anew.

    Args:
      design: of the items.
      askable: [I] 1 where the item may be asked about.
      known: [I] 1 where the user can answer; read for the items that are asked about only.
      questions: Q.
    """
    features, noise, familiarity = design.features, design.noise, design.familiarity

    def ask(carry: tuple[Array, ...], _) -> tuple[tuple[Array, ...], tuple[Array, Array]]:
        left, covariance, z_mean, z_covariance = carry
        chance = jnp.clip(familiarity.fraction + familiarity.loadings @ z_mean, LEAST, 1.0)
        item = jnp.argmax(jnp.where(left > 0, chance * variance_reduction(design, covariance), -1.0))
        answered = left[item] * known[item]
        after = observe(covariance, features[item], noise[item])
        psi, psi_noise = familiarity.loadings[item], familiarity.noise[item]
        gain = z_covariance @ psi / (psi_noise + psi @ z_covariance @ psi)
        z_mean = z_mean + gain * (answered - familiarity.fraction[item] - psi @ z_mean)
        state = (left.at[item].set(0.0), jnp.where(answered > 0, after, covariance), z_mean)
        return (*state, observe(z_covariance, psi, psi_noise)), (item.astype(jnp.int32), answered)

    dim, rank, kind = features.shape[1], familiarity.loadings.shape[1], features.dtype
    start = (askable, jnp.eye(dim, dtype=kind), jnp.zeros(rank, kind), jnp.eye(rank, dtype=kind))
    return Interview(*jax.lax.scan(ask, start, length=questions)[1])


def by_score(score: Array, askable: Array, known: Array, questions: int) -> Interview:
    """Ask down the list of the askable items by score [I]; the rest as in `by_variance`."""
    _, items = jax.lax.top_k(jnp.where(askable > 0, score, -jnp.inf), questions)
    return Interview(items.astype(jnp.int32), askable[items] * known[items])


@partial(jax.jit, static_argnums=3)
def all_by_variance(design: Design, askable: Array, known: Array, questions: int) -> Interview:
    """`by_variance` of many users: askable and known are [T, I]."""

    def one_user(user: tuple[Array, Array]) -> Interview:
        return by_variance(design, *user, questions)

    return jax.lax.map(one_user, (askable, known), batch_size=min(16, len(known)))


@partial(jax.jit, static_argnums=3)
def all_by_score(scores: Array, askable: Array, known: Array, questions: int) -> Interview:
    """`by_score` of many users: scores, askable and known are [T, I]."""
    return jax.vmap(partial(by_score, questions=questions))(scores, askable, known)


def personal_gradient(learner: Learner | Baseline, params: Params, support: Examples) -> Array:
    """[] how far one inner step moves a user's weights, for a loss of 1 and up to the factor of the learning rate.

    The Frobenius norm of the gradient of the personalised weights, of the loss over its own size (MeLU, section 3.3:
    "unit error", so that users who are hard to predict do not count for more).

    Args:
      learner: one that adapts by a single step of gradient descent on the mean squared error, such as MeLU.
      params: of it.
      support: ratings of a user.
    """
    start = learner.adapt(params, support._replace(mask=jnp.zeros_like(support.mask)))
    moved = jax.tree.map(jnp.subtract, learner.adapt(params, support), start)
    squared = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(moved))
    error = jnp.square(learner.predict(start, support.x) - support.y) * support.mask
    return jnp.sqrt(squared) / (jnp.sum(error) / jnp.sum(support.mask))


def personal_gradients(train: Ratings, learner: Learner | Baseline, params: Params) -> np.ndarray:
    """[U] `personal_gradient` of every training user, from at most `SUPPORT` ratings."""
    everybody = held_out(train, np.ones(train.num_users, bool), seed=0, query=0, order="random")
    everybody = everybody._replace(support=everybody.support[:, :SUPPORT])
    return np.asarray(_personal_gradients(learner, params, episodes(train, everybody, None)[0].support))


@partial(jax.jit, static_argnums=0)
def _personal_gradients(learner: Learner | Baseline, params: Params, supports: Examples) -> Array:
    return jax.lax.map(partial(personal_gradient, learner, params), supports, batch_size=min(64, len(supports.y)))


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
