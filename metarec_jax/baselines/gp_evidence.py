"""How much to trust each group of side features: penalties of the population's weights by marginal likelihood.

Thousands of columns of names beside a dozen of genres want penalties of their own. Here those of a group share one,
chosen by MacKay's fixed point (1992, "Bayesian Interpolation", eq. 4.9): M_g ~ N(0, 1 / reg_g) gives
    reg_g = gamma_g / |M_g|^2,    gamma_g = n_g - reg_g trace_g(A^-1),
with n_g the weights in the group, A the system that `gp_population.population_weights` solves, and gamma_g how many of
the weights the data fix. The trace is estimated by random signs (Hutchinson 1990), a solve each.
"""

import numpy as np

from metarec_jax.baselines.gp_population import Users, population_target, solve_population

STEPS, PROBES = 6, 2
BOUNDS = (0.3, 1e4)  # of a penalty, in training users


def group_penalties(users: Users, names: tuple[str, ...], start: float, seed: int = 0) -> np.ndarray:
    """[1 + G] penalties of the population's weights, the intercept's first; the columns of a group share one.

    Args:
      users: the evidence of the training users, under the features and noise that are kept.
      names: of the G user features, `group=value`.
      start: the penalty to start from, in users.
      seed: of the random signs.
    """
    groups, index = np.unique(["", *(name.partition("=")[0] for name in names)], return_inverse=True)
    shape = (users.features.shape[1], users.evidence.shape[1])
    size = np.bincount(index) * shape[1]
    target, rng = population_target(users), np.random.default_rng(seed)
    reg = np.full(len(groups), start)
    for _ in range(STEPS):
        weights = solve_population(users, reg[index], target)
        trace = np.zeros(len(groups))
        for _ in range(PROBES):
            signs = rng.choice((-1.0, 1.0), shape)
            found = solve_population(users, reg[index], signs, rtol=1e-2)
            trace += np.bincount(index, np.sum(signs * found, 1)) / PROBES
        fixed = np.clip(size - reg * trace, 1e-3, size)
        reg = np.clip(fixed / (np.bincount(index, np.sum(weights**2, 1)) + 1e-12), *BOUNDS)
    return reg[index]
