"""MAML with an implicit gradient. Rajeswaran, Finn, Kakade and Levine 2019, arXiv:1909.04630.

The inner problem is a regularised fit near the initial weights theta (eq. 3 and 4),
phi* = argmin over phi of L_support(phi) + lam / 2 |phi - theta|^2,
and the meta-gradient follows from what holds at phi*, grad L_support(phi*) + lam (phi* - theta) = 0, not from how phi*
was found: d phi* / d theta = (I + H / lam)^-1 with H the Hessian of L_support at phi* (lemma 1). The product with the
query's gradient takes conjugate gradients on Hessian-vector products. Nothing of the inner steps is kept, so memory
does not depend on their number, and any optimiser will do: only its result counts.

Easily got wrong:
- The formula is that of the SOLUTION. Too few inner steps, or too few of conjugate gradients, and the result is not
  the gradient of the loss. `lam` decides how many are enough: gradient descent gains a factor of about 1 - lr lam a
  step, and conjugate gradients of about (sqrt(c) - 1) / (sqrt(c) + 1) with c = 1 + (largest eigenvalue of H) / lam.
- theta is not all that phi* depends on: so do the parameters which the inner loop leaves alone (the vectors of ids) and
  the support itself, d phi* / d shared = -(H + lam I)^-1 d^2 L_support / d phi d shared. Here all of it comes from one
  equation (`jax.lax.custom_root`); the authors' code has no such parameters.
- H of a network may have negative eigenvalues, and conjugate gradients need H + lam I to be positive definite; that is
  what `damping` is for.
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
    """x with hessian(x) = right, for a symmetric positive definite linear map; `steps` at most, fewer at rounding
    error. It can be transposed, which `cg` alone cannot."""
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
      lam: strength of the pull towards the initial weights, in units of the objective per squared unit of a weight.
      lr: inner learning rate, below 2 / (lam + the largest eigenvalue of H) with plain gradient descent.
      steps: inner steps.
      cg_steps: conjugate gradient steps at most; they stop early at rounding error.
      damping: added to lam in the derivative alone, which is then (I + H / (lam + damping))^-1: biased, but stable.
      prior_count: as in `maml`.
      shared: which parameters the inner loop leaves as they are, by path.
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

        def optimality(free: Free) -> Free:  # 0 at the solution; with damping, all but its derivative is unused
            pull = jax.tree.map(lambda new, old: (lam + damping) * (new - old), free, parts.free)
            return jax.tree.map(jnp.add, jax.grad(inner_loss)(free), pull)

        def solve(_, start: Free) -> Free:
            return descend(regularised, start, optimiser=optimiser(lr), steps=steps)[0]

        linear_solve = partial(solve_by_conjugate_gradients, steps=cg_steps)
        return parts.join(jax.lax.custom_root(optimality, parts.free, solve, linear_solve))

    def predict(fast: Fast, x) -> Array:
        return net.apply({"params": fast}, x)

    return Learner(init, adapt, predict, query_loss(adapt, predict, objective))
