"""The inner loop of optimisation-based learners: steps of any optax optimiser, as one differentiable function."""

from collections.abc import Callable
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from metarec_jax.objectives import Objective
from metarec_jax.ops.checkpointed_scan import repeat
from metarec_jax.params import Free, Path, is_id_table, split_free
from metarec_jax.types import Array, Examples, Params

Weights = TypeVar("Weights")  # pytree of arrays
UNROLLED = (
    50_000  # numbers moved; above, the loop costs little beside a step, and five steps in a row are slow to compile
)


def descend(
    loss: Callable[[Weights], Array],
    free: Weights,
    *,
    optimiser: optax.GradientTransformation,
    steps: int,
    first_order: bool = False,
    checkpoint: bool = False,
) -> tuple[Weights, Weights | None]:
    """`steps` steps of `optimiser` on `loss` from `free`, as a differentiable function of `free`.

    Args:
      loss: of the free weights.
      free: where to start.
      optimiser: any optax transformation. Its update is differentiated too, so one that takes roots of second moments
        needs an epsilon under the root (`optax.adam(..., eps_root=1e-8)`): the slope of a root at 0 is infinite.
      steps: number of steps, 0 or more.
      first_order: treat the gradients as constants when differentiating: with plain gradient descent the derivative of
        the result with respect to `free` is then the identity.
      checkpoint: keep the weights and the optimiser's state at two of the steps, and no intermediate values of the
        gradients; the backward pass computes them again (`ops.checkpointed_scan`). For long inner loops: memory does
        not grow with the steps, and every step is computed about four more times.

    Returns:
      The weights after the last step, and the weights after every step, [steps, ...] on every leaf. With `checkpoint`
      the latter is None, because its memory would grow with the steps.
    """

    def step(carry, _):
        weights, state = carry
        gradient = jax.grad(loss)(weights)
        if first_order:
            gradient = jax.lax.stop_gradient(gradient)
        updates, state = optimiser.update(gradient, state, weights)
        weights = jax.tree.map(jnp.add, weights, updates)
        return (weights, state), weights

    carry = (free, optimiser.init(free))
    if not checkpoint:
        few = sum(leaf.size for leaf in jax.tree.leaves(free)) <= UNROLLED
        (final, _), path = jax.lax.scan(step, carry, length=steps, unroll=(min(steps, 5) or 1) if few else 1)
        return final, path
    return repeat(lambda carry: step(carry, None)[0], carry, steps)[0], None


def fit_support(
    net: nn.Module,
    objective: Objective,
    params: Params,
    support: Examples,
    *,
    shared: Callable[[Path], bool] = is_id_table,
    prior_count: float = 0.0,
    **descent: Any,
) -> tuple[Params, Free | None]:
    """`descend` on a network's loss over the support.

    Args:
      net: Flax module from x of [N, ...] to outputs [N, ...].
      objective: masked loss.
      params: where to start.
      support: the task's examples.
      shared: which parameters stay unchanged, by path.
      prior_count: the loss is the sum over the support divided by n + prior_count (see `objectives`).
      **descent: other keywords of `descend`.

    Returns:
      All parameters after the last step, and the free ones after every step, as `descend` returns them.
    """
    parts = split_free(params, shared)

    def inner_loss(free: Free) -> Array:
        return objective(net.apply({"params": parts.join(free)}, support.x), support, prior_count)[0]

    adapted, path = descend(inner_loss, parts.free, **descent)
    return parts.join(adapted), path
