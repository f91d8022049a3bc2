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
  and conjugate gradients of about (sqrt(c) - 1) / (sqrt(c) + 1) with c = 1 + (largest eigenvalue of H) / lam.
- phi* depends on more than theta: on the parameters that the inner loop leaves unchanged (tables of ids) and on the
  support, d phi* / d shared = -(H + lam I)^-1 d^2 L_support / d phi d shared. Here all of it comes from one equation
  (`jax.lax.custom_root`); the authors' code has no such parameters.
- H of a network may have negative eigenvalues, and conjugate gradients need a positive definite H + lam I. This is what
  `damping` is for.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.scipy.sparse.linalg import cg

from metarec_jax.learners.gradient.inner_loop import descend
from metarec_jax.objectives import Objective, query_loss
from metarec_jax.params import Free, Path, is_id_table, split_free
from metarec_jax.types import Array, Episode, Examples, Fast, Learner, Params


def solve_by_conjugate_gradients(hessian: Callable[[Free], Free], right: Free, *, steps: int) -> Free:
    """x with hessian(x) = right, for a symmetric positive definite linear map.

    At most `steps` steps; fewer where the residual is down to rounding error. Unlike `cg` alone it can be transposed,
    so that it can be differentiated.
    """
    rounding = jnp.finfo(jnp.result_type(*jax.tree.leaves(right))).eps

    def solve(linear: Callable[[Free], Free], right: Free) -> Free:
        return cg(linear, right, maxiter=steps, tol=rounding)[0]

    return jax.lax.custom_linear_solve(hessian, right, solve, symmetric=True)


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
    """iMAML.

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

    def init(key: Array, episode: Episode) -> Params:
        return net.init(key, episode.support.x)["params"]

    def adapt(params: Params, support: Examples) -> Fast:
        parts = split_free(params, shared)

        def inner_loss(free: Free) -> Array:
            return objective(net.apply({"params": parts.join(free)}, support.x), support, prior_count)[0]

        def regularised(free: Free) -> Array:
            moved = jax.tree.map(jnp.subtract, free, parts.free)
            return inner_loss(free) + lam / 2 * optax.tree.norm(moved, squared=True)

        def optimality(free: Free) -> Free:  # 0 at the solution; with damping, only its derivative is used
            pull = jax.tree.map(lambda new, old: (lam + damping) * (new - old), free, parts.free)
            return jax.tree.map(jnp.add, jax.grad(inner_loss)(free), pull)

        def solve(_, start: Free) -> Free:
            return descend(regularised, start, optimiser=optimiser(lr), steps=steps)[0]

        linear_solve = partial(solve_by_conjugate_gradients, steps=cg_steps)
        return parts.join(jax.lax.custom_root(optimality, parts.free, solve, linear_solve))

    def predict(fast: Fast, x) -> Array:
        return net.apply({"params": fast}, x)

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective))
