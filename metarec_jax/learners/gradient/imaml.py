"""MAML with an implicit gradient. Rajeswaran, Finn, Kakade and Levine 2019, arXiv:1909.04630.

The inner problem is a regularised fit near the initial weights theta (eqs. 3 and 4),
phi* = argmin over phi of L_support(phi) + lam / 2 |phi - theta|^2.
The meta-gradient follows from the condition that holds at phi*, grad L_support(phi*) + lam (phi* - theta) = 0, and not
from the steps that led there: d phi* / d theta = (I + H / lam)^-1, H the Hessian of L_support at phi* (lemma 1). The
product with the query's gradient is computed by conjugate gradients on Hessian-vector products. Nothing of the inner
steps is kept, so memory does not depend on their number, and any inner optimiser may be used.

Easily got wrong:
- The formula holds at the SOLUTION. With too few inner steps, or too few of conjugate gradients, the result is not the
  gradient of the loss. `lam` decides how many are enough: gradient descent gains a factor of about 1 - lr lam a step,
  and conjugate gradients of about (sqrt(c) - 1) / (sqrt(c) + 1) with c = 1 + (largest eigenvalue of H) / lam. How
  far off it is, a training logs as "residual", and warns.
- The network must be SMOOTH. With ReLU the best weights are often at a kink, where no slope is 0; gradient descent
  jumps over it and back, and no number of steps brings the residual down.
- phi* depends on more than theta: on the parameters that the inner loop leaves unchanged (tables of ids) and on the
  support, d phi* / d shared = -(H + lam I)^-1 d^2 L_support / d phi d shared. Here all of it comes from one equation
  (`jax.lax.custom_root`); the authors' code has no such parameters.
- H of a network may have negative eigenvalues, and conjugate gradients need a positive definite H + lam I. This is what
  `damping` is for.

Differs from the paper: the inner solver takes a fixed number of steps of plain gradient descent; the inner loss may
have a `prior_count` (see `maml`).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.scipy.sparse.linalg import cg

from metarec_jax.learners.gradient.inner_loop import descend
from metarec_jax.objectives import Objective
from metarec_jax.params import Free, Path, is_id_table, split_free
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Metrics, Params


def solve_by_conjugate_gradients(hessian: Callable[[Free], Free], right: Free, *, steps: int) -> Free:
    """x with hessian(x) = right, for a symmetric positive definite linear map.

    At most `steps` steps; fewer where the residual is down to rounding error. Unlike `cg` alone it can be transposed,
    so that it can be differentiated.
    """
    rounding = jnp.finfo(jnp.result_type(*jax.tree.leaves(right))).eps

    def solve(linear: Callable[[Free], Free], right: Free) -> Free:
        return cg(linear, right, maxiter=steps, tol=rounding)[0]

    return jax.lax.custom_linear_solve(hessian, right, solve, symmetric=True)


class _Problem(NamedTuple):
    """The inner problem of a task."""

    net: nn.Module
    objective: Objective
    prior_count: float
    shared: Callable[[Path], bool]

    def loss(self, params: Params, support: Examples, strength: float, free: Free) -> Array:
        """That of the support, and the pull of this strength to the initial weights (eq. 3)."""
        parts = split_free(params, self.shared)
        loss, _ = self.objective(self.net.apply({"params": parts.join(free)}, support.x), support, self.prior_count)
        moved = jax.tree.map(jnp.subtract, free, parts.free)
        return loss + strength / 2 * optax.tree.norm(moved, squared=True)

    def residual(self, params: Params, support: Examples, strength: float, fast: Fast) -> Array:
        """The norm of its slope at the weights of `fast`, over that at the initial ones; 0 where that is 0."""
        slope = jax.grad(partial(self.loss, params, support, strength))
        start, end = (optax.tree.norm(slope(split_free(whole, self.shared).free)) for whole in (params, fast))
        return end / jnp.maximum(start, 1e-12)


def imaml(
    net: nn.Module,
    objective: Objective,
    *,
    lam: float,
    lr: float,
    steps: int,
    cg_steps: int = 20,
    damping: float = 0.0,
    prior_count: float = 0.0,
    shared: Callable[[Path], bool] = is_id_table,
    optimiser: Callable[[float], optax.GradientTransformation] = optax.sgd,
) -> Learner:
    """iMAML. A metric of its loss, "residual", is the slope of the inner problem where the inner loop ends over that
    where it began: 0 at the solution, where the meta-gradient is exact.

    Args:
      net: Flax module from x of [N, ...] to outputs [N, ...].
      objective: masked loss of both loops, for example `objectives.squared_error`.
      lam: strength of the pull to the initial weights, in units of the objective per squared unit of a weight.
      lr: inner learning rate, below 2 / (lam + the largest eigenvalue of H) with plain gradient descent.
      steps: inner steps.
      cg_steps: maximal number of conjugate gradient steps.
      damping: added to lam in the derivative only, which is then (I + H / (lam + damping))^-1: biased, but stable.
      prior_count: as in `maml`.
      shared: which parameters the inner loop leaves unchanged, by path.
      optimiser: the inner optimiser for a learning rate. It is not differentiated.
    """

    problem = _Problem(net, objective, prior_count, shared)

    def init(key: Array, episode: Episode) -> Params:
        return net.init(key, episode.support.x)["params"]

    def adapt(params: Params, support: Examples) -> Fast:
        parts = split_free(params, shared)

        def solve(_, start: Free) -> Free:
            inner_loss = partial(problem.loss, params, support, lam)
            return descend(inner_loss, start, optimiser=optimiser(lr), steps=steps)[0]

        # 0 at the solution; with damping, only its derivative is used
        optimality = jax.grad(partial(problem.loss, params, support, lam + damping))
        linear_solve = partial(solve_by_conjugate_gradients, steps=cg_steps)
        return parts.join(jax.lax.custom_root(optimality, parts.free, solve, linear_solve))

    def predict(fast: Fast, x) -> Array:
        return net.apply({"params": fast}, x)

    def loss(params: Params, episode: Episode, key: Array, step: Array | int = 0) -> tuple[Array, Metrics]:
        del key, step  # nothing is random, nothing changes in the course of training
        fast = adapt(params, episode.support)
        value, metrics = objective(predict(fast, episode.query.x), episode.query)
        residual = problem.residual(*jax.lax.stop_gradient((params, episode.support)), lam, jax.lax.stop_gradient(fast))
        return value, metrics | {"residual": residual}

    return Learner(init, adapt, predict, loss)
