"""Fits of a Gaussian process (GP) in weight space to all training users: the population's mean weights, item features.

The model of user u with features f_u (a leading 1 included) and ratings r_u of items with features Phi_u:
    w_u ~ N(M^T f_u, I),    r_u = mean_u + Phi_u w_u + e,    e ~ N(0, noise).
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from metarec_jax.data.table import Ratings
from metarec_jax.ops.least_squares import normal_equations, solve_rows, sum_matrices
from metarec_jax.priors.statistics import rating_matrix


class Users(NamedTuple):
    """Statistics of U training users for the posterior of their weights."""

    features: np.ndarray  # [U, 1 + G] f_u
    cov: np.ndarray  # [U, D, D] posterior covariance (I + Phi_u^T Phi_u / noise)^-1
    evidence: np.ndarray  # [U, D] Phi_u^T (r_u - mean_u) / noise


def user_evidence(train: Ratings, phi: np.ndarray, mean: np.ndarray, noise: float) -> Users:
    """Statistics of every training user under item features `phi` [I, D], expected ratings `mean` [I] and noise
    variance `noise`."""
    gram, moment = normal_equations(phi, train.item, train.rating - mean[train.item], train.user_offsets)
    cov = np.linalg.inv(gram / np.float32(noise) + np.eye(phi.shape[1], dtype=np.float32))
    ones = np.ones((train.num_users, 1), np.float32)
    return Users(np.hstack([ones, train.user_features.values]), cov, moment / np.float32(noise))


def _times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """[U, D] products of the matrices [U, D, D] with the vectors [U, D]."""
    return (matrices @ vectors[:, :, None])[:, :, 0]


def population_weights(users: Users, reg: float | np.ndarray) -> np.ndarray:
    """M [1 + G, D] by generalised least squares with the users' deviations integrated out, plus reg |M|^2.

    With V_u = Phi_u Phi_u^T + noise I, M solves
        sum_u f_u f_u^T M (Phi_u^T V_u^-1 Phi_u) + reg M = sum_u f_u (Phi_u^T V_u^-1 (r_u - mean_u))^T,
    where Phi_u^T V_u^-1 Phi_u = I - cov_u and Phi_u^T V_u^-1 (r_u - mean_u) = cov_u evidence_u (Woodbury). `reg` is one
    penalty, or [1 + G], one for each row of M.
    """
    return solve_population(users, reg, population_target(users))


def population_target(users: Users) -> np.ndarray:
    """[1 + G, D] the right-hand side of the equation for M."""
    return users.features.T @ _times(users.cov, users.evidence)


def solve_population(users: Users, reg: float | np.ndarray, target: np.ndarray, rtol: float = 1e-5) -> np.ndarray:
    """[1 + G, D] solution of the equation for M with right-hand side `target` [1 + G, D].

    Conjugate gradients with a diagonal preconditioner, which do not form the matrix of size (1 + G) D. Features that
    are mostly zeros (names of creators) are multiplied as a sparse matrix.
    """
    shape = target.shape
    penalty = np.broadcast_to(np.asarray(reg, np.float32), shape[:1])[:, None]
    features = users.features
    if np.count_nonzero(features) < 0.1 * features.size:
        features = scipy.sparse.csr_array(features)
    transposed = features.T.tocsr() if scipy.sparse.issparse(features) else features.T

    def system(flat: np.ndarray) -> np.ndarray:
        m = flat.reshape(shape).astype(np.float32)
        prior = features @ m
        return (transposed @ (prior - _times(users.cov, prior)) + penalty * m).ravel()

    squares = np.sum(users.features**2, 0)[:, None]
    known = 1.0 - np.einsum("udd->d", users.cov) / len(users.cov)  # mean diagonal of I - cov_u
    diagonal = (squares * known + penalty).ravel()
    size = shape[0] * shape[1]
    operator, preconditioner = (
        scipy.sparse.linalg.LinearOperator((size, size), matvec=product, dtype=np.float32)
        for product in (system, lambda flat: flat / diagonal)
    )
    solution, _ = scipy.sparse.linalg.cg(operator, target.ravel(), M=preconditioner, rtol=rtol, maxiter=500)
    return solution.reshape(shape)


def posterior_weights(users: Users, population: np.ndarray) -> np.ndarray:
    """[U, D] posterior means of the users' weights, with prior means from `population` [1 + G, D]."""
    return _times(users.cov, users.evidence + users.features @ population)


def em_step(
    train: Ratings, users: Users, population: np.ndarray, phi: np.ndarray, mean: np.ndarray, prior_ratings: float
) -> tuple[np.ndarray, float]:
    """One step of expectation maximisation of the marginal likelihood: new item features [I, D] and noise variance.

    Features from the item covariance fit the most active users best; this step fits them to the users' posteriors (as
    in Lawrence and Urtasun 2009, "Non-linear matrix factorization with Gaussian processes", and Yu et al. 2009,
    "Large-scale collaborative prediction using a nonparametric random effects model"). `prior_ratings` pseudo-ratings
    shrink each item's features to the present ones, so those of an item with few ratings hardly change.
    """
    dim = phi.shape[1]
    posterior = posterior_weights(users, population)
    residual, order = train.rating - mean[train.item], train.item_order
    gram, moment = normal_equations(posterior, train.user[order], residual[order], train.item_offsets)
    covariance_sums = sum_matrices(rating_matrix(train).T.tocsr(), users.cov)  # over the users who rated the item
    hold = np.float32(prior_ratings)
    new = solve_rows(gram + covariance_sums + hold * np.eye(dim, dtype=np.float32), moment + hold * phi)
    misfit = residual - np.sum(new[train.item] * posterior[train.user], axis=1)
    noise = (np.sum(misfit**2) + np.einsum("id,ide,ie->", new, covariance_sums, new)) / len(residual)
    return new, float(noise)


def item_noise(
    train: Ratings, users: Users, population: np.ndarray, phi: np.ndarray, mean: np.ndarray, prior_ratings: float
) -> np.ndarray:
    """[I] noise of an item's ratings: their variance around the users' posteriors, relative to that of all items.

    The GP assumes it to be 1. Users of the same taste disagree about some items, whose ratings thus say little about
    the taste. `prior_ratings` pseudo-ratings of variance 1 shrink the estimates of items with few ratings.
    """
    posterior = posterior_weights(users, population)
    misfit = train.rating - mean[train.item] - np.sum(phi[train.item] * posterior[train.user], axis=1)
    covariance_sums = sum_matrices(rating_matrix(train).T.tocsr(), users.cov)
    sums = np.bincount(train.item, misfit**2, train.num_items) + np.einsum("id,ide,ie->i", phi, covariance_sums, phi)
    count = np.bincount(train.item, minlength=train.num_items)
    usual = sums.sum() / len(misfit)
    return ((sums / usual + prior_ratings) / (count + prior_ratings)).astype(np.float32)
