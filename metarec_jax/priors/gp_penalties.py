"""How much to trust each group of side features: penalties of the population's weights by cross-validation.

Thousands of columns of names beside a dozen of genres want penalties of their own. Here those of a group share one, and
what decides is how well the features of training users who were left out foretell their ratings, which is what the
weights are for. (The marginal likelihood would need no folds, but it trusts features that tell nothing of a new user:
its model has no place for what the training users share by chance.) A group must earn its place: where it is not better
than no such group by one standard error over the users (Breiman et al. 1984, "Classification and Regression Trees",
section 3.4.3), it is left out, that is, its penalty is the highest there is.
"""

from typing import NamedTuple

import numpy as np

from metarec_jax.data.table import Ratings
from metarec_jax.ops.least_squares import normal_equations
from metarec_jax.priors.gp_population import Users, population_target, solve_population

FOLDS = 5
BOUNDS = (0.2, 2e4)  # of a penalty, in training users
FACTORS = (5.0, 2.0)  # steps of the search, the coarse first
LEAST_GAIN = 1e-5  # in squared rating units; below it the penalty that was there stays
MOST_RATINGS = 10  # a user with more counts as if they had so many, as in evaluation


class Fold(NamedTuple):
    """Users to learn from, and what is needed to score their answer on those left out."""

    users: Users
    target: np.ndarray  # [1 + G, D] right-hand side of the former's equation
    features: np.ndarray  # [V, 1 + G] of those left out
    gram: np.ndarray  # [V, D, D] Phi_v^T Phi_v, weighted
    moment: np.ndarray  # [V, D] Phi_v^T (r_v - mean_v), weighted


def group_penalties(
    train: Ratings, users: Users, phi: np.ndarray, mean: np.ndarray, start: float, seed: int = 0
) -> np.ndarray:
    """[1 + G] penalties of the population's weights, the intercept's first; the columns of a group share one.

    Coordinate descent on a grid: one group after another is moved by a factor, up or down, as long as that is better.

    Args:
      train: the training ratings; what stands before "=" in the name of a user feature is its group.
      users: the evidence of the training users, under the features and noise that are kept.
      phi: [I, D] the items' features.
      mean: [I] their expected ratings.
      start: the penalty to start from, in users; the intercept keeps it.
      seed: of the folds.
    """
    groups, index = np.unique(
        ["", *(name.partition("=")[0] for name in train.user_features.names)], return_inverse=True
    )
    folds = make_folds(train, users, phi, mean, seed)
    reg = _descend(folds, index, np.full(len(groups), start))
    chosen = foretold(folds, reg[index])
    for group in range(1, len(groups)):
        without = np.where(np.arange(len(groups)) == group, BOUNDS[1], reg)
        gain = foretold(folds, without[index]) - chosen
        if gain.sum() < np.sqrt(len(gain)) * gain.std():
            reg, chosen = without, chosen + gain
    return reg[index]


def _descend(folds: list[Fold], index: np.ndarray, reg: np.ndarray) -> np.ndarray:
    """The penalties of the groups [groups], the intercept's first, from where to start."""
    best = foretold(folds, reg[index]).sum()
    for factor in FACTORS:
        for group in range(1, len(reg)):
            for step in (factor, 1.0 / factor):
                first = reg[group]
                while BOUNDS[0] <= reg[group] * step <= BOUNDS[1]:
                    moved = np.where(np.arange(len(reg)) == group, reg * step, reg)
                    loss = foretold(folds, moved[index]).sum()
                    if loss > best - LEAST_GAIN:
                        break
                    reg, best = moved, loss
                if reg[group] != first:
                    break  # it was better that way, so the other way is known to be worse
    return reg


def make_folds(train: Ratings, users: Users, phi: np.ndarray, mean: np.ndarray, seed: int) -> list[Fold]:
    """Each training user is left out once."""
    gram, moment = normal_equations(phi, train.item, train.rating - mean[train.item], train.user_offsets)
    count = np.diff(train.user_offsets)
    weight = (np.minimum(count, MOST_RATINGS) / np.maximum(count, 1)).astype(np.float32)
    weight /= np.sum(weight * count)
    gram, moment = gram * weight[:, None, None], moment * weight[:, None]
    place = np.random.default_rng(seed).permutation(train.num_users) % FOLDS
    folds = []
    for fold in range(FOLDS):
        left = place == fold
        rest = Users(*(leaf[~left] for leaf in users))
        folds.append(Fold(rest, population_target(rest), users.features[left], gram[left], moment[left]))
    return folds


def foretold(folds: list[Fold], reg: np.ndarray) -> np.ndarray:
    """[U] squared error of what features foretell of users left out, less that of `mean` alone; it sums to a mean.

    Of a user with prior weights m it is m^T gram m - 2 m . moment.
    """
    errors = []
    for fold in folds:
        m = fold.features @ solve_population(fold.users, reg, fold.target, rtol=1e-3)
        errors.append(np.sum(m * ((fold.gram @ m[:, :, None])[:, :, 0] - 2.0 * fold.moment), 1))
    return np.concatenate(errors)
