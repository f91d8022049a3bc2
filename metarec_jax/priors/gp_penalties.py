"""Penalties of the population's weights for each group of side features, by cross-validation.

Thousands of columns of names and a dozen of genres need different penalties. Here the columns of a group have the same
penalty, and the criterion is the error of predicting the ratings of held-out training users from their features, which
is what the weights are for. (The marginal likelihood would need no folds, but it overfits: it trusts features that
predict nothing about a new user.) A group that does not lower the error by one standard error over the users, compared
with leaving it out (Breiman et al. 1984, "Classification and Regression Trees", section 3.4.3), is left out, that is,
gets the highest penalty.
"""

from typing import NamedTuple

import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.ops.least_squares import normal_equations
from metarec_jax.priors.gp_population import Users, population_target, solve_population

FOLDS = 5
BOUNDS = (0.2, 2e4)  # of a penalty, in training users
FACTORS = (5.0, 2.0)  # step sizes of the search, the coarse one first
LEAST_GAIN = 1e-5  # in squared rating units; a step that gains less is not made
MOST_RATINGS = 10  # a user with more ratings has the weight of so many, as in evaluation


class Fold(NamedTuple):
    """Training users, and statistics of the V held-out users for the error of predicting their ratings."""

    users: Users
    target: np.ndarray  # [1 + G, D] right-hand side of the training users' equation
    features: np.ndarray  # [V, 1 + G] of the held-out users
    gram: np.ndarray  # [V, D, D] Phi_v^T Phi_v, weighted
    moment: np.ndarray  # [V, D] Phi_v^T (r_v - mean_v), weighted


def group_penalties(
    train: Ratings, users: Users, phi: np.ndarray, mean: np.ndarray, start: float, seed: int = 0
) -> np.ndarray:
    """[1 + G] penalties of the population's weights, the intercept's first; the columns of a group have the same one.

    Coordinate descent on a grid: the penalty of one group after another is multiplied or divided by a factor as long as
    the error falls.

    Args:
      train: the training ratings; a user feature is called `group=value`.
      users: the evidence of the training users, under the final features and noise.
      phi: [I, D] the items' features.
      mean: [I] their expected ratings.
      start: the initial penalty, in users; the intercept keeps it.
      seed: of the folds.
    """
    groups, index = np.unique(
        ["", *(name.partition("=")[0] for name in train.user_features.names)], return_inverse=True
    )
    folds = make_folds(train, users, phi, mean, seed)
    reg = _descend(folds, index, np.full(len(groups), start))
    chosen = excess_errors(folds, reg[index])
    for group in range(1, len(groups)):
        without = np.where(np.arange(len(groups)) == group, BOUNDS[1], reg)
        gain = excess_errors(folds, without[index]) - chosen
        if gain.sum() < np.sqrt(len(gain)) * gain.std():
            reg, chosen = without, chosen + gain
    return reg[index]


def _descend(folds: list[Fold], index: np.ndarray, reg: np.ndarray) -> np.ndarray:
    """Penalties of the groups [groups], the intercept's first, by coordinate descent from the penalties `reg`."""
    best = excess_errors(folds, reg[index]).sum()
    for factor in FACTORS:
        for group in range(1, len(reg)):
            for step in (factor, 1.0 / factor):
                first = reg[group]
                while BOUNDS[0] <= reg[group] * step <= BOUNDS[1]:
                    moved = np.where(np.arange(len(reg)) == group, reg * step, reg)
                    loss = excess_errors(folds, moved[index]).sum()
                    if loss > best - LEAST_GAIN:
                        break
                    reg, best = moved, loss
                if reg[group] != first:
                    break  # this direction was better, so the other one is worse
    return reg


def make_folds(train: Ratings, users: Users, phi: np.ndarray, mean: np.ndarray, seed: int) -> list[Fold]:
    """The folds; each training user is held out in one of them. For the arguments see `group_penalties`."""
    gram, moment = normal_equations(phi, train.item, train.rating - mean[train.item], train.user_offsets)
    count = np.diff(train.user_offsets)
    weight = (np.minimum(count, MOST_RATINGS) / np.maximum(count, 1)).astype(np.float32)
    weight /= np.sum(weight * count)
    gram, moment = gram * weight[:, None, None], moment * weight[:, None]
    fold_of_user = np.random.default_rng(seed).permutation(train.num_users) % FOLDS
    folds = []
    for fold in range(FOLDS):
        held_out = fold_of_user == fold
        training = Users(*(leaf[~held_out] for leaf in users))
        folds.append(
            Fold(training, population_target(training), users.features[held_out], gram[held_out], moment[held_out])
        )
    return folds


def excess_errors(folds: list[Fold], reg: np.ndarray) -> np.ndarray:
    """[U] squared error of predicting held-out users from their features, less that of predicting `mean`.

    Entries are weighted so that their sum is the weighted mean over ratings. For a user with prior weights m the entry
    is m^T gram m - 2 m . moment.
    """
    errors = []
    for fold in folds:
        m = fold.features @ solve_population(fold.users, reg, fold.target, rtol=1e-3)
        errors.append(np.sum(m * ((fold.gram @ m[:, :, None])[:, :, 0] - 2.0 * fold.moment), 1))
    return np.concatenate(errors)
